"""What `make run` prints when everything is up: addresses, users, and lines to paste."""

import shlex
import sys
from pathlib import Path

from livestream_run.dev.directory import DEFAULT, OVERRIDE, DevDirectory
from livestream_run.dev.images import draw_sample_photo, encode_image
from livestream_run.dev.users import USERS


def write_sample_image(directory: DevDirectory) -> None:
    """Put the image that the lines upload into the directory."""
    directory.sample_image.write_bytes(encode_image(draw_sample_photo(), "JPEG"))


def banner(http_url: str, grpc_target: str, directory: DevDirectory) -> str:
    """The text to print.

    Args:
        http_url: Where the gateway listens, without a slash at its end.
        grpc_target: host:port where the service listens.
        directory: Where the set-up keeps its data.
    """
    users = "\n".join(f"  {each.username:<8}{each.id}  {each.name} {each.surname}" for each in USERS)
    return f"""
  REST   {http_url}
  Docs   {http_url}/docs
  gRPC   {grpc_target}
  Data   {shlex.quote(_relative(directory.path))}

Users (`{_find_program("livestream-server")} token NAME` prints a token)
{users}

To paste into another terminal, in this directory: ayse creates a stream and goes live, mehmet watches; over REST, then
over gRPC. The same Idempotency-Key answers with the same stream: change it to create another one.

{lines_to_paste(http_url, grpc_target, directory)}
Ctrl-C stops everything; the data stays.
"""


def lines_to_paste(http_url: str, grpc_target: str, directory: DevDirectory) -> str:
    """Shell commands that create a stream and let users in; they can be pasted again and again.

    Without comments: an interactive zsh takes them for commands.
    """
    live_stream = f"{http_url}/api/v1/live-stream"
    service = "livestream.v1.LiveStreamService"
    token, python, grpcurl, buf = (_find_program(name) for name in ("livestream-server", "python", "grpcurl", "buf"))
    return f"""\
{_set_directory(directory)}TOKEN=$({token} token ayse)
VIEWER=$({token} token mehmet)

STREAM=$(curl -sS {live_stream}/create -H "Authorization: Bearer $TOKEN" \\
  -H "Idempotency-Key: first-stream" -F title="Songs at dusk" -F interest=music -F durationGoal=60 \\
  -F thumbnail=@{shlex.quote(_relative(directory.sample_image))})
echo "$STREAM"
ID=$(echo "$STREAM" | {python} -c 'import json, sys; print(json.load(sys.stdin)["data"]["id"])')

curl -sS -w '\\n' {live_stream}/join-as-creator -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" -d '{{"liveStreamId": "'$ID'"}}'
curl -sS -w '\\n' {live_stream}/join -H "Authorization: Bearer $VIEWER" \\
  -H "Content-Type: application/json" -d '{{"liveStreamId": "'$ID'", "deviceType": "Web"}}'

{grpcurl} -plaintext -H "authorization: Bearer $TOKEN" \\
  -d '{{"live_stream_id": "'$ID'", "role": "ROLE_HOST"}}' {grpc_target} {service}/JoinStream
{buf} curl --protocol grpc --http2-prior-knowledge -H "authorization: Bearer $VIEWER" \\
  -d '{{"live_stream_id": "'$ID'"}}' http://{grpc_target}/{service}/GetStream
"""


def _set_directory(directory: DevDirectory) -> str:
    """The line that lets another terminal find a directory which is not the default one."""
    if directory.path == DEFAULT.resolve():
        return ""
    return f"export {OVERRIDE}={shlex.quote(str(directory.path))}\n"


def _find_program(name: str) -> str:
    """The program as a shell finds it: beside this interpreter, else by its bare name on PATH."""
    path = Path(sys.executable).parent / name
    return shlex.quote(_relative(path)) if path.exists() else name


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
