"""The alternating rounds: which slices are believed."""

from itertools import chain, cycle, islice

import pytest
from bench import calls, catalogue, floor, rounds
from bench.load import Call
from bench.rounds import Beside, Row, WrongReply, measure


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "WARM_UP_CALLS", 40)


async def measured(wanted: list[Call], wrong: int) -> Row:
    """A row of a hello-world server, of whose replies the first `wrong` are not what is expected."""
    server, port = await floor.start()
    bad = (call._replace(good=lambda _: False) for call in wanted)
    row = Row("hello", "grpc.aio", (), catalogue.GRPC, port, chain([next(bad) for _ in range(wrong)], cycle(wanted)))
    try:
        await measure([row], rounds=2, seconds=0.02, beside=Beside(), told=lambda _: None)
    finally:
        await server.stop(None)
    return row


async def test_every_round_gives_a_slice() -> None:
    """Fewer would give one row more weight than another."""
    row = await measured(hellos(), 0)
    assert len(row.slices) == 2
    assert row.again == []
    assert all(each.calls == len(each.latencies) > 0 for each in row.slices)


async def test_a_wrong_reply_is_told_and_its_slice_measured_again() -> None:
    """One starved moment of a busy machine must not cost a run of ten minutes, nor stay hidden."""
    row = await measured(hellos(), 1)
    assert len(row.slices) == 2
    (why,) = row.again
    assert "1 of" in why


async def test_wrong_replies_that_come_again_end_the_run() -> None:
    """A server that refuses is fast; its figures must not be taken for those of one that works."""
    with pytest.raises(WrongReply, match="hello"):
        await measured([call._replace(good=lambda _: False) for call in hellos()], 0)


def hellos() -> list[Call]:
    return list(islice(calls.hello(), 50))
