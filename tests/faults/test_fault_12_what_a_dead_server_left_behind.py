"""Fault 12, after the restart: what a dead server has left behind is marked as interrupted, once nobody can go on with
it any more, and a write that was under way is looked up by its key, or reported."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Exchange, HandMadeLeg, LinesEngine
from tests.runtime.desk_calls import desk, greeted
from voiceagent import Flow, Limits, ToolContext, tool
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId
from voiceagent.ports import Engines, IncomingCall, RecordedCall
from voiceagent.runtime.calls import Calls
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.replay import replay
from voiceagent.runtime.resume import Folded, Folding
from voiceagent.runtime.session import Services
from voiceagent.speech import EnergyVad, NullRecognizer, NullSynthesizer
from voiceagent.stores.memory import MemoryStore
from voiceagent.testing import ask_for, say
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool

INTERRUPTED = "interrupted: the server died, and nobody went on with the call"
KEY = "call-1:t1"


class Bookings:
    """A service that books, and knows what it has booked."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.begun, self.copied = asyncio.Event(), asyncio.Event()

        async def booking(ctx: ToolContext) -> str | None:
            """What was booked under this key."""
            return self.known.get(str(ctx.idempotency_key))

        @tool(effect="write", timeout_ms=20_000, reconcile=booking)
        async def book() -> str:
            """Book something."""
            self.begun.set()
            await self.copied.wait()
            return "nobody will know"

        self.book = book


def killed_in_mid_write(folder: Path, flow: Flow, bookings: Bookings) -> Path:
    """Have a server die while it writes for a caller; return the folder of its journals, as they are then."""
    exchange, left = Exchange(folder / "before"), folder / "left"

    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says()
        await line.waits(1_500)
        async with asyncio.timeout(20):
            await bookings.begun.wait()
        await asyncio.to_thread(shutil.copytree, exchange.directory, left)
        bookings.copied.set()

    def model(request: Any) -> Any:
        return say("Done.") if request.history[-1].role == "tool_result" else ask_for("book")

    exchange.serve(scenario, flow, lines=model, heard=["book"])
    return left


def started(
    left: Path, flow: Flow, *, shared: MemoryStore | None = None, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Start a server on these journals, and stop it once it has seen to them."""
    pool, clock = ConnectionPool(), SystemClock()

    async def serving() -> None:
        journals = JournalStore(left, shared=shared)
        services = Services(
            engines=Engines(EnergyVad(), NullRecognizer(), NullSynthesizer()),
            models=LinesEngine(lambda _: say("Hello.")),
            tools=ToolExecutor(clock=clock, broker=NoCredentials(), pool=pool),
            journals=journals,
            clock=clock,
            learned=Learned(),
        )
        calls = Calls({"desk": flow}, services, time_zone="UTC")
        calls.sweep()
        await asyncio.to_thread(meanwhile)
        await calls.close()
        await services.tools.close()
        await journals.close()
        await pool.close()

    asyncio.run(serving())


def ended(left: Path) -> tuple[Journal, list[ev.Event]]:
    journal = read_journal(left / "call-1.jsonl")
    return journal, [entry.event for entry in journal.entries]


def test_a_write_that_was_done_is_found_by_its_key_and_the_record_says_so(tmp_path: Path) -> None:
    bookings = Bookings()
    flow = desk(bookings.book, limits=Limits(resume_within_ms=0))
    left = killed_in_mid_write(tmp_path, flow, bookings)
    assert read_journal(left / "call-1.jsonl").interrupted
    bookings.known[KEY] = "seat 7"
    started(left, flow)
    journal, happened = ended(left)
    assert happened[-2:] == [ev.ToolFinished("t1", "seat 7"), ev.CallEnded(INTERRUPTED)]
    assert replay(journal, flow).same
    before = (left / "call-1.jsonl").read_bytes()
    started(left, flow)
    assert (left / "call-1.jsonl").read_bytes() == before, "what has an end is left alone"


def test_a_write_of_which_nobody_knows_is_reported_with_its_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiceagent.tools.running._RECONCILED_WITHIN_MS", 300)
    bookings = Bookings()
    flow = desk(bookings.book, limits=Limits(resume_within_ms=0))
    left = killed_in_mid_write(tmp_path, flow, bookings)
    started(left, flow)
    _, happened = ended(left)
    (failed,) = [event for event in happened if isinstance(event, ev.ToolFailed)]
    assert (failed.call, failed.kind) == ("t1", "unknown")
    assert happened[-1] == ev.CallEnded(INTERRUPTED)
    assert f"call call-1: nobody knows whether book was done (idempotency key {KEY})" in caplog.text


def test_a_call_whose_agent_has_changed_is_ended_and_its_write_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bookings = Bookings()
    flow = desk(bookings.book, limits=Limits(resume_within_ms=60_000))
    left = killed_in_mid_write(tmp_path, flow, bookings)
    bookings.known[KEY] = "seat 7"
    started(left, desk(bookings.book, limits=Limits(resume_within_ms=60_001)))
    _, happened = ended(left)
    assert happened[-1] == ev.CallEnded(INTERRUPTED)
    assert f"nobody knows whether book was done (idempotency key {KEY})" in caplog.text


def test_a_call_that_may_still_go_on_is_left_as_it_is(tmp_path: Path) -> None:
    bookings = Bookings()
    flow = desk(bookings.book, limits=Limits(resume_within_ms=100_000_000_000))
    left = killed_in_mid_write(tmp_path, flow, bookings)
    before = (left / "call-1.jsonl").read_bytes()
    started(left, flow)
    assert (left / "call-1.jsonl").read_bytes() == before


def test_what_is_no_record_and_what_somebody_writes_is_passed_over(tmp_path: Path) -> None:
    bookings = Bookings()
    flow = desk(bookings.book, limits=Limits(resume_within_ms=0))
    left = killed_in_mid_write(tmp_path, flow, bookings)
    before = (left / "call-1.jsonl").read_bytes()
    others = {
        "other.jsonl": before,
        "notes.jsonl": b"{}\n",
        "empty.jsonl": b"",
        "torn.jsonl": b"{",
    }
    for name, written in others.items():
        (left / name).write_bytes(written)

    import fcntl

    with (left / "call-1.jsonl").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started(left, flow)
    assert {file.name: file.read_bytes() for file in left.iterdir()} == {"call-1.jsonl": before, **others}


def test_a_call_that_is_recorded_elsewhere_is_ended_there_as_well(tmp_path: Path) -> None:
    bookings = Bookings()
    flow = desk(bookings.book, limits=Limits(resume_within_ms=0))
    left = killed_in_mid_write(tmp_path, flow, bookings)
    bookings.known[KEY] = "seat 7"
    shared = MemoryStore(SystemClock())
    lines = (left / "call-1.jsonl").read_bytes().splitlines()

    async def recorded() -> None:
        lease = await shared.begin(CallId("call-1"))
        assert lease is not None
        await shared.append(lease, 0, lines)
        await shared.release(lease)

    asyncio.run(recorded())
    (left / "call-1.jsonl").unlink()  # it was on another machine
    started(left, flow, shared=shared)
    assert asyncio.run(shared.read(CallId("call-1"))) == RecordedCall((), ended=True)
    assert ended(left)[1][-1] == ev.CallEnded(INTERRUPTED)


def test_a_caller_who_is_back_before_their_record_is_read_goes_on_in_it(tmp_path: Path) -> None:
    bookings = Bookings()
    flow = desk(bookings.book, limits=Limits(resume_within_ms=100_000_000_000))
    left = killed_in_mid_write(tmp_path, flow, bookings)
    pool, clock = ConnectionPool(), SystemClock()
    folds: list[int] = []

    async def serving() -> None:
        read = asyncio.Event()

        class Slow(Folding):
            """Takes longer over the first record than anybody who wants to have it waits."""

            async def fold(self, journal: Journal, flow: Flow) -> Folded:
                folds.append(len(journal.entries))
                if len(folds) == 1:
                    await read.wait()
                return await super().fold(journal, flow)

        journals = JournalStore(left)
        services = Services(
            engines=Engines(EnergyVad(), NullRecognizer(), NullSynthesizer()),
            models=LinesEngine(lambda _: say("Hello.")),
            tools=ToolExecutor(clock=clock, broker=NoCredentials(), pool=pool),
            journals=journals,
            clock=clock,
            learned=Learned(),
            folding=Slow(),
        )
        calls = Calls({"desk": flow}, services, time_zone="UTC")
        calls.sweep()
        async with asyncio.timeout(20):
            while not folds:  # noqa: ASYNC110 - what is waited for happens on a thread
                await asyncio.sleep(0.01)
        leg = HandMadeLeg(clock, 1)
        back = asyncio.create_task(
            calls.take(IncomingCall(CallId("call-1"), leg, "desk", "+15550100", "+15550199", {}, again=True))
        )
        await asyncio.sleep(0.7)  # longer than a record that somebody else writes is waited for
        read.set()
        async with asyncio.timeout(20):
            while leg.events is None:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        leg.lose("caller hung up")
        await back
        await calls.close()
        await services.tools.close()
        await journals.close()
        await pool.close()

    asyncio.run(serving())
    assert len(folds) == 2
    (record,) = left.glob("*.jsonl")
    events = [type(entry.event) for entry in read_journal(record).entries]
    assert ev.CallResumed in events
    assert events.count(ev.CallStarted) == 1
