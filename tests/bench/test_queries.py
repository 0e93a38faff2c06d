"""Every query has an index, every index a query, and the rules by which that is told are a database's."""

from pathlib import Path
from typing import Any

import pytest
from bench.growth import every_call, queries
from bench.growth.planner import NONE, Cost, Index, Query, is_point, plan
from bench.growth.queries import Answered, Survey
from bson import ObjectId
from pymongo import MongoClient

SCANNED = {
    *((name, "_id_") for name in ("participants", "reminders", "access_grants")),
    ("streams", "one_stream_per_idempotency_key"),
    ("streams", "reminders_to_take"),
}
"""What the embedded database scans for: an `_id` that is a document, and what is in an index only if it is there."""
PAGE = Path(__file__).parents[2] / "docs" / "growth.md"


@pytest.fixture(scope="module")
async def survey(mongo_uri: str, database_name: str, media: Path) -> Survey:
    return await queries.survey(mongo_uri, media, database_name)


def test_every_rpc_is_called(survey: Survey) -> None:
    """A call that is missing may ask anything."""
    assert survey.called == every_call.every_rpc()


def test_every_query_is_answered_from_an_index(survey: Survey) -> None:
    """A scan works in every test and stops the service in the year after."""
    assert len(survey.answered) > 80
    assert [each.query for each in survey.answered if each.plan is NONE] == []


def test_every_write_finds_its_document_by_id(survey: Survey) -> None:
    """An update that looks for its document holds up all others."""
    writes = [each for each in survey.answered if each.query.verb in ("update", "delete")]
    assert {each.plan.index for each in writes} == {"_id_"}
    assert {each.plan.cost for each in writes} == {Cost.ONE}


def test_what_grows_is_known(survey: Survey) -> None:
    """A query whose work is not bounded by its answer is a decision; nobody takes it by mistake."""
    grow = {
        (each.query.collection, each.plan.index, len(each.plan.bounds))
        for each in survey.answered
        if each.plan.cost is Cost.MATCHES
    }
    assert grow == set(queries.GROWS)


def test_only_the_streams_of_one_user_are_sorted(survey: Survey) -> None:
    """To sort for a page, the database reads everything that could be on it; an index has it in order."""
    sorts = {
        (each.query.collection, each.plan.index)
        for each in survey.answered
        if each.query.sort and not each.plan.ordered and each.plan.cost is Cost.MATCHES
    }
    assert sorts == {("streams", "of_broadcaster")}


def test_every_index_is_used(survey: Survey) -> None:
    """An index slows each write; one that no query uses does so for nothing."""
    assert survey.unused() == []
    assert sum(len(each) for each in survey.indexes.values()) > 20


def test_the_page_shows_every_index_that_is_used(survey: Survey) -> None:
    """The page is what an operator plans with: run `make growth` after a change of queries."""
    shown = PAGE.read_text(encoding="utf-8")
    for each in survey.answered:
        assert f"| {each.query.collection} | {each.query.verb} | `{each.plan.index}`: " in shown


def test_the_database_uses_the_same_indexes(survey: Survey, mongo_uri: str, database_name: str) -> None:
    """The rules are ours; what a database does with the part of a query that bounds it must agree."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        for each in survey.answered:
            if (each.query.collection, each.plan.index) in SCANNED:
                continue
            question = {"find": each.query.collection, "filter": _bounds(survey, each)}
            told = client[database_name].command({"explain": question, "verbosity": "queryPlanner"})
            assert "COLLSCAN" not in str(told["queryPlanner"]["winningPlan"]), question


def _bounds(survey: Survey, each: Answered) -> dict[str, Any]:
    """What bounds the query in its index, and what a partial index demands.

    Without a range behind other bounds: the embedded database takes an index only for the one or the other.
    """
    index = next(index for index in survey.indexes[each.query.collection] if index.name == each.plan.index)
    points = [name for name in each.plan.bounds if is_point(each.query.filter[name])] or each.plan.bounds
    return {name: _one(asked) for name, asked in each.query.filter.items() if name in {*points, *index.partial}}


def _one(condition: Any) -> Any:
    return condition["$in"][0] if isinstance(condition, dict) and "$in" in condition else condition


NAMES = Index("names", [("name", 1), ("at", -1), ("_id", -1)])
OPEN = Index("open", [("owner", 1)], unique=True, partial={"state": "open"})
FEW = Index("few", [("mark", 1)], sparse=True)
ID = Index("_id_", [("_id", 1)], unique=True)
NEWEST = [("at", -1), ("_id", -1)]


@pytest.mark.parametrize(
    ("query", "index", "ordered", "cost"),
    [
        pytest.param(Query("c", "find", {"name": 1}, NEWEST, limit=True), "names", True, Cost.PAGE, id="page"),
        pytest.param(Query("c", "find", {"name": 1}, NEWEST), "names", True, Cost.MATCHES, id="no limit"),
        pytest.param(
            Query("c", "find", {"name": 1}, [("at", 1), ("_id", 1)], limit=True),
            "names",
            True,
            Cost.PAGE,
            id="read backwards",
        ),
        pytest.param(
            Query("c", "find", {"name": 1}, [("at", 1), ("_id", -1)], limit=True),
            "names",
            False,
            Cost.MATCHES,
            id="two directions",
        ),
        pytest.param(
            Query("c", "find", {"name": {"$in": [1, 2]}}, NEWEST, limit=True), "names", True, Cost.PAGE, id="merged"
        ),
        pytest.param(
            Query("c", "find", {"name": {"$gt": 1}}, NEWEST, limit=True), "names", False, Cost.MATCHES, id="range first"
        ),
        pytest.param(
            Query("c", "find", {"name": 1, "at": {"$not": {"$gt": 1}}}, NEWEST, limit=True),
            "names",
            True,
            Cost.PAGE,
            id="rest of a range",
        ),
        pytest.param(Query("c", "find", {"at": 1}), "", False, Cost.SCAN, id="not the first field"),
        pytest.param(Query("c", "find", {"name": {"$regex": "a"}}), "", False, Cost.SCAN, id="regex"),
        pytest.param(Query("c", "find", {"owner": 1}), "", False, Cost.SCAN, id="partial, not implied"),
        pytest.param(Query("c", "find", {"owner": 1, "state": "open"}), "open", True, Cost.ONE, id="partial, unique"),
        pytest.param(Query("c", "find", {"mark": None}), "", False, Cost.SCAN, id="sparse and absent"),
        pytest.param(Query("c", "find", {"mark": {"$gt": 1}}), "few", True, Cost.MATCHES, id="sparse and there"),
        pytest.param(Query("c", "update", {"_id": ObjectId(), "name": 1}), "_id_", True, Cost.ONE, id="id first"),
        pytest.param(Query("c", "find", {"_id": {"$in": [1, 2]}}), "_id_", True, Cost.ASKED, id="ids"),
    ],
)
def test_plans_follow_the_rules_of_mongodb(query: Query, index: str, ordered: bool, cost: Cost) -> None:
    """The whole table of queries rests on them."""
    found = plan(query, [NAMES, OPEN, FEW, ID])
    assert (found.index, found.cost) == (index, cost)
    if query.sort:
        assert found.ordered is ordered
