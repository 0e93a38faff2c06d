"""The command `livestream`: the client's calls from a shell, and a look into Agora tokens.

Answers are JSON on stdout. A failed call is one sentence on stderr and exit status 1, wrong usage is status 2.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from datetime import datetime
from decimal import Decimal, InvalidOperation

from google.protobuf.json_format import MessageToDict, MessageToJson
from google.protobuf.message import Message

from livestream_agora.inspection import inspect
from livestream_client import LiveStreamClient, LiveStreamError, LiveStreamType, Role, Unavailable
from livestream_client.options import parse_readable_file, parse_with_tls
from livestream_client.token_report import report

_ROLES = {"creator": Role.ROLE_HOST, "guest": Role.ROLE_GUEST, "audience": Role.ROLE_AUDIENCE}
_TYPES = {
    "solo": LiveStreamType.LIVE_STREAM_TYPE_SOLO,
    "duocrowd": LiveStreamType.LIVE_STREAM_TYPE_DUOCROWD,
    "duoself": LiveStreamType.LIVE_STREAM_TYPE_DUOSELF,
}


def main(argv: list[str] | None = None) -> int:
    """Exit status for the command line `argv`."""
    asked = parse_with_tls(_build_parser(), argv)
    status: int = asked.run(asked)
    return status


def _run_call(asked: argparse.Namespace) -> int:
    try:
        answer = asyncio.run(_make_call(asked))
    except LiveStreamError as error:
        return _report(asked, error)
    print(MessageToJson(answer, always_print_fields_with_no_presence=True, ensure_ascii=False))
    return 0


def _watch(asked: argparse.Namespace) -> int:
    try:
        asyncio.run(_print_events(asked))
    except LiveStreamError as error:
        return _report(asked, error)
    except KeyboardInterrupt:
        return 130  # as shells say it
    return 0


async def _print_events(asked: argparse.Namespace) -> None:
    async with LiveStreamClient(asked.target, token=asked.token, tls=asked.tls) as client:
        async for each in client.watch_stream(asked.id, asked.after):
            kind = each.WhichOneof("event") or ""
            event = MessageToDict(getattr(each, kind), always_print_fields_with_no_presence=True)
            print(each.revision, kind, json.dumps(event, ensure_ascii=False), flush=True)


def _report(asked: argparse.Namespace, error: LiveStreamError) -> int:
    nobody_there = isinstance(error, Unavailable) and not error.reason
    print(_describe_unreachable(asked.target, error) if nobody_there else error, file=sys.stderr)
    return 1


async def _make_call(asked: argparse.Namespace) -> Message:
    async with LiveStreamClient(asked.target, token=asked.token, tls=asked.tls) as client:
        match asked.command:
            case "create":
                return await client.create_stream(
                    title=asked.title,
                    guests=asked.guest,
                    thumbnail=asked.thumbnail,
                    price=asked.price,
                    live_stream_type=_TYPES[asked.type],
                    interest=asked.interest,
                    duration_goal=asked.duration_goal,
                    motivation=asked.motivation,
                    planned_start_date=asked.planned_start,
                    request_id=asked.request_id,
                )
            case "join":
                return await client.join_stream(asked.id, _ROLES[asked.role])
            case _:
                return await client.get_stream(asked.id)


def _describe_unreachable(target: str, error: LiveStreamError) -> str:
    return (
        f"cannot reach {target}: is the service running there, is --target right, and is --tls-ca given if the "
        f"service speaks TLS, and only then? ({error.message})"
    )


def _inspect(asked: argparse.Namespace) -> int:
    found = inspect(
        asked.agora_token,
        certificate=asked.certificate,
        channel=asked.channel,
        uid=asked.uid,
        user_id=asked.user,
        publish=asked.publish,
    )
    for line in report(found):
        print(line)
    for problem in found.problems:
        print(f"{problem.kind}: {problem.detail}", file=sys.stderr)
    return 1 if found.problems else 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="livestream", description=__doc__.partition("\n")[0])
    parser.add_argument("--target", default="127.0.0.1:50051", help="gRPC name of the service; default %(default)s")
    parser.add_argument(
        "--token",
        type=_parse_token,
        default=os.environ.get("LIVESTREAM_TOKEN") or None,
        help="JWT of the caller; better in the environment as LIVESTREAM_TOKEN, where no process list shows it",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_calls(commands)
    _add_token_commands(commands)
    return parser


def _add_calls(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    create = commands.add_parser("create", help="create a live stream")
    create.add_argument("--title", required=True)
    create.add_argument("--thumbnail", type=_read_image, default=b"", metavar="FILE", help="JPEG, PNG or WebP")
    create.add_argument("--price", type=_parse_price, help="like 9.99; free without")
    create.add_argument("--type", choices=_TYPES, default="solo")
    create.add_argument("--guest", action="append", default=[], metavar="ID", help="may be repeated")
    create.add_argument("--interest", help="the topic, like music")
    create.add_argument("--duration-goal", type=int, metavar="MINUTES")
    create.add_argument("--motivation", metavar="TEXT")
    create.add_argument("--planned-start", type=_parse_instant, metavar="TIME", help="like 2026-01-15T10:30:00Z")
    create.add_argument("--request-id", default="", metavar="KEY", help="idempotency key; random if absent")
    join = commands.add_parser("join", help="get the Agora tokens to enter a live stream")
    join.add_argument("id", metavar="ID", help="of the stream")
    join.add_argument("--as", dest="role", choices=_ROLES, required=True)
    get = commands.add_parser("get", help="show a live stream")
    get.add_argument("id", metavar="ID", help="of the stream")
    for each in (create, join, get):
        each.set_defaults(run=_run_call)
    watch = commands.add_parser(
        "watch",
        help="tell what happens to a live stream until it is over, one event per line",
        description="Each line is a revision, the kind of the event, and the event as JSON. Breaks are resumed.",
    )
    watch.add_argument("id", metavar="ID", help="of the stream")
    watch.add_argument(
        "--after", type=_parse_revision, metavar="REVISION", help="begin after this one; with a snapshot if absent"
    )
    watch.set_defaults(run=_watch)


def _add_token_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    token = commands.add_parser("token", help="about Agora tokens").add_subparsers(required=True)
    look = token.add_parser(
        "inspect",
        help="say what an Agora token (007 or 006) grants, and what is wrong with it; asks nobody",
        description="Exits with 0 only if nothing is wrong. What is not given is not compared.",
    )
    look.add_argument("agora_token", metavar="TOKEN")
    look.add_argument(
        "--certificate",
        default=os.environ.get("AGORA_APP_CERTIFICATE") or None,
        help="App certificate; better in the environment as AGORA_APP_CERTIFICATE",
    )
    look.add_argument("--channel", help="the channel that it is used for")
    look.add_argument("--uid", type=int, help="the uid that it is used with")
    look.add_argument("--user", metavar="ID", help="the RTM user that it is used for")
    look.add_argument("--publish", action="store_true", help="it should allow to publish audio and video")
    look.set_defaults(run=_inspect)


def _parse_token(text: str) -> str:
    # gRPC would fail with a riddle; and a refusal that shows the text would show a secret.
    if not re.fullmatch(r"[!-~]+", text.strip()):
        raise argparse.ArgumentTypeError("a token consists of visible ASCII characters")
    return text


def _read_image(text: str) -> bytes:
    return parse_readable_file(text).read_bytes()


def _parse_revision(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not a revision, which is a whole number from 0")
    return int(text)


def _parse_price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from error
    if not price.is_finite():
        raise argparse.ArgumentTypeError(f"{text} is not an amount")
    return price


def _parse_instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a time like 2026-01-15T10:30:00Z") from error
    if instant.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone: append Z for UTC, or an offset like +03:00")
    return instant


if __name__ == "__main__":
    sys.exit(main())
