"""A token server on Flask in the manner of Agora's own samples, which no package on PyPI contains.

`gunicorn -w 2 bench.peers.flask_token:app` serves it.
"""

import os

from agoraiotools import RtcTokenBuilder2
from agoraiotools.RtcTokenBuilder2 import Role_Publisher, Role_Subscriber
from flask import Flask, Response, jsonify

APP_ID = os.environ["APP_ID"]
APP_CERTIFICATE = os.environ["APP_CERTIFICATE"]
EXPIRE_SECONDS = 3600

app = Flask(__name__)


@app.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@app.get("/rtc/<channel>/<role>/uid/<int:uid>")
def rtc_token(channel: str, role: str, uid: int) -> Response:
    granted = Role_Publisher if role == "publisher" else Role_Subscriber
    token = RtcTokenBuilder2.build_token_with_uid(
        APP_ID, APP_CERTIFICATE, channel, uid, granted, EXPIRE_SECONDS, EXPIRE_SECONDS
    )
    return jsonify(rtcToken=token)
