"""What workers share is the same for all of them, wherever it is kept."""

from __future__ import annotations

import asyncio

import pytest

from tests.stores.conftest import Place, closed_after
from voiceagent.core.ids import CallId
from voiceagent.errors import LeaseLost
from voiceagent.ports import CALL_LEASE_MS, RecordedCall
from voiceagent.stores.terms import RETENTION_MS

CALL = CallId("CA1")


def test_of_all_who_use_something_at_once_one_is_the_first(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            used = await asyncio.gather(*(worker.once("nonce", ttl_ms=60_000) for worker in (one, other) * 20))
            assert sorted(used) == [False] * 39 + [True]
            assert await other.once("another", ttl_ms=60_000)

    asyncio.run(scenario())


def test_what_was_used_once_may_be_used_again_when_its_time_is_over(place: Place) -> None:
    async def scenario() -> None:
        one = place.worker()
        async with closed_after(one):
            assert await one.once("nonce", ttl_ms=60_000)
            await place.pass_time(50_000)
            assert not await one.once("nonce", ttl_ms=60_000), "asking again does not keep it alive"
            await place.pass_time(10_000)
            assert await one.once("nonce", ttl_ms=60_000)

    asyncio.run(scenario())


def test_so_many_may_be_somewhere_at_a_time_whichever_worker_they_came_by(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            joined = await asyncio.gather(
                *(
                    worker.join("calls", f"CA{number}", most=3, ttl_ms=60_000)
                    for number, worker in enumerate((one, other) * 10)
                )
            )
            assert sum(joined) == 3
            there = f"CA{joined.index(True)}"
            assert await other.join("calls", there, most=3, ttl_ms=60_000), "who is there may come again"
            assert not await one.join("calls", "CA77", most=3, ttl_ms=60_000)
            assert await one.join("others", "CA77", most=3, ttl_ms=60_000)
            await other.leave("calls", there)
            assert await one.join("calls", "CA77", most=3, ttl_ms=60_000)

    asyncio.run(scenario())


def test_who_does_not_say_so_again_is_not_there_any_more(place: Place) -> None:
    async def scenario() -> None:
        one = place.worker()
        async with closed_after(one):
            assert await one.join("calls", "CA1", most=2, ttl_ms=60_000)
            assert await one.join("calls", "CA2", most=2, ttl_ms=180_000)
            await place.pass_time(50_000)
            assert await one.join("calls", "CA2", most=2, ttl_ms=60_000)
            assert not await one.join("calls", "CA3", most=2, ttl_ms=60_000)
            await place.pass_time(10_000)
            assert await one.join("calls", "CA3", most=2, ttl_ms=60_000)
            assert not await one.join("calls", "CA1", most=2, ttl_ms=60_000)

    asyncio.run(scenario())


def test_what_one_worker_notes_another_takes_and_nobody_after_it(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            await one.note("token", "grün\n", ttl_ms=60_000)
            assert await other.noted("token") == "grün\n"
            taken = await asyncio.gather(*(worker.take("token") for worker in (one, other) * 20))
            assert sorted(taken, key=str) == [None] * 39 + ["grün\n"]
            assert await one.noted("token") is None

    asyncio.run(scenario())


def test_a_note_grows_old_and_a_newer_one_begins_its_time_anew(place: Place) -> None:
    async def scenario() -> None:
        one = place.worker()
        async with closed_after(one):
            await one.note("transfer", "+4930", ttl_ms=60_000)
            await place.pass_time(50_000)
            await one.note("transfer", "+4940", ttl_ms=60_000)
            await place.pass_time(50_000)
            assert await one.noted("transfer") == "+4940"
            await place.pass_time(10_000)
            assert await one.noted("transfer") is None
            assert await one.take("transfer") is None

    asyncio.run(scenario())


def test_parallel_attempts_are_all_counted(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            counts = await asyncio.gather(*(worker.count("pin", window_ms=60_000) for worker in (one, other) * 10))
            assert sorted(counts) == list(range(1, 21))
            assert await one.counted("pin") == 20
            assert await one.counted("another") == 0

    asyncio.run(scenario())


def test_a_window_closes_by_itself_or_when_it_is_told_to(place: Place) -> None:
    async def scenario() -> None:
        one = place.worker()
        async with closed_after(one):
            await one.count("pin", window_ms=60_000)
            await place.pass_time(50_000)
            assert await one.count("pin", window_ms=60_000) == 2
            await place.pass_time(10_000)
            assert await one.counted("pin") == 0, "the first attempt opened the window, and nothing keeps it open"
            assert await one.count("pin", window_ms=60_000) == 1
            await one.reset("pin")
            assert await one.count("pin", window_ms=60_000) == 1

    asyncio.run(scenario())


def test_a_key_of_one_kind_is_none_of_another(place: Place) -> None:
    async def scenario() -> None:
        one = place.worker()
        async with closed_after(one):
            await one.note("key", "value", ttl_ms=60_000)
            assert await one.once("key", ttl_ms=60_000)
            assert await one.count("key", window_ms=60_000) == 1
            assert await one.noted("key") == "value"

    asyncio.run(scenario())


# --- journals --------------------------------------------------------------------------------------------------------


def test_a_call_has_one_owner(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            begun = await asyncio.gather(*(worker.begin(CALL) for worker in (one, other) * 10))
            assert len([lease for lease in begun if lease is not None]) == 1
            assert await other.take_over(CALL) is None, "its owner is alive"
            assert await other.take_over(CallId("CA2")) is None, "nobody knows it"

    asyncio.run(scenario())


def test_lines_are_appended_where_the_journal_ends_and_nowhere_else(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            lease = await one.begin(CALL)
            assert lease is not None
            assert await other.read(CALL) == RecordedCall((), ended=False)
            assert await one.append(lease, 0, [b"{}", b"\xff\n"]) == 2
            assert await one.append(lease, 0, [b"twice"]) == 2, "an answer that was lost is given again"
            assert await one.append(lease, 3, [b"hole"]) == 2
            assert await one.append(lease, 2, [b"3"]) == 3
            assert await other.read(CALL) == RecordedCall((b"{}", b"\xff\n", b"3"), ended=False)
            assert await other.read(CALL, start=2) == RecordedCall((b"3",), ended=False)
            assert await other.read(CALL, start=9) == RecordedCall((), ended=False)
            assert await other.read(CallId("CA2")) is None

    asyncio.run(scenario())


def test_whoever_dies_loses_the_call_and_what_it_still_writes_is_refused(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            first = await one.begin(CALL)
            assert first is not None
            await one.append(first, 0, [b"0"])
            await place.pass_time(CALL_LEASE_MS - 2_000)
            assert (await other.take_over(CALL), await other.interrupted()) == (None, ())
            await place.pass_time(2_000)
            assert await other.interrupted() == (CALL,)
            second = await other.take_over(CALL)
            assert second is not None
            assert second.fence > first.fence
            assert await other.interrupted() == ()
            for stale in (one.append(first, 1, [b"stale"]), one.renew(first), one.end(first)):
                with pytest.raises(LeaseLost):
                    await stale
            await one.release(first)
            assert await one.take_over(CALL) is None, "nor can it give away what it does not have"
            assert await other.append(second, 1, [b"1"]) == 2
            assert await one.read(CALL) == RecordedCall((b"0", b"1"), ended=False)

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["renew", "append"])
def test_an_owner_who_is_alive_keeps_the_call(place: Place, how: str) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            lease = await one.begin(CALL)
            assert lease is not None
            for number in range(3):
                await place.pass_time(CALL_LEASE_MS - 2_000)
                await (one.renew(lease) if how == "renew" else one.append(lease, number, [b"line"]))
            assert await other.take_over(CALL) is None

    asyncio.run(scenario())


def test_an_owner_that_was_away_goes_on_if_nobody_took_its_place(place: Place) -> None:
    async def scenario() -> None:
        one = place.worker()
        async with closed_after(one):
            lease = await one.begin(CALL)
            assert lease is not None
            await place.pass_time(3 * CALL_LEASE_MS)
            assert await one.append(lease, 0, [b"late"]) == 1
            assert await one.interrupted() == ()

    asyncio.run(scenario())


def test_a_call_that_is_connected_elsewhere_is_seized_from_a_worker_that_still_lives(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            first = await one.begin(CALL)
            second = await other.take_over(CALL, seize=True)
            assert first is not None
            assert second is not None
            with pytest.raises(LeaseLost):
                await one.append(first, 0, [b"stale"])

    asyncio.run(scenario())


def test_a_call_that_is_given_up_can_be_had_at_once(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            lease = await one.begin(CALL)
            assert lease is not None
            await one.release(lease)
            assert await other.interrupted() == (CALL,)
            assert await other.take_over(CALL) is not None

    asyncio.run(scenario())


def test_nobody_takes_over_a_call_that_has_ended_and_nothing_is_added_to_it(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            lease = await one.begin(CALL)
            assert lease is not None
            await one.append(lease, 0, [b"0"])
            await one.end(lease)
            assert await other.read(CALL) == RecordedCall((), ended=True), "its lines are for nobody"
            assert await other.take_over(CALL, seize=True) is None
            assert await other.begin(CALL) is None, "its id is taken"
            assert await other.interrupted() == ()
            with pytest.raises(LeaseLost):
                await one.append(lease, 1, [b"more"])

    asyncio.run(scenario())


def test_lines_that_may_stand_nowhere_else_outlive_the_end_of_their_call(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            lease = await one.begin(CALL)
            assert lease is not None
            await one.append(lease, 0, [b"0"])
            await one.end(lease, keep=True)
            assert await other.read(CALL) == RecordedCall((b"0",), ended=True)
            assert await other.take_over(CALL, seize=True) is None

    asyncio.run(scenario())


def test_a_journal_is_kept_for_its_retention_and_no_longer(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            first = await one.begin(CALL)
            assert first is not None
            await place.pass_time(RETENTION_MS - 60_000)
            await one.append(first, 0, [b"0"])
            await place.pass_time(RETENTION_MS - 60_000)
            assert await other.read(CALL) == RecordedCall((b"0",), ended=False), "a line begins it anew"
            await place.pass_time(60_000)
            assert (await other.read(CALL), await other.interrupted()) == (None, ())
            assert await other.take_over(CALL) is None
            second = await other.begin(CALL)
            assert second is not None
            assert await other.read(CALL) == RecordedCall((), ended=False), "and nothing of the old one is in it"

    asyncio.run(scenario())


def test_a_call_that_is_erased_is_gone_and_its_owner_writes_into_no_other(place: Place) -> None:
    async def scenario() -> None:
        one, other = place.worker(), place.worker()
        async with closed_after(one, other):
            first = await one.begin(CALL)
            assert first is not None
            await one.append(first, 0, [b"0"])
            await other.erase(CALL)
            assert (await other.read(CALL), await other.interrupted()) == (None, ())
            assert await other.begin(CALL) is not None
            with pytest.raises(LeaseLost):
                await one.append(first, 0, [b"stale"])

    asyncio.run(scenario())
