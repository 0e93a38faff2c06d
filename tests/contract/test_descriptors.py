"""The contract is data: each RPC is documented, guarded and timed, or a test here fails by itself."""

import json
from importlib.resources import files

import pytest
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default

from livestream.v1.access_pb2 import Access, access, header
from livestream_server import app as _imports_every_service
from livestream_server.errors import every_error
from livestream_server.transport.methods import find_method

CONTRACT = files("livestream.v1")
DESCRIPTORS = FileDescriptorSet.FromString(CONTRACT.joinpath("api.binpb").read_bytes())
OURS = [each for each in DESCRIPTORS.file if each.package == "livestream.v1"]
assert _imports_every_service


def every_rpc() -> list[MethodDescriptor]:
    services = [Default().FindServiceByName(f"livestream.v1.{each.name}") for file in OURS for each in file.service]
    return [rpc for service in services for rpc in service.methods]


def name_of(rpc: MethodDescriptor) -> str:
    return rpc.full_name.removeprefix("livestream.v1.")


@pytest.mark.parametrize("rpc", every_rpc(), ids=name_of)
def test_every_rpc_is_guarded_and_timed(rpc: MethodDescriptor) -> None:
    """An RPC without an access level or a timeout would be open, or endless."""
    option: Access = rpc.GetOptions().Extensions[access]
    assert option.level != Access.LEVEL_UNSPECIFIED
    assert bool(option.scope) == (option.level == Access.LEVEL_INTERNAL)
    assert find_method(rpc.containing_service.full_name, rpc.name).timeout > 0


@pytest.mark.parametrize("rpc", every_rpc(), ids=name_of)
def test_every_rpc_counts_against_a_rate(rpc: MethodDescriptor) -> None:
    """Without one it would count as a write; a change that counts as a read could be made a hundred times a second."""
    option: Access = rpc.GetOptions().Extensions[access]
    assert option.rate != Access.RATE_UNSPECIFIED
    if rpc.GetOptions().HasExtension(annotations_pb2.http):
        rule = rpc.GetOptions().Extensions[annotations_pb2.http]
        assert (rule.WhichOneof("pattern") == "get") == (option.rate == Access.RATE_READ)


@pytest.mark.parametrize("rpc", every_rpc(), ids=name_of)
def test_whoever_gets_tokens_joins_and_whoever_makes_a_stream_creates(rpc: MethodDescriptor) -> None:
    """These cost most, and have rates of their own, whatever such an RPC will be called."""
    option: Access = rpc.GetOptions().Extensions[access]
    gives_tokens = any(each.name == "agora" for each in rpc.output_type.fields)
    assert (option.rate == Access.RATE_JOIN) == gives_tokens
    assert (option.rate == Access.RATE_CREATE) == (rpc.name == "CreateStream")


@pytest.mark.parametrize("rpc", [each for each in every_rpc() if each.server_streaming], ids=name_of)
def test_a_stream_says_what_is_watched(rpc: MethodDescriptor) -> None:
    """Without that, one user could hold all their watches on one thing, or be told of none."""
    option: Access = rpc.GetOptions().Extensions[access]
    assert rpc.input_type.fields_by_name[option.events.watched].type == FieldDescriptor.TYPE_STRING


@pytest.mark.parametrize("rpc", every_rpc(), ids=name_of)
def test_an_rpc_has_a_public_path_or_is_internal(rpc: MethodDescriptor) -> None:
    """An internal method must not be reachable from the public side, nor a public one be forgotten there."""
    option: Access = rpc.GetOptions().Extensions[access]
    has_path = rpc.GetOptions().HasExtension(annotations_pb2.http)
    assert has_path == (option.level != Access.LEVEL_INTERNAL)


@pytest.mark.parametrize("rpc", every_rpc(), ids=name_of)
def test_what_a_path_fixes_exists(rpc: MethodDescriptor) -> None:
    """A misspelt path or field would leave the role to the body."""
    option: Access = rpc.GetOptions().Extensions[access]
    rule = rpc.GetOptions().Extensions[annotations_pb2.http]
    paths = {
        getattr(each, each.WhichOneof("pattern")) for each in [rule, *rule.additional_bindings] if each.ListFields()
    }
    for fixed in option.fixed:
        assert fixed.path in paths
        assert fixed.value in rpc.input_type.fields_by_name[fixed.field].enum_type.values_by_name
    if option.fixed:
        assert {each.path for each in option.fixed} == paths


@pytest.mark.parametrize("rpc", [each for each in every_rpc() if each.server_streaming], ids=name_of)
def test_a_public_stream_says_how_it_looks_as_events(rpc: MethodDescriptor) -> None:
    """Without a kind and an id the gateway could neither name an event nor let a client resume."""
    option: Access = rpc.GetOptions().Extensions[access]
    if rpc.GetOptions().HasExtension(annotations_pb2.http):
        kinds = rpc.output_type.oneofs_by_name[option.events.kind].fields
        assert all(each.message_type for each in kinds)
        assert "failure" not in {each.name for each in kinds}
        assert rpc.output_type.fields_by_name[option.events.id].cpp_type == FieldDescriptor.CPPTYPE_UINT32
        assert "Last-Event-ID" in [each.GetOptions().Extensions[header] for each in rpc.input_type.fields]


def test_only_reads_are_retried_and_only_when_unavailable() -> None:
    """A retried write without a key could act twice (AIP-194)."""
    config = json.loads(CONTRACT.joinpath("service_config.json").read_text())
    for entry in config["methodConfig"]:
        policy = entry.get("retryPolicy")
        if policy:
            assert policy["retryableStatusCodes"] == ["UNAVAILABLE"]
            assert all(each["method"].startswith(("Get", "List")) for each in entry["name"])


def test_the_service_config_names_every_rpc_once() -> None:
    """A name that no longer exists, or that stands twice, is a deadline that nobody meant."""
    config = json.loads(CONTRACT.joinpath("service_config.json").read_text())
    named = sorted(f"{n['service']}.{n['method']}" for entry in config["methodConfig"] for n in entry["name"])
    assert named == sorted(each.full_name for each in every_rpc())


def test_every_message_and_field_is_documented() -> None:
    """The proto's comments are the callers' documentation; OpenAPI prints them."""
    missing = []
    for file in OURS:
        documented = {tuple(each.path) for each in file.source_code_info.location if each.leading_comments.strip()}
        for m, message in enumerate(file.message_type):
            if (4, m) not in documented:
                missing.append(message.name)
            missing += [
                f"{message.name}.{field.name}"
                for f, field in enumerate(message.field)
                if (4, m, 2, f) not in documented
            ]
        for s, service in enumerate(file.service):
            missing += [rpc.name for r, rpc in enumerate(service.method) if (6, s, 2, r) not in documented]
    assert not missing


def test_a_required_field_says_so_in_its_request_only() -> None:
    """REQUIRED is checked for requests; on an answer it would be an empty promise."""
    for rpc in every_rpc():
        for field in rpc.output_type.fields:
            assert field_behavior_pb2.REQUIRED not in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def test_every_reason_is_unique_and_well_formed() -> None:
    """Callers branch on reasons: AIP-193 wants UPPER_SNAKE of at most 63 characters, each meaning one thing."""
    reasons = [each.reason for each in every_error()]
    assert len(reasons) == len(set(reasons))
    for reason in reasons:
        assert len(reason) <= 63
        assert reason.replace("_", "").isalnum()
        assert reason == reason.upper()
