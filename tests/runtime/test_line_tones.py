"""A call that we have placed, over a line with real audio: what a machine says, its beep, and the message after it."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace

from tests.runtime.conftest import Exchange, Line
from voiceagent import BeepHeard, Flow, HangUpAfter, MachineAnswers, PersonAnswers, Phase, Say, Transition, Wait
from voiceagent.audio import pcm16_to_mulaw
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.events import PlayoutStarted
from voiceagent.ports import MULAW_8K
from voiceagent.runtime.tones import LineTones
from voiceagent.testing.manual_clock import ManualClock

FRAME_MS = 20
FLOW = Flow(
    name="reminder",
    initial="reach",
    phases=(
        Phase(
            name="reach",
            on_enter=Say(text="Good morning, this is the clinic."),
            transitions=(Transition(on=MachineAnswers(), to="await_beep"),),
        ),
        Phase(
            name="await_beep",
            on_enter=Wait(),
            transitions=(
                Transition(on=BeepHeard(silence_ms=10_000), to="leave_message"),
                Transition(on=PersonAnswers(), to="reach"),
            ),
        ),
        Phase(name="leave_message", on_enter=Say(text="Please call us back."), ends=HangUpAfter()),
    ),
)


def beep(hz: int = 1_000, ms: int = 300) -> list[bytes]:
    """Frames of a beep, µ-law."""
    samples = [round(8_000 * math.sin(math.tau * hz * at / 8_000)) for at in range(8 * ms)]
    audio = pcm16_to_mulaw(array("h", samples).tobytes())
    return [audio[at : at + 160] for at in range(0, len(audio), 160)]


async def beeps(line: Line) -> None:
    for frame in beep():
        await line.settle()
        line.clock.advance(FRAME_MS)
        assert line.leg.events is not None
        line.leg.events.audio_arrived(frame)


def placed(line: Line) -> None:
    line.incoming = replace(line.incoming, outbound=True)


def test_a_machine_is_left_its_message_after_the_beep(exchange: Exchange) -> None:
    async def scenario(line: Line) -> None:
        await line.waits(400)
        await line.says(1_500)
        assert line.spoken == []
        await line.waits(200)
        await beeps(line)
        silent_ms = line.clock.now_ms()
        await line.waits(300)
        await line.until(PlayoutStarted)
        assert line.clock.now_ms() - silent_ms <= 300
        await line.waits(4_000)

    (line,) = exchange.serve(
        scenario, FLOW, lines=lambda _: (), heard=["Leave a message after the beep."], first=placed
    )
    assert line.spoken == ["Please call us back."]
    (tone,) = line.all(ev.ToneHeard)
    assert (abs(tone.hz - 1_000) <= 5, abs(tone.lasted_ms - 300) <= 40) == (True, True)
    assert [listen.on for listen in line.all(fx.ListenForTones)] == [True, False]
    assert line.ended == "phase leave_message"


def test_a_person_is_spoken_to_soon_after_their_hello(exchange: Exchange) -> None:
    async def scenario(line: Line) -> None:
        await line.waits(400)
        await line.speaks(500)
        silent_ms = line.clock.now_ms()
        await line.waits(1_500)
        await line.until(PlayoutStarted)
        (began,) = line.all(PlayoutStarted)
        assert began.at_ms - silent_ms <= 1_500
        await line.waits(4_000)

    (line,) = exchange.serve(scenario, FLOW, lines=lambda _: (), heard=["Hello?"], first=placed)
    assert line.spoken[0] == "Good morning, this is the clinic."


def test_nobody_looks_for_tones_in_a_call_that_has_come_in(exchange: Exchange) -> None:
    async def scenario(line: Line) -> None:
        await line.waits(3_000)
        await beeps(line)
        await line.waits(500)

    (line,) = exchange.serve(scenario, FLOW, lines=lambda _: ())
    assert line.all(ev.ToneHeard) == []


def test_a_tone_is_dated_by_the_clock() -> None:
    clock, heard = ManualClock(5_000), list[ev.Event]()
    tones = LineTones(MULAW_8K, clock, heard.append)
    silence = [b"\xff" * 160] * 20
    tones.listen(on=True)
    for frame in [*silence, *beep(ms=200), *silence]:
        clock.advance(FRAME_MS)
        tones.hear(frame)
    (tone,) = heard
    assert isinstance(tone, ev.ToneHeard)
    assert abs(tone.at_ms - 5_400) <= 40
    tones.listen(on=False)
    for frame in [*beep(), *silence]:
        tones.hear(frame)
    assert len(heard) == 1
