"""The record of a call: out of reach of a power cut, or nothing is changed."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.runtime.desk_calls import GREETING, Recognizer, SlowWrite, asks, desk, greeted, lines
from voiceagent import (
    ToolContext,
    tool,
)
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId
from voiceagent.errors import StateUnavailable
from voiceagent.ports import CallLease, Transcript
from voiceagent.runtime.resume import Folded, Folding, fold
from voiceagent.stores.memory import MemoryStore
from voiceagent.testing import ask_for, say


def test_every_turn_of_the_caller_is_put_out_of_reach_of_a_power_cut(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    on_disk: list[bytes] = []
    fsync = os.fsync

    def watched(file: Any) -> None:
        fsync(file)
        on_disk.append((exchange.directory / "call-1.jsonl").read_bytes())
        if b"what time is it" in on_disk[-1]:
            synced.set()

    monkeypatch.setattr(os, "fsync", watched)

    async def scenario(line: Any) -> None:
        await asks(line)
        assert await asyncio.to_thread(synced.wait, 10)
        assert not line.all(ev.CallEnded)

    exchange.serve(scenario, desk(), lines=lines(say("It is ten.")), heard=["what time is it"])


def test_e8_what_came_of_a_write_is_put_out_of_reach_of_a_power_cut_as_well_as_its_intent(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    on_disk: list[bytes] = []
    fsync = os.fsync

    def watched(file: Any) -> None:
        fsync(file)
        on_disk.append((exchange.directory / "call-1.jsonl").read_bytes())
        if b'"booked it"' in on_disk[-1]:
            synced.set()

    monkeypatch.setattr(os, "fsync", watched)
    before: list[bool] = []

    @tool(effect="write")
    async def book() -> str:
        """Book something."""
        before.append(any(b'"StartTool"' in written for written in on_disk))
        return "booked it"

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.until(ev.ToolFinished)
        assert await asyncio.to_thread(synced.wait, 10)
        assert not line.all(ev.CallEnded)

    exchange.serve(scenario, desk(book), lines=lines(ask_for("book"), say("Done.")), heard=["book"])
    assert before == [True]


def test_a_call_that_is_connected_again_never_repeats_the_key_of_a_write(exchange: Any) -> None:
    keys: list[str] = []

    @tool(effect="write")
    async def book(ctx: ToolContext) -> str:
        """Book something."""
        keys.append(str(ctx.idempotency_key))
        return "booked"

    def same_carrier_id(line: Any) -> None:
        line.incoming = replace(line.incoming, call=CallId("CA1"))
        line.call = CallId("CA1") if line.call == "call-1" else CallId("CA1.2")

    async def scenario(*placed: Any) -> None:
        for line in placed:
            await asks(line)
            await line.until(ev.ToolFinished)

    def model(request: Any) -> Any:
        return say("Done.") if any(message.role == "tool" for message in request.history) else ask_for("book")

    exchange.serve(scenario, desk(book), lines=model, heard="book", calls=2, first=same_carrier_id)
    assert len(keys) == len(set(keys))
    assert {key.partition(":")[0] for key in keys} == {"CA1", "CA1.2"}


def test_while_a_call_is_put_together_again_others_go_on(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("I see.")), heard=["Hello."])
    read = line.journal
    read = replace(read, entries=read.entries[:-1])  # it had not come to its end

    async def folded_beside_others() -> tuple[Folded, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        folded = await Folding().fold(read, line.flow)
        beside.cancel()
        return folded, turns

    folded, turns = asyncio.run(folded_beside_others())
    assert len(read.entries) > 10
    assert turns >= len(read.entries) // 10
    once = fold(read, line.flow)
    assert (folded.last_ms, folded.conversation.phase) == (once.last_ms, once.conversation.phase)
    assert folded.conversation.transcript.messages() == once.conversation.transcript.messages()


def test_a_flood_of_events_ends_the_call_in_words_and_loses_no_outcome(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        for _ in range(3_000):
            line.leg.tell(ev.DigitsPressed("1"))
        write.go_on.set()
        await line.waits(12_000)

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book it"])
    assert line.ended == "too many events"
    assert line.leg.hang_ups[0] == "drained"
    assert line.outcome[-1] == "ToolFinished"


def test_a_disk_that_stops_ends_calls_in_bounded_time_and_refuses_their_writes(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    fsync = os.fsync

    def stuck(file: Any) -> None:
        go_on.wait()
        fsync(file)

    monkeypatch.setattr(os, "fsync", stuck)
    monkeypatch.setattr("voiceagent.runtime.journal.DISK_WITHIN_MS", 300)
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.until(ev.ToolFailed)
        line.hangs_up()
        await line.over()

    (line,) = exchange.serve(
        scenario, desk(write.tool), lines=lines(ask_for("book"), say("No.")), heard=["book"], complete=False
    )
    go_on.set()
    assert [failed.kind for failed in line.all(ev.ToolFailed)] == ["refused"]
    assert not write.begun.is_set()


def test_a_call_whose_record_cannot_be_shared_goes_on_but_changes_nothing(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiceagent.runtime.journal_mirror.SYNCED_WITHIN_MS", 100)
    monkeypatch.setattr("voiceagent.runtime.journal_mirror.CLOSED_WITHIN_MS", 100)
    write = SlowWrite()

    class Away(MemoryStore):
        async def append(self, lease: CallLease, at: int, lines: Sequence[bytes]) -> int:
            raise StateUnavailable("away")

    exchange.shared = Away(exchange.clock)

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.until(ev.ToolFailed)
        assert not line.all(ev.CallEnded)

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book"), say("No.")), heard=["book"])
    assert [failed.kind for failed in line.all(ev.ToolFailed)] == ["refused"]
    assert not write.begun.is_set()


def test_a_call_whose_record_cannot_be_written_goes_on_but_changes_nothing(exchange: Any, tmp_path: Any) -> None:
    (tmp_path / "journals").write_text("in the way")

    @tool(effect="write")
    async def book() -> str:
        """Book something."""
        raise AssertionError("must not run")

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.until(ev.ToolFailed)
        await line.waits(3_000)

    model = lines(ask_for("book"), say("That is not possible."))
    (line,) = exchange.serve(scenario, desk(book), lines=model, heard=["book it"], complete=False)
    assert line.all(ev.ToolFailed)[0].kind == "refused"
    assert line.spoken[-1] == "That is not possible."


def test_an_observer_that_fails_is_not_asked_again_and_the_call_goes_on(
    exchange: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[ev.Event] = []

    def failing(call: Any, now_ms: int, event: ev.Event, outgoing: Any) -> None:
        told.append(event)
        raise RuntimeError("boom")

    exchange.observers.append(failing)
    (line,) = exchange.serve(asks, desk(), lines=lines(say("It is ten.")), heard=["what time is it"])
    assert line.spoken == [GREETING, "It is ten."]
    assert len(told) == 1
    assert len([record for record in caplog.records if "observers" in record.message]) == 1


def test_a_transcript_that_comes_after_the_end_is_not_recorded(exchange: Any) -> None:
    heard = asyncio.Event()

    async def slowly(*_: Any, **__: Any) -> Transcript:
        await heard.wait()
        return Transcript("too late")

    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says()
        line.hangs_up()
        heard.set()
        await line.over()

    engines = {"recognizer": Recognizer(slowly)}
    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines=engines)
    assert line.outcome[-1] == "CallEnded"


def test_a_call_that_another_worker_has_taken_says_and_does_nothing_more_here(exchange: Any) -> None:
    shared = exchange.shared = MemoryStore(exchange.clock)
    write = SlowWrite()
    write.go_on.set()

    async def scenario(line: Any) -> None:
        await greeted(line)
        assert await shared.take_over(line.call, seize=True) is not None
        await line.says()
        await line.over()

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book"], complete=False)
    assert [(lost.reason, lost.may_return) for lost in line.all(ev.LegLost)] == [("another worker has the call", True)]
    assert line.spoken == [GREETING]
    assert line.leg.hang_ups == ["at once"]
    assert not write.begun.is_set()
    assert not line.all(ev.CallEnded), "it goes on elsewhere"
