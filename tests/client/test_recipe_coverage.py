"""The recipes against the contract: nothing that can be called is without a line to paste."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from livestream_gateway.contract import Route, every_route, every_service

FOLDER = Path(__file__).parents[2] / "clients" / "recipes"


@pytest.mark.parametrize("route", list(every_route()), ids=lambda route: f"{route.verb} {route.path}")
def test_every_path_has_a_recipe(route: Route) -> None:
    """Whoever wants to try something finds a line to paste."""
    pattern = re.compile(re.sub(r"{\w+}", r"\\$\\w+", route.path))
    calls = [call for path in FOLDER.glob("*.curl.sh") for call in called(path.read_text())]
    assert [call for call in calls if call[0] == route.verb and pattern.fullmatch(call[1])]


def called(recipe: str) -> Iterator[tuple[str, str]]:
    """Verb and path of each address in it; braces are curl's."""
    options = recipe.partition("curl ")[2]
    sends = re.search(r" (-d|-F|--data\S*) ", options) and not re.search(r" (-G|--get) ", options)
    verb = re.search(r" -X (\w+)", options)
    for address in re.findall(r'"\$HTTP([^"?]*)', options):
        head, _, rest = address.partition("{")
        choices, _, tail = rest.partition("}")
        for each in choices.split(","):
            yield verb[1] if verb else "POST" if sends else "GET", f"{head}{each}{tail}"


def test_every_call_that_has_no_path_has_a_recipe() -> None:
    """Internal services have nothing but gRPC."""
    recipes = "".join(path.read_text() for path in FOLDER.glob("*.grpcurl.sh"))
    public = {route.rpc.name for route in every_route()}
    internal = [f"{service.full_name}/{each.name}" for service in every_service() for each in service.methods]
    assert [name for name in internal if f"/{name}" not in public and name not in recipes] == []
