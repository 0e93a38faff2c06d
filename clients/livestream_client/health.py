"""Asks a gRPC server for its health: `python -m livestream_client.health`, for container checks.

Exits with 0 if the answer is SERVING, else with 1 and one line on stderr.
"""

import argparse
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from livestream_client.options import parse_with_tls

_OPTIONS = (("grpc.enable_http_proxy", 0),)  # the server is next to us, whatever proxy the container is given


def main(argv: list[str] | None = None) -> str | None:
    """What is wrong, for `sys.exit`; None if the server serves."""
    asked = parse_with_tls(_build_parser(), argv)
    try:
        status = _ask_status(asked)
    except grpc.RpcError as error:
        return f"{asked.target} did not answer: {error.code().name}"
    if status != HealthCheckResponse.SERVING:
        return f"{asked.target} is {HealthCheckResponse.ServingStatus.Name(status)}"
    return None


def _ask_status(asked: argparse.Namespace) -> HealthCheckResponse.ServingStatus.ValueType:
    # The one place without asyncio: a program that asks a single question and ends.
    connect = (
        grpc.insecure_channel(asked.target, _OPTIONS)
        if asked.tls is None
        else grpc.secure_channel(asked.target, asked.tls.credentials(), _OPTIONS)
    )
    with connect as channel:
        answer = HealthStub(channel).Check(HealthCheckRequest(service=asked.service), timeout=asked.timeout)
    status: HealthCheckResponse.ServingStatus.ValueType = answer.status
    return status


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m livestream_client.health", description="Exit with 0 if it serves.")
    parser.add_argument("--target", default="127.0.0.1:50051", help="host:port; default %(default)s")
    parser.add_argument("--service", default="", help="full name of a service; default: the whole server")
    parser.add_argument("--timeout", type=float, default=3.0, metavar="SECONDS", help="default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
