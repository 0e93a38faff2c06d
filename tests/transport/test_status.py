"""What a failure looks like on the wire."""

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

import livestream_client
from livestream_client import LiveStreamError
from livestream_server import errors
from livestream_server.errors import MAX_VIOLATIONS, InvalidArgument, ServiceError, Violation
from livestream_server.transport.status import build_trailing_metadata, to_status_code

MAX_METADATA_BYTES = 8 * 1024  # gRPC's usual limit; what is longer takes the whole answer with it


def test_many_violations_do_not_make_a_long_answer() -> None:
    """A client would get nothing at all, because the status did not fit into the metadata of its answer."""
    violations = (
        Violation(f"guests[{index}]", "must be 24 hexadecimal digits in lower case") for index in range(10_000)
    )
    error = InvalidArgument(*violations)
    _, (_, packed) = build_trailing_metadata(error, "5f0c1b7e")
    assert isinstance(packed, bytes)
    assert len(packed) + len(str(error)) < MAX_METADATA_BYTES
    info, bad_request = ErrorInfo(), BadRequest()
    for detail in Status.FromString(packed).details:
        assert detail.Unpack(info) or detail.Unpack(bad_request)
    assert len(bad_request.field_violations) == MAX_VIOLATIONS
    assert info.metadata == {"more_violations": str(10_000 - MAX_VIOLATIONS)}
    assert str(error).endswith(f"; and {10_000 - MAX_VIOLATIONS} more")


def test_a_few_violations_are_all_told() -> None:
    """And nothing is said of further ones."""
    error = InvalidArgument(*[Violation(f"guests[{index}]", "is unknown") for index in range(MAX_VIOLATIONS)])
    assert len(error.violations) == MAX_VIOLATIONS
    assert error.metadata == {}
    assert "more" not in str(error)


def test_service_and_client_name_the_kinds_alike() -> None:
    """A developer who reads of a failure in one place must find it under the same name in the other."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and ServiceError in each.__bases__]
    served = {each.__name__: to_status_code(each) for each in kinds if each is not errors.Malformed}
    named = [each.__name__ for each in LiveStreamError.__subclasses__()]
    assert named == list(served)
    assert all(grpc.StatusCode[_to_upper_snake(each)] is code for each, code in served.items())
    assert set(named) <= set(livestream_client.__all__)


def _to_upper_snake(name: str) -> str:
    return "".join(f"_{each}" if each.isupper() else each for each in name).removeprefix("_").upper()
