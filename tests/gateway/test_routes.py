from dataclasses import replace

import pytest
from google.api import annotations_pb2

from livestream.v1.access_pb2 import Access, access
from livestream.v1.live_stream_pb2 import Role
from livestream_gateway.contract import Route, every_route, every_service
from livestream_gateway.endpoint import Endpoint
from livestream_gateway.routes import NoSuchPath, Router, WrongVerb

BASE = "/api/v1/live-stream"


@pytest.fixture(scope="module")
def router() -> Router:
    return Router(map(Endpoint, every_route()))


def test_every_rule_of_the_contract_has_a_route() -> None:
    """A new RPC must be reachable without a line in the gateway."""
    ruled = [
        (f"/{service.full_name}/{method.name}", binding.WhichOneof("pattern").upper())
        for service in every_service()
        for method in service.methods
        for rule in [method.GetOptions().Extensions[annotations_pb2.http]]
        for binding in (rule, *rule.additional_bindings)
        if rule.WhichOneof("pattern")
    ]
    assert ruled
    assert [(route.rpc.name, route.verb) for route in every_route()] == ruled


def test_internal_methods_have_no_route() -> None:
    """They are for services; the public must not even find them."""
    internal = {
        f"/{service.full_name}/{method.name}"
        for service in every_service()
        for method in service.methods
        if method.GetOptions().Extensions[access].level == Access.LEVEL_INTERNAL
    }
    assert internal
    assert internal.isdisjoint(route.rpc.name for route in every_route())


@pytest.mark.parametrize("route", list(every_route()), ids=lambda route: f"{route.verb} {route.path}")
def test_every_route_leads_to_its_rpc_in_time(route: Route, router: Router) -> None:
    """Each path finds itself, and no call may last for ever."""
    endpoint, variables = router.find(route.verb, route.path.replace("{", "").replace("}", ""))
    assert endpoint.route.path == route.path
    assert sorted(variables) == sorted(route.variables)
    assert route.rpc.timeout is not None
    assert 0 < route.rpc.timeout <= (3600 if route.rpc.method.server_streaming else 30)


@pytest.mark.parametrize(
    ("path", "role"),
    [("join", Role.ROLE_AUDIENCE), ("join-as-creator", Role.ROLE_HOST), ("join-as-guest", Role.ROLE_GUEST)],
)
def test_a_path_fixes_the_role(router: Router, path: str, role: Role) -> None:
    """The role is what the path says, never what the body claims."""
    endpoint, _ = router.find("POST", f"{BASE}/{path}")
    assert endpoint.route.fixed == {"role": role}
    assert endpoint.route.status == 200


def test_creating_answers_201(router: Router) -> None:
    """As the contract's access option says."""
    assert router.find("POST", f"{BASE}/create")[0].route.status == 201


def test_head_goes_where_get_goes(router: Router) -> None:
    """RFC 9110 asks for both or none."""
    assert router.find("HEAD", f"{BASE}/abc")[0] is router.find("GET", f"{BASE}/abc")[0]


@pytest.mark.parametrize(
    "path",
    ["", "/", "/api", f"{BASE}//abc", f"{BASE}/abc/", f"{BASE}//", f"{BASE}/a/b", f"{BASE}/create/", f"x{BASE}/a"],
)
def test_an_unknown_path_is_not_found(router: Router, path: str) -> None:
    """Nothing is guessed, and nothing redirects."""
    with pytest.raises(NoSuchPath):
        router.find("GET", path)


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("GET", "create", {"POST"}),
        ("POST", "abc", {"GET", "HEAD", "DELETE"}),
        ("get", "abc", {"GET", "HEAD", "DELETE"}),
    ],
)
def test_a_known_path_says_which_verbs_it_has(router: Router, verb: str, path: str, allowed: set[str]) -> None:
    """404 would send the developer looking for a typing error."""
    with pytest.raises(WrongVerb) as caught:
        router.find(verb, f"{BASE}/{path}")
    assert set(caught.value.allowed) == allowed


def made(*paths: str) -> Router:
    """A router of invented paths, which all lead to the same RPC."""
    known = replace(next(every_route()), verb="GET", body="", fixed={}, headers={})
    return Router(Endpoint(replace(known, path=path)) for path in paths)


def test_the_most_literal_path_wins() -> None:
    """Whatever order the contract's files have."""
    router = made("/{title}/x", "/{title}", "/a/{title}", "/a", "/{title}/{interest}")
    found = {path: router.find("GET", path)[0].route.path for path in ("/a", "/b", "/a/x", "/b/x", "/b/y")}
    assert found == {
        "/a": "/a",
        "/b": "/{title}",
        "/a/x": "/a/{title}",
        "/b/x": "/{title}/x",
        "/b/y": "/{title}/{interest}",
    }


@pytest.mark.parametrize("path", ["/{title=a/*}", "/{title}:cancel", "/*", "/a/**", "/{title}{interest}"])
def test_a_template_beyond_ours_stops_the_start(path: str) -> None:
    """Better no gateway than one that silently lacks a route."""
    with pytest.raises(ValueError, match="unsupported path template"):
        made(path)
