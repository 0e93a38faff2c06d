"""The answer of every public path, whole, as it is in a file: whoever changes what clients see must change the file too.

`GOLDEN=write python -m pytest tests/contract/test_golden.py` writes the files anew.
"""

import json
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from livestream_gateway.contract import Route, every_route
from livestream_run.dev.scenario.printer import lay_out
from livestream_server.settings import AgoraSettings
from tests.contract.scenario import Answers, answers_of_an_scenario
from tests.support.environment import APP_ID, CERTIFICATE, NOTIFICATION_SECRET, settings_for

FILES = Path(__file__).parent / "golden" / "paths"


def key_of(route: Route) -> str:
    return f"{route.verb} {route.path}"


def file_of(route: Route) -> Path:
    """`GET /api/v1/live-stream/{live_stream_id}` is in `get.v1.live-stream.live_stream_id.json`."""
    steps = [each.strip("{}") or "slash" for each in route.path.removeprefix("/api/").split("/")]
    return FILES / f"{'.'.join([route.verb.lower(), *steps])}.json"


@pytest.fixture(scope="module")
async def answers(mongo_uri: str, database_name: str, media: Path) -> Answers:
    agora = AgoraSettings(
        app_id=APP_ID,
        app_certificate=SecretStr(CERTIFICATE),
        notification_secret=SecretStr(NOTIFICATION_SECRET),
    )
    found = await answers_of_an_scenario(
        settings_for(mongo_uri, database_name, media, agora=agora, sweep_seconds=3600.0)
    )
    if os.environ.get("GOLDEN") == "write":
        for route in every_route():
            file_of(route).write_text("\n".join(lay_out(found[key_of(route)])) + "\n")
    return found


@pytest.mark.parametrize("route", list(every_route()), ids=key_of)
def test_every_path_answers_as_its_golden_file_says(route: Route, answers: Answers) -> None:
    """Keys, their order, values and their types: clients in typed languages parse all of it."""
    assert key_of(route) in answers, "call this path in scenario.py"
    golden = json.loads(file_of(route).read_text())
    assert json.dumps(answers[key_of(route)], indent=1) == json.dumps(golden, indent=1)


def test_no_golden_file_is_of_a_path_that_is_gone() -> None:
    """Such a file would go on to promise what nobody answers."""
    assert {each.name for each in FILES.iterdir()} == {file_of(each).name for each in every_route()}
