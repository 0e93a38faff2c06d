"""The program `livestream-server`: serve, gateway, dev, demo, token.

Kept light: a worker is forked before anything of grpc is imported.
"""

import argparse
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from livestream_run import addresses, memory, metrics
from livestream_run.addresses import Address
from livestream_run.dev.errors import DevError
from livestream_run.workers import BROKEN_SETTINGS, supervise
from livestream_server.errors import CannotStart, DatabaseUnreachable
from livestream_server.images.pool import DecodersUnavailable, open_decoders
from livestream_server.settings import Settings


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

    dev = commands.add_parser("dev", help="the service with an embedded database and demo people")
    dev.add_argument("--grpc", type=addresses.parse, default=Address("127.0.0.1", 50051), metavar="HOST:PORT")
    dev.add_argument("--http", type=addresses.parse, default=Address("127.0.0.1", 8080), metavar="HOST:PORT")
    dev.set_defaults(run=_dev)

    demo = commands.add_parser("demo", help="the whole story against a fresh temporary instance")
    demo.set_defaults(run=_demo)

    token = commands.add_parser("token", help="print a JWT for a demo person")
    token.add_argument("name", help="ayse, mehmet, john, jane or zeynep")
    token.add_argument("--scope", default="", help="scopes of an internal service, e.g. 'people:write'")
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
    with closing(open_decoders(settings)) as decoders:  # before a worker is forked, for all of them

        async def work() -> None:
            from livestream_run.serve import serve  # noqa: PLC0415 - imports grpc, so after the fork

            await serve(
                settings,
                grpc_address=options.grpc,
                http_address=options.http,
                share_ports=options.workers > 1,
                decoders=decoders,
            )

        return _run(options, settings, work, on_turn=decoders.heal)


def _gateway(options: argparse.Namespace) -> int:
    async def work() -> None:
        from livestream_client import TlsFiles  # noqa: PLC0415 - imports grpc, so after the fork
        from livestream_run.serve import serve_gateway  # noqa: PLC0415 - likewise

        files = (options.tls_ca, options.tls_certificate, options.tls_key)
        await serve_gateway(
            options.target,
            http_address=options.http,
            tls=TlsFiles(*files) if any(files) else None,
            share_port=options.workers > 1,
        )

    return _run(options, None, work)


def _run(
    options: argparse.Namespace,
    settings: Settings | None,
    work: Callable[[], Coroutine[Any, Any, None]],
    on_turn: Callable[[], None] = lambda: None,
) -> int:
    stop_within = settings.drain_seconds + settings.grace_seconds if settings else 10.0
    metrics_address = addresses.parse(settings.metrics_address) if settings and settings.metrics_address else None
    for address in (getattr(options, "grpc", None), options.http, metrics_address):
        if address and address.port:
            addresses.require_free(address)

    def worker() -> int:
        return _worker(settings, work)

    with ExitStack() as stack:
        if options.workers > 1 and metrics_address:
            stack.enter_context(metrics.shared_by_workers())
        if metrics_address:
            metrics.serve(metrics_address)
        if options.workers == 1:
            return worker()
        return supervise(options.workers, worker, stop_within=stop_within, on_end=metrics.forget, on_turn=on_turn)


def _worker(settings: Settings | None, work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run one worker to its end; answers with its exit code."""
    memory.return_what_is_free()
    import uvloop  # noqa: PLC0415 - after the fork

    from livestream_run import logs  # noqa: PLC0415 - after the fork

    if settings:
        logs.configure(settings)
    try:
        uvloop.run(work())
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
    from livestream_run.dev.story import tell  # noqa: PLC0415 - only this command needs it

    return tell()


def _token(options: argparse.Namespace) -> int:
    from livestream_run.dev.directory import DevDirectory  # noqa: PLC0415 - only this command needs it
    from livestream_run.dev.token import dev_token  # noqa: PLC0415 - likewise

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
