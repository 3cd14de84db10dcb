"""A recording is what both sides heard, sample by sample, without what is nobody's business."""

from __future__ import annotations

import asyncio
import json
import stat
from array import array
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.runtime.conftest import FRAME_MS, HandMadeLeg
from tests.runtime.desk_calls import GREETING, asks, desk, greeted, lines
from voiceagent import Digits, Flow, HangUpAfter, Phase, Prompt, Requested, Say, Sealed, Transition, tool
from voiceagent.audio import read_stereo_wav
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId, Epoch, UtteranceId
from voiceagent.ports import IncomingCall
from voiceagent.runtime import recording_disk
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.recording import PAUSE, RESUME, STOPPED, Recordings
from voiceagent.testing import ask_for, say
from voiceagent.testing.manual_clock import ManualClock

PER_MS = 8
"""Samples."""
FRAME = FRAME_MS * PER_MS


class Recorded:
    """A recording as it is heard."""

    def __init__(self, folder: Path, name: str = "call-1") -> None:
        caller, agent, self.rate_hz = read_stereo_wav(folder / f"{name}.wav")
        self.caller, self.agent = array("h", caller), array("h", agent)
        self.notes = json.loads((folder / f"{name}.json").read_text())["recording"]

    def caller_heard(self) -> list[tuple[int, int]]:
        """Return from when to when the caller is heard, in ms; pauses of less than a frame do not count."""
        return _heard(self.caller)

    def agent_heard(self) -> list[tuple[int, int]]:
        return _heard(self.agent)


def _heard(samples: array[int]) -> list[tuple[int, int]]:
    spans: list[list[int]] = []
    for at, sample in enumerate(samples):
        if abs(sample) > 10:
            if spans and at - spans[-1][1] < FRAME:
                spans[-1][1] = at
            else:
                spans.append([at, at])
    return [(begin // PER_MS, (end + 1) // PER_MS) for begin, end in spans]


def record(exchange: Any, scenario: Any, flow: Flow, **more: Any) -> tuple[Any, Recorded]:
    folder = exchange.directory.parent / "recordings"
    (line,) = exchange.serve(scenario, flow, recordings=lambda: Recordings(folder), **more)
    return line, Recorded(folder)


NOBODY = lines(say("I see."))


# --- both sides ------------------------------------------------------------------------------------------------------


def test_the_caller_is_left_and_the_agent_right_each_when_they_were_heard(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says(600)
        await line.waits(3_000)

    line, recorded = record(exchange, scenario, desk(), lines=NOBODY, heard=["Hello."])
    (voice,) = recorded.caller_heard()
    greeted_ms = len(GREETING) * 65
    assert voice[1] - voice[0] == pytest.approx(600, abs=2)
    assert voice[0] == pytest.approx(greeted_ms + 200, abs=FRAME_MS)
    greeting, answer = recorded.agent_heard()[0], recorded.agent_heard()[-1]
    assert greeting[0] <= FRAME_MS
    assert sum(end - begin for begin, end in recorded.agent_heard()) == pytest.approx(
        greeted_ms + 65 * len("I see."), abs=60
    )
    assert answer[0] > voice[1], "the answer comes after the question"
    assert recorded.notes["caller_number"] == "+15550100"
    assert recorded.notes["stopped"] is None
    assert line.ended


def test_of_the_agent_only_what_was_heard_is_recorded(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        await line.speaks(1_200)  # a barge-in: after half a second the greeting stops
        await line.waits(600)

    line, recorded = record(exchange, scenario, desk(), lines=NOBODY, heard=["Wait a moment please"])
    (stopped,) = line.all(ev.PlayoutStopped)[:1]
    assert stopped.heard_ms < len(GREETING) * 65 - 500
    heard_ms = sum(end - begin for begin, end in recorded.agent_heard() if begin < 2_000)
    assert heard_ms == pytest.approx(stopped.heard_ms, abs=FRAME_MS)


def test_a_recording_is_private_and_named_after_a_harmless_call(exchange: Any) -> None:
    def begin(line: Any) -> None:
        line.incoming = type(line.incoming)(CallId("../../etc/x\0"), line.leg, "desk", None, None, {})

    folder = exchange.directory.parent / "recordings"
    exchange.serve(greeted, desk(), lines=NOBODY, first=begin, complete=False, recordings=lambda: Recordings(folder))
    files = sorted(folder.iterdir())
    assert [file.suffix for file in files] == [".json", ".wav"]
    assert all(file.name.startswith("sha256-") for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_call_that_is_not_to_be_recorded_is_not(exchange: Any) -> None:
    exchange.serve(greeted, desk(), lines=NOBODY)
    assert not list(exchange.directory.parent.rglob("*.wav"))


# --- secrets ---------------------------------------------------------------------------------------------------------


@tool(sets=("recognised",))
async def check(pin: Sealed) -> dict[str, object]:
    """Check a PIN."""
    return {"recognised": True}


def guarded() -> Flow:
    """Talk, then a sensitive phase, then talk again."""
    from voiceagent import Facts

    class Known(Facts):
        recognised: bool = False

    go_on = Transition(on=Requested(name="go_on", description="They want in."), to="secret")
    return Flow(
        name="guarded",
        initial="open",
        facts=Known,
        phases=(
            Phase(name="open", prompt="g/t.md", on_enter=Say(text="Hello."), transitions=(go_on,)),
            Phase(
                name="secret",
                prompt="g/t.md",
                on_enter=Say(text="Your code?"),
                sensitive=True,
                expects=(Digits(name="pin", length=4, sealed=True),),
                tools=(check,),
                transitions=(Transition(on=check, to="after", when={"recognised": True}),),
            ),
            Phase(
                name="after",
                prompt="g/t.md",
                on_enter=Say(text="Thank you."),
                transitions=(Transition(on=Requested(name="finish", description="Done."), to="end"),),
            ),
            Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        prompts={"g/t.md": Prompt("Be kind.")},
    )


def test_in_a_sensitive_phase_the_caller_is_silent_to_the_sample(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(600)
        await line.says(600)
        await line.waits(2_500)
        await line.says(600)
        await line.waits(2_500)
        await line.says(600)
        await line.waits(2_000)

    model = lines(ask_for("go_on"), ask_for("check", '{"pin": "⟨pin#1: 4 digits⟩"}'), say("Good."))
    line, recorded = record(
        exchange, scenario, guarded(), lines=model, heard=["Let me in", "it is four five one nine", "And now?"]
    )
    assert line.all(ev.ToolFinished)[0].result == {"recognised": True}
    before, after = recorded.caller_heard()
    assert before[1] - before[0] == pytest.approx(600, abs=2)
    assert after[1] - after[0] == pytest.approx(600, abs=2)
    secret = recorded.caller[before[1] * PER_MS + FRAME : after[0] * PER_MS - FRAME]
    assert len(secret) > 3_000 * PER_MS
    assert set(secret) == {0}
    assert any(begin > before[1] for begin, _ in recorded.agent_heard()), "the agent is heard"


def test_the_provider_is_asked_for_a_pause_wherever_ours_would_be_silent(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(600)
        line.leg.tell(ev.HostEvent(PAUSE))
        await line.waits(100)
        line.leg.tell(ev.HostEvent(RESUME))
        await line.says(600)
        await line.waits(2_500)
        await line.says(600)
        await line.waits(2_500)

    exchange.record_at_provider = True
    model = lines(ask_for("go_on"), ask_for("check", '{"pin": "⟨pin#1: 4 digits⟩"}'), say("Good."))
    heard = ["Let me in", "it is four five one nine"]
    (line,) = exchange.serve(scenario, guarded(), lines=model, heard=heard)
    assert [on for _, on in line.leg.recorded] == [True, False, True, False, True]
    (_, paused_ms), (_, resumed_ms) = ((on, at_ms) for at_ms, on in line.leg.recorded[3:])
    begun = next(entry.at_ms for entry in line.journal.entries if entry.event == ev.PhaseSwapped(Epoch(2)))
    over = next(entry.at_ms for entry in line.journal.entries if isinstance(entry.event, ev.ToolFinished))
    assert paused_ms <= begun
    assert resumed_ms >= over


def test_without_being_told_to_no_provider_is_asked_to_record(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(600)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Good.")))
    assert line.leg.recorded == []


def test_the_silence_of_a_phase_begins_and_ends_between_two_samples(tmp_path: Path) -> None:
    async def call() -> None:
        recordings = Recordings(tmp_path)
        clock, (open_, secret, *_) = ManualClock(0), guarded().phases
        state: Any = SimpleNamespace(phase=open_)
        leg = HandMadeLeg(clock, 1)
        incoming = IncomingCall(CallId("call-1"), leg, "guarded", None, None, {})
        recording = recordings.begin(CallId("call-1"), incoming, state, clock, lambda _: None)
        for phase, samples in ((open_, 161), (secret, 20_003), (open_, 77)):
            state.phase = phase
            recording.heard(b"\x10" * samples)
        await recording.close()
        await recordings.close()

    asyncio.run(call())
    heard = [sample != 0 for sample in Recorded(tmp_path).caller]
    assert heard == [True] * 161 + [False] * 20_003 + [True] * 77


def test_a_number_that_nobody_asked_for_is_silenced_once_it_is_understood(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.says(1_500)
        await line.waits(4_000)
        await line.says(600)
        await line.waits(2_000)

    card = "my card is 4111 1111 1111 1111"
    _, recorded = record(exchange, scenario, desk(), lines=NOBODY, heard=["Hello.", card, "Thanks."])
    assert [end - begin for begin, end in recorded.caller_heard()] == pytest.approx([600, 600], abs=2)


def test_the_tone_of_a_key_that_is_a_secret_is_silenced_before_it_is_written(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        for _ in range(12):
            await line.speaks(100)
            line.leg.tell(ev.DigitsPressed("4"))
            await line.waits(400)
        await line.waits(3_000)

    line, recorded = record(exchange, scenario, desk(), lines=NOBODY)
    sealed = [event for event in line.all(ev.DigitsPressed) if event.handle]
    assert len(sealed) == 6
    assert len([span for span in recorded.caller_heard() if span[1] - span[0] > 50]) == 6


# --- on demand -------------------------------------------------------------------------------------------------------


def test_the_host_application_can_pause_it(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(200)
        line.leg.tell(ev.HostEvent(PAUSE))
        await line.waits(1_000)
        await line.speaks(100)
        line.leg.tell(ev.HostEvent(RESUME))
        await line.waits(len(GREETING) * 65)
        await line.speaks(100)

    _, recorded = record(exchange, scenario, desk(), lines=NOBODY)
    assert [end - begin for begin, end in recorded.caller_heard()] == [100]
    before, after = recorded.agent_heard()[0], recorded.agent_heard()[1]
    assert before[1] == pytest.approx(200, abs=FRAME_MS)
    assert after[0] == pytest.approx(1_300, abs=FRAME_MS)


def test_a_phase_can_say_that_nothing_of_it_is_recorded(exchange: Any) -> None:
    flow = desk()
    talk, end = flow.phases
    flow = flow.model_copy(update={"phases": (talk.model_copy(update={"record": False}), end)})

    async def scenario(line: Any) -> None:
        await asks(line)

    _, recorded = record(exchange, scenario, flow, lines=NOBODY, heard=["Hello."])
    assert recorded.caller_heard() == []
    assert recorded.agent_heard() == []


# --- a disk that fails -----------------------------------------------------------------------------------------------


async def asks_and_the_disk_has_failed(line: Any) -> None:
    """Ask, and hang up only when the call knows what has become of its recording, which the disk's thread tells."""
    await asks(line)
    await line.until(ev.HostEvent)


def test_on_a_full_disk_the_recording_stops_with_a_flag_and_the_call_goes_on(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0
    really = recording_disk._write  # pyright: ignore[reportPrivateUsage] - a disk that fills up

    def fills_up(output: Any, octets: bytes) -> None:
        nonlocal written
        written += len(octets)
        if written > 60_000:
            raise OSError(28, "No space left on device")
        really(output, octets)

    monkeypatch.setattr(recording_disk, "_write", fills_up)
    line, recorded = record(exchange, asks_and_the_disk_has_failed, desk(), lines=NOBODY, heard=["Hello."])
    (told,) = line.all(ev.HostEvent)
    assert (told.name, told.payload) == (STOPPED, {"reason": "No space left on device"})
    assert recorded.notes["stopped"] == "No space left on device"
    assert inspect_journal(line.journal).problems == ["recording stopped: No space left on device"]
    assert line.spoken[-1] == "I see."
    assert len(recorded.caller) > 0, "what was recorded before can be heard"


class Secret:
    """A caller who says a number that turns out to be a secret when the disk is full already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def written_bytes(self) -> int:
        file = self.folder / "call-1.wav"
        return file.stat().st_size if file.exists() else 0

    def says_it(self, disk_fills_up: Callable[[], None]) -> None:
        async def call() -> None:
            recordings = Recordings(self.folder)
            clock, state = ManualClock(0), SimpleNamespace(phase=desk().phases[0])
            incoming = IncomingCall(CallId("call-1"), HandMadeLeg(clock, 1), "desk", None, None, {})
            recording = recordings.begin(CallId("call-1"), incoming, cast("Any", state), clock, lambda _: None)

            def hears(sample: bytes, ms: int) -> None:
                for _ in range(ms // FRAME_MS):
                    clock.advance(FRAME_MS)
                    recording.heard(sample * FRAME)

            hears(b"\xff", 400)
            recording.happened(ev.CallerStartedSpeaking(UtteranceId("c1"), clock.now_ms()))
            hears(b"\x10", 3_000)
            recording.happened(ev.CallerPaused(UtteranceId("c1"), clock.now_ms()))
            hears(b"\xff", 4_000)
            while await asyncio.to_thread(self.written_bytes) < 3_400 * PER_MS * 4:
                pass  # the thread writes down what it has been given
            disk_fills_up()
            hears(b"\xff", 8_000)
            recording.happened(ev.TranscriptFinal(UtteranceId("c1"), "my card is ⟨digits#1: 16 digits⟩"))
            await recording.close()
            await recordings.close()

        asyncio.run(call())


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_secret_that_is_understood_after_the_disk_was_full_is_silenced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Secret(tmp_path).says_it(lambda: monkeypatch.setattr(recording_disk, "_place", full))
    recorded = Recorded(tmp_path)
    assert recorded.notes["stopped"] == "No space left on device"
    assert len(recorded.caller) > 3_000 * PER_MS
    assert recorded.caller_heard() == []


def test_where_it_cannot_be_silenced_there_is_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Secret(tmp_path).says_it(lambda: monkeypatch.setattr(recording_disk, "_write", full))
    assert not (tmp_path / "call-1.wav").exists()
    assert (tmp_path / "call-1.json").exists()


def test_a_folder_that_cannot_be_written_costs_no_call(exchange: Any) -> None:
    folder = exchange.directory.parent / "recordings"
    folder.write_text("not a folder")
    (line,) = exchange.serve(
        asks_and_the_disk_has_failed, desk(), lines=NOBODY, heard=["Hello."], recordings=lambda: Recordings(folder)
    )
    assert [event.name for event in line.all(ev.HostEvent)] == [STOPPED]
    assert line.spoken[-1] == "I see."
