"""The program `livestream-server`: serve, gateway, dev, demo, token.

Kept light: a worker is forked before anything of grpc is imported.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from livestream_gateway.settings import GatewaySettings
from livestream_run import addresses, memory, operations
from livestream_run.addresses import Address
from livestream_run.dev.directory import DevError
from livestream_run.open_files import allow_open_files
from livestream_run.watchdog import Heartbeat, exit_on_abort, watch_this_process
from livestream_run.workers import BROKEN_SETTINGS, supervise
from livestream_server.errors import CannotStart, DatabaseUnreachable, UnusableSetting
from livestream_server.images.pool import DecoderPool, DecodersUnavailable, open_decoders
from livestream_server.settings import ProcessSettings, Settings

Report = Callable[[operations.Report], None]
Work = Callable[[Report, DecoderPool | None], Coroutine[Any, Any, None]]
"""What a worker runs. It is given what takes its reports, and what decodes the images of all workers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; answers with its exit code. 2 means that a setting or an address cannot work."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except ValidationError as error:
        print(_settings_message(error), file=sys.stderr)
    except DevError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, ValueError, CannotStart) as error:
        print(f"livestream-server: {error}", file=sys.stderr)
    return BROKEN_SETTINGS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="livestream-server", description="Live streams: create them, join them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="the service; settings come from the environment")
    serve.add_argument("--grpc", type=addresses.parse, metavar="HOST:PORT", help="serve gRPC there, e.g. :50051")
    serve.add_argument("--http", type=addresses.parse, metavar="HOST:PORT", help="serve REST there, e.g. :8080")
    serve.add_argument("--workers", type=int, default=1, metavar="N", help="processes on the same ports")
    serve.set_defaults(run=_serve)

    gateway = commands.add_parser("gateway", help="REST only, for a service that runs elsewhere")
    gateway.add_argument("--target", required=True, help="the service, e.g. dns:///livestream:50051")
    gateway.add_argument("--http", type=addresses.parse, default=Address("", 8080), metavar="HOST:PORT")
    gateway.add_argument("--workers", type=int, default=1, metavar="N", help="processes on the same port")
    gateway.add_argument("--tls-ca", type=Path, metavar="PEM", help="trust this CA and speak TLS to the target")
    gateway.add_argument("--tls-certificate", type=Path, metavar="PEM", help="our certificate, if the target asks")
    gateway.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    gateway.set_defaults(run=_gateway)

    dev = commands.add_parser("dev", help="the service with an embedded database and demo users")
    dev.add_argument("--grpc", type=addresses.parse, default=Address("127.0.0.1", 50051), metavar="HOST:PORT")
    dev.add_argument("--http", type=addresses.parse, default=Address("127.0.0.1", 8080), metavar="HOST:PORT")
    dev.set_defaults(run=_dev)

    demo = commands.add_parser("demo", help="the whole scenario against a fresh temporary instance")
    demo.set_defaults(run=_demo)

    token = commands.add_parser("token", help="print a JWT for a demo user")
    token.add_argument("name", help="ayse, mehmet, john, jane or zeynep")
    token.add_argument("--scope", default="", help="scopes of an internal service, e.g. 'users:write'")
    token.set_defaults(run=_token)
    for each in (dev, token):
        each.add_argument(
            "--directory",
            type=Path,
            help="where the development data is: .run, unless LIVESTREAM_DEV_DIRECTORY says otherwise",
        )
    return parser


def _serve(options: argparse.Namespace) -> int:
    if not options.grpc and not options.http:
        raise ValueError("give --grpc, --http or both")
    settings = Settings()
    if options.http:
        _require_connections_for_watchers(settings, GatewaySettings())

    def work(report: Report, decoders: DecoderPool | None) -> Coroutine[Any, Any, None]:
        from livestream_run.serve import serve  # noqa: PLC0415 - imports grpc, so after the fork

        return serve(
            settings,
            grpc_address=options.grpc,
            http_address=options.http,
            share_ports=options.workers > 1,
            report=report,
            decoders=decoders,
        )

    return _run(options, settings, work, settings.operations_address)


def _require_connections_for_watchers(settings: Settings, gateway: GatewaySettings) -> None:
    """Raise UnusableSetting if watchers alone could take all connections."""
    if gateway.max_connections <= settings.max_watchers:
        raise UnusableSetting(
            "GATEWAY_MAX_CONNECTIONS must be greater than LIVESTREAM_MAX_WATCHERS: a watcher over HTTP is a connection"
        )


def _gateway(options: argparse.Namespace) -> int:
    def work(report: Report, _decoders: DecoderPool | None) -> Coroutine[Any, Any, None]:
        from livestream_client import TlsFiles  # noqa: PLC0415 - imports grpc, so after the fork
        from livestream_run.serve import serve_gateway  # noqa: PLC0415 - likewise

        files = (options.tls_ca, options.tls_certificate, options.tls_key)
        return serve_gateway(
            options.target,
            http_address=options.http,
            tls=TlsFiles(*files) if any(files) else None,
            share_port=options.workers > 1,
            report=report,
        )

    return _run(options, None, work, GatewaySettings().operations_address)


def _run(options: argparse.Namespace, settings: Settings | None, work: Work, operations_at: str | None) -> int:
    stop_within = settings.drain_seconds + settings.grace_seconds if settings else 10.0
    operations_address = addresses.parse(operations_at) if operations_at else None
    for address in (getattr(options, "grpc", None), options.http, operations_address):
        if address and address.port:
            addresses.require_free(address)

    stall_seconds = (settings or ProcessSettings()).stall_seconds
    share = options.workers > 1
    heartbeat = Heartbeat()
    if not share and stall_seconds:
        watch_this_process(heartbeat, stall_seconds)
    # From here on there are children, sockets and threads: the watch is forked before them.
    with ExitStack() as stack:
        decoders = stack.enter_context(closing(open_decoders(settings))) if settings else None
        reports = (
            stack.enter_context(operations.serving(operations_address, share=share)) if operations_address else None
        )

        def worker(heartbeat: Heartbeat) -> int:
            return _worker(
                settings, lambda: work(reports.write if reports else lambda _report: None, decoders), heartbeat
            )

        if not share:
            return worker(heartbeat)
        return supervise(
            options.workers,
            worker,
            stop_within=stop_within,
            stall_seconds=stall_seconds,
            on_end=reports.forget if reports else lambda _worker: None,
            on_turn=decoders.heal if decoders else lambda: None,
        )


def _worker(settings: Settings | None, work: Callable[[], Coroutine[Any, Any, None]], heartbeat: Heartbeat) -> int:
    """Run one worker to its end; answers with its exit code."""
    memory.return_free_memory()
    exit_on_abort()
    allow_open_files()
    import uvloop  # noqa: PLC0415 - after the fork

    from livestream_run import logs  # noqa: PLC0415 - after the fork

    if settings:
        logs.configure(settings)

    async def watched(working: Coroutine[Any, Any, None]) -> None:
        heartbeat.start(asyncio.get_running_loop())
        await working

    try:
        uvloop.run(watched(work()))  # `work` imports much, before the first beat
    except (OSError, CannotStart) as error:
        print(f"livestream-server: {error}", file=sys.stderr)
        # A database may come, and a forkserver is started again: whoever supervises us tries again.
        return 1 if isinstance(error, (DatabaseUnreachable, DecodersUnavailable)) else BROKEN_SETTINGS
    finally:
        logs.flush()
    return 0


def _dev(options: argparse.Namespace) -> int:
    from livestream_run.dev.program import develop  # noqa: PLC0415 - only this command needs it

    develop(options.directory, grpc_address=options.grpc, http_address=options.http)
    return 0


def _demo(_options: argparse.Namespace) -> int:
    from livestream_run.dev.scenario import run_demo  # noqa: PLC0415 - only this command needs it

    return run_demo()


def _token(options: argparse.Namespace) -> int:
    from livestream_run.dev.directory import DevDirectory  # noqa: PLC0415 - only this command needs it
    from livestream_run.dev.users import dev_token  # noqa: PLC0415 - likewise

    print(dev_token(DevDirectory(options.directory), options.name, options.scope))
    return 0


def _settings_message(error: ValidationError) -> str:
    """Which settings are wrong and why, by the names of their variables, without their values."""
    prefixes = {
        "MongoSettings": "MONGODB_",
        "AgoraSettings": "AGORA_",
        "JwtSettings": "JWT_",
        "MediaSettings": "MEDIA_",
    }
    prefix = prefixes.get(error.title, "GATEWAY_" if error.title == "GatewaySettings" else "LIVESTREAM_")
    lines = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        name = f"{prefix}{'_'.join(str(part) for part in each['loc']).upper()}: " if each["loc"] else ""
        lines.append(f"  {name}{each['msg'].removeprefix('Value error, ')}")
    return "livestream-server: these settings cannot work (docs/configuration.md lists them all):\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
