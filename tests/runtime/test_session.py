"""Calls taken by a session, and everything that can go wrong with them."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from typing import Any

import pytest

from voiceagent import (
    Digits,
    Filler,
    Flow,
    HangUpAfter,
    Limits,
    Phase,
    Prompt,
    Requested,
    Say,
    Sealed,
    Tool,
    ToolContext,
    ToolFailed,
    TransferTo,
    Transition,
    tool,
)
from voiceagent.core import events as ev
from voiceagent.core.effects import AskModel, HangUp, ReportProblem
from voiceagent.core.ids import CallId
from voiceagent.errors import VoiceFailed
from voiceagent.ports import ReplyDone, SentText, Transcript
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.testing import ask_for, say

GREETING = "Hello, this is the desk. What can I do for you today?"


def desk(*tools: Tool, sensitive: bool = False, limits: Limits | None = None) -> Flow:
    """An agent with one phase to talk in and one to end in."""
    expects = (Digits(name="pin", length=8, sealed=True),) if sensitive else ()
    return Flow(
        name="desk",
        initial="talk",
        limits=limits or Limits(),
        filler=Filler(patience_ms=5_000),
        phases=(
            Phase(
                name="talk",
                prompt="desk/talk.md",
                on_enter=Say(text=GREETING),
                sensitive=sensitive,
                expects=expects,
                tools=tools,
                transitions=(Transition(on=Requested(name="finish", description="They are done."), to="end"),),
            ),
            Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        prompts={"desk/talk.md": Prompt("Be kind.")},
    )


def lines(*replies: Any):
    """A model that gives these replies, one after the other, and then the last one again and again."""
    count = 0

    def next_line(request: Any) -> Any:
        del request
        nonlocal count
        reply = replies[min(count, len(replies) - 1)]
        count += 1
        if isinstance(reply, Exception):
            raise reply
        return reply() if callable(reply) else reply

    return next_line


async def greeted(line: Any) -> None:
    """Let the greeting be heard to its end."""
    await line.waits(len(GREETING) * 65 + 200)


async def asks(line: Any) -> None:
    """Hear the greeting, say something, and be silent for as long as it takes to be answered."""
    await greeted(line)
    await line.says()
    await line.waits(2_000)


class Never:
    """An answer that does not come."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        await asyncio.Event().wait()


# --- a call as it should be ------------------------------------------------------------------------------------------


def test_the_greeting_is_played_to_its_end(exchange: Any) -> None:
    (line,) = exchange.serve(greeted, desk(), lines=lines(say("Yes?")))
    (heard,) = line.all(ev.PlayoutReached)
    assert heard.finished
    assert heard.heard_ms == len(GREETING) * 65
    assert line.leg.played == {heard.utterance: heard.heard_ms * 8}


def test_what_the_caller_says_is_answered_aloud(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(2_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("It is ten.")), heard=["what time is it"])
    (transcript,) = line.all(ev.TranscriptFinal)
    assert transcript.text == "what time is it"
    (asked,) = line.all(AskModel)
    assert [message.text for message in asked.request.history] == [GREETING, "what time is it"]
    assert line.spoken == [GREETING, "It is ten."]
    assert line.all(ev.PlayoutReached)[-1].finished
    assert line.ended == "caller hung up"


def test_the_agent_hangs_up_once_its_last_words_were_heard(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(2_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(ask_for("finish")), heard="that is all")
    assert line.spoken == [GREETING, "Goodbye."]
    assert line.ended == "phase end"
    assert line.leg.hang_ups[0] == "drained"


def _handing_over() -> Flow:
    flow = desk()
    human = Phase(name="end", on_enter=Say(text="I put you through."), ends=TransferTo(target="support"))
    return flow.model_copy(update={"phases": (flow.phases[0], human)})


def test_a_caller_is_handed_over_after_the_last_words(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        line.leg.targets = ("support",)
        await asks(line)
        await line.waits(2_000)
        await line.over()

    (line,) = exchange.serve(scenario, _handing_over(), lines=lines(ask_for("finish")), heard=["a person"])
    assert line.spoken[-1] == "I put you through."
    assert line.ended == "transferred to support"
    assert "apology" not in line.leg.played


def test_a_caller_who_cannot_be_handed_over_is_told_so_and_so_is_the_record(exchange: Any, caplog: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(15_000)
        await line.over()

    (line,) = exchange.serve(scenario, _handing_over(), lines=lines(ask_for("finish")), heard=["a person"])
    assert line.ended == "transfer failed: no number is given for support"
    assert line.leg.played["apology"] == len(line.flow.phrases.not_available) * 65 * 8
    assert "call call-1: transfer failed" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_caller_who_cuts_in_silences_the_agent(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        await line.speaks(600)
        assert line.leg.clears == 1
        await line.waits(1_500)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Sure.")), heard=["please stop"])
    (stopped,) = line.all(ev.PlayoutStopped)
    assert 1_000 < stopped.heard_ms < 2_000
    assert line.spoken == [GREETING, "Sure."]


@pytest.mark.parametrize(
    "moment",
    [
        ev.CallStarted,
        ev.LegAttached,
        ev.PhaseSwapped,
        ev.PlayoutStarted,
        ev.SpeechQueued,
        ev.PlayoutReached,
        ev.CallerStartedSpeaking,
        ev.CallerPaused,
        ev.TranscriptFinal,
        ev.ReplyStarted,
        ev.ReplyText,
        ev.ToolRequested,
        ev.ReplyFinished,
        ev.ToolFinished,
        ev.TimePassed,
    ],
)
def test_a_caller_may_hang_up_at_any_moment(exchange: Any, moment: type[ev.Event]) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.over()

    def first(line: Any) -> None:
        line.when[moment] = line.hangs_up

    model = lines(ask_for("look_up", words="Let me see."), say("Ten."))
    (line,) = exchange.serve(scenario, desk(look_up), lines=model, heard="what time is it", first=first)
    assert line.ended == "caller hung up"
    assert line.all(moment)


@tool
async def look_up() -> dict[str, object]:
    """Look something up."""
    return {"found": "ten"}


def test_two_calls_at_once_do_not_mix(exchange: Any) -> None:
    def echo(request: Any) -> Any:
        return say(f"You said {request.history[-1].text}.")

    async def scenario(first: Any, second: Any) -> None:
        await greeted(first)
        await first.presses("11")
        await second.presses("22")
        await first.waits(6_000)

    first, second = exchange.serve(scenario, desk(), lines=echo, calls=2)
    assert first.spoken == [GREETING, "You said 11."]
    assert second.spoken == [GREETING, "You said 22."]
    assert b"22." not in b"".join(line for entry in first.journal.entries for line in entry.effects)
    assert first.leg.played != second.leg.played or first.leg is not second.leg


# --- models that fail ------------------------------------------------------------------------------------------------


def test_a_model_that_fails_once_is_asked_again_after_an_apology(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    model = lines(RuntimeError("boom"), say("It is ten."))
    (line,) = exchange.serve(scenario, desk(), lines=model, heard="what time is it")
    assert line.spoken == [GREETING, line.flow.phrases.apology, "It is ten."]
    assert line.all(ev.ReplyFailed)[0].reason == "RuntimeError"


def test_a_model_that_always_fails_ends_the_call_politely(exchange: Any, caplog: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(12_000)
        await line.over()

    failing = lines(VoiceFailed("the reply has a hole in it"))
    (line,) = exchange.serve(scenario, desk(), lines=failing, heard="what time is it")
    assert line.spoken == [GREETING, line.flow.phrases.apology, line.flow.phrases.not_available]
    assert "an engine failed: the reply has a hole in it" in caplog.text
    assert line.ended.startswith("voice failed")


def test_a_model_that_never_begins_is_given_up(exchange: Any) -> None:
    async def silent():
        await asyncio.Event().wait()
        yield ReplyDone()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(30_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(silent, say("It is ten.")), heard=["what time is it"])
    assert "It is ten." in line.spoken


def test_a_model_that_stalls_in_the_middle_does_not_silence_the_call(exchange: Any) -> None:
    async def stalling():
        yield SentText("It is. ")
        await asyncio.Event().wait()
        yield ReplyDone()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(20_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(stalling, say("It is ten.")), heard=["what time is it"])
    assert line.all(ReportProblem)[0].reason == "the model did not answer in time"
    assert line.spoken[-1] == "It is ten."


def test_a_model_that_breaks_off_does_not_silence_the_call(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    model = lines([SentText("It is. ")], say("It is ten."))
    (line,) = exchange.serve(scenario, desk(), lines=model, heard=["what time is it"])
    assert line.all(ev.ReplyFailed)[0].reason == "the model broke off"
    assert line.spoken[-1] == "It is ten."


# --- ears that fail --------------------------------------------------------------------------------------------------


class Recognizer:
    """Hears by a function of the audio."""

    def __init__(self, transcribe: Any) -> None:
        self.transcribe = transcribe

    def open(self, audio: Any, *, locale: str) -> Recognizer:
        return self

    def close(self) -> None:
        """Nothing is held."""


async def breaks(*_: Any, **__: Any) -> Any:
    raise RuntimeError("boom")


@pytest.mark.parametrize("transcribe", [breaks, Never()], ids=["raises", "hangs"])
def test_a_caller_the_recognizer_fails_is_asked_to_say_it_again(exchange: Any, transcribe: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says(1_000)
        await line.waits(8_000)

    engines = {"recognizer": Recognizer(transcribe)}
    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines=engines)
    assert line.spoken[1] == "Sorry, could you say that again?"
    assert line.ended == "caller hung up"


def test_a_transcript_without_an_end_is_cut_between_words(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("I see.")), heard=["seven " * 50_000])
    (transcript,) = line.all(ev.TranscriptFinal)
    assert 990 <= len(transcript.text) <= 1_000
    assert set(transcript.text.split()) == {"seven"}


class BrokenVad:
    """Fails in the middle of the call."""

    def open(self, audio: Any) -> BrokenVad:
        return self

    def feed(self, audio: bytes) -> Any:
        raise RuntimeError("boom")

    def close(self) -> None:
        """Nothing is held."""


def test_ears_that_break_end_the_call_with_an_apology(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(6_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines={"vad": BrokenVad()})
    assert line.ended == "internal error"
    assert line.leg.played["apology"] == len(line.flow.phrases.apology) * 65 * 8
    assert line.leg.hang_ups[0] == "drained"


# --- a mouth that fails ----------------------------------------------------------------------------------------------


class Synthesizer:
    """Speaks by a function that returns pieces of audio."""

    def __init__(self, speak: Any) -> None:
        self.speak = speak

    def open(self, audio: Any, *, voice: str | None, locale: str) -> Synthesizer:
        return self

    def close(self) -> None:
        """Nothing is held."""


async def no_voice(text: str) -> Any:
    raise RuntimeError(text)
    yield b""


async def hanging_voice(text: str) -> Any:
    del text
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("speak", [no_voice, hanging_voice], ids=["raises", "hangs"])
def test_a_call_without_a_voice_is_ended_and_says_why_in_its_record(exchange: Any, speak: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(60_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines={"synthesizer": Synthesizer(speak)})
    assert len(line.all(ev.SpeechFailed)) == 3
    assert line.ended == "speech failed"


def test_an_engine_that_cannot_be_opened_ends_the_call(exchange: Any) -> None:
    class Closed:
        def open(self, audio: Any, **_: Any) -> Any:
            raise RuntimeError("closed")

    async def scenario(line: Any) -> None:
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines={"recognizer": Closed()})
    assert line.ended == "internal error"
    assert line.leg.hang_ups == ["at once"]


# --- tools that fail -------------------------------------------------------------------------------------------------


@tool
async def explode() -> dict[str, object]:
    """Fail."""
    raise RuntimeError("the password is hunter2")


@tool(timeout_ms=3_000)
async def hang() -> dict[str, object]:
    """Never answer."""
    return await Never()()


@tool
async def flood() -> str:
    """Answer with ten megabytes."""
    return "x" * 10_000_000


@pytest.mark.parametrize(("failing", "kind"), [(explode, "crashed"), (hang, "timed_out"), (flood, "too_large")])
def test_a_tool_that_fails_is_reported_to_the_model(exchange: Any, failing: Tool, kind: str) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    model = lines(ask_for(failing.name), say("That did not work."))
    (line,) = exchange.serve(scenario, desk(failing), lines=model, heard=["do it"])
    (failed,) = line.all(ev.ToolFailed)
    assert failed.kind == kind
    assert line.spoken[-1] == "That did not work."
    (seen,) = inspect_journal(line.journal).tools
    assert (seen.outcome, seen.reason) == (kind, failed.reason)
    written = (exchange.directory / "call-1.jsonl").read_bytes()
    assert b"hunter2" not in written
    assert len(written) < 100_000
    assert exchange.learned.tool_latency_ms == {}


class SlowWrite:
    """A write that takes as long as a test wants."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self._stubborn = stubborn

        @tool(effect="write", timeout_ms=20_000)
        async def book() -> dict[str, object]:
            """Book something."""
            return await self._book("somebody")

        @tool(effect="write", timeout_ms=20_000)
        async def book_with_pin(pin: Sealed) -> dict[str, object]:
            """Book something with a PIN."""
            return await self._book(pin)

        self.tool, self.with_pin = book, book_with_pin

    async def _book(self, whom: str) -> dict[str, object]:
        self.begun.set()
        while not self.go_on.is_set():
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                if not self._stubborn:
                    raise
        return {"booked_for": whom}

    async def under_way(self, line: Any) -> None:
        """Have the caller ask for it, and wait until it has been recorded and begun."""
        await greeted(line)
        await line.says()
        await line.waits(1_600)
        async with asyncio.timeout(20):
            await self.begun.wait()


class BrokenBroker:
    """Raises what no broker may raise, once something has happened."""

    def __init__(self, after: asyncio.Event) -> None:
        self._after = after

    async def token(self, **_: Any) -> Any:
        await self._after.wait()
        raise RuntimeError("boom")


@tool(scopes="all")
async def needs_credentials(ctx: ToolContext) -> str:
    """Look something up where not everybody is let in."""
    raise AssertionError(f"{ctx.call} was let in")


def test_what_nobody_was_prepared_for_ends_the_call_with_an_apology_and_leaves_a_write_alone(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        await line.until(ev.CallEnded)
        await line.waits(6_000)
        write.go_on.set()
        await line.over()

    flow = desk(write.tool, needs_credentials)
    model = lines([*ask_for("book")[:-1], *ask_for("needs_credentials")])
    (line,) = exchange.serve(scenario, flow, lines=model, heard=["do it"], broker=BrokenBroker(write.begun))
    assert line.ended == "internal error"
    assert line.leg.played["apology"] == len(flow.phrases.apology) * 65 * 8
    assert line.leg.hang_ups == ["drained", "at once"]
    assert [finished.result for finished in line.all(ev.ToolFinished)] == [{"booked_for": "somebody"}]


# --- the end of a call -----------------------------------------------------------------------------------------------


def test_a_write_that_outlives_the_call_is_waited_for_and_recorded(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.hangs_up()
        await line.until(ev.CallEnded)
        assert not line.running.done()
        write.go_on.set()
        await line.over()

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book it"])
    assert line.outcome[-2:] == ["CallEnded", "ToolFinished"]


def test_a_write_under_way_is_waited_for_when_the_server_stops(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.running.cancel()
        await line.until(ev.CallEnded)
        assert not line.running.done()
        write.go_on.set()
        await line.over()

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book it"])
    assert line.running.cancelled()
    assert line.ended == "cancelled"
    assert line.outcome[-2:] == ["CallEnded", "ToolFinished"]


def test_a_write_that_cannot_be_stopped_does_not_keep_the_call_from_being_over(exchange: Any) -> None:
    write = SlowWrite(stubborn=True)

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.hangs_up()
        await line.until(ev.CallEnded)
        await line.waits(70_000)
        await line.over()
        write.go_on.set()
        await line.settle()

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book it"])
    assert line.outcome[-2:] == ["CallEnded", "ToolFailed"]
    assert line.all(ev.ToolFailed)[0].kind == "unknown"


def test_a_leg_that_does_not_hang_up_does_not_keep_the_call_from_being_over(exchange: Any) -> None:
    stuck = Never()

    async def scenario(line: Any) -> None:
        line.leg.hang_up = stuck
        await asks(line)
        line.leg.hang_ups.append("never")
        await line.waits(25_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(ask_for("finish")), heard="that is all")
    assert stuck.asked == 2
    assert line.ended == "phase end"


def test_a_server_that_stops_ends_its_calls_in_good_order(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        line.running.cancel()
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")))
    assert line.running.cancelled()
    assert line.ended == "cancelled"
    assert line.leg.hang_ups == ["at once"]


def test_more_events_than_can_be_handled_end_the_call(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        for _ in range(3_000):
            line.leg.tell(ev.DigitsPressed("1"))
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")))
    assert line.ended == "too many events"
    assert line.leg.hang_ups == ["at once"]
    assert not line.all(HangUp)


# --- secrets ---------------------------------------------------------------------------------------------------------

PIN = "73914682"
SPOKEN_PIN = "seven three nine one four six eight two"
HANDLE = '{"pin": "⟨pin#1: 8 digits⟩"}'


@tool
async def check(pin: Sealed) -> dict[str, object]:
    """Check a PIN, and be careless with it."""
    return {"right": pin == PIN, "pin": pin, "number": int(pin)}


@tool
async def refuse(pin: Sealed) -> dict[str, object]:
    """Refuse a PIN, and be careless with it."""
    raise ToolFailed(f"{pin} is wrong")


def _nothing_of_the_secret_in(directory: Any) -> None:
    written = b"".join(file.read_bytes() for file in directory.iterdir())
    assert PIN.encode() not in written
    assert b"seven three" not in written
    assert "⟨pin#1: 8 digits⟩".encode() in written


@pytest.mark.parametrize("careless", [check, refuse])
def test_a_pin_that_is_spoken_is_never_written(exchange: Any, careless: Tool) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(2_000)

    model = lines(ask_for(careless.name, HANDLE), say("Thank you."))
    (line,) = exchange.serve(scenario, desk(careless, sensitive=True), lines=model, heard=[f"it is {SPOKEN_PIN}"])
    _nothing_of_the_secret_in(exchange.directory)
    results = line.all(ev.ToolFinished)
    assert not results or results[0].result["right"]
    assert PIN not in str(line.seen) + str(line.effects)


def test_a_pin_that_is_pressed_is_never_written(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.presses(PIN)
        await line.waits(5_000)

    model = lines(ask_for("check", HANDLE), say("Thank you."))
    (line,) = exchange.serve(scenario, desk(check, sensitive=True), lines=model)
    _nothing_of_the_secret_in(exchange.directory)
    assert line.all(ev.ToolFinished)[0].result["right"]


def test_a_pin_that_a_write_returns_after_the_call_is_never_written(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.hangs_up()
        await line.until(ev.CallEnded)
        write.go_on.set()
        await line.over()

    flow = desk(write.with_pin, sensitive=True)
    model = lines(ask_for("book_with_pin", HANDLE))
    (line,) = exchange.serve(scenario, flow, lines=model, heard=[f"it is {SPOKEN_PIN}"])
    _nothing_of_the_secret_in(exchange.directory)
    assert line.all(ev.ToolFinished)[0].result == {"booked_for": "⟨pin#1: 8 digits⟩"}


# --- the record ------------------------------------------------------------------------------------------------------


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

    exchange.serve(scenario, desk(book), lines=model, heard=["book"], calls=2, first=same_carrier_id)
    assert len(keys) == len(set(keys))
    assert {key.partition(":")[0] for key in keys} == {"CA1", "CA1.2"}


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
