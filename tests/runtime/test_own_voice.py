"""The caller's own loudness: people far behind them do not interrupt the agent, and nobody is shut out for long."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.runtime.desk_calls import desk, greeted, lines
from voiceagent.audio import pcm16_to_mulaw
from voiceagent.core.effects import StopPlayout
from voiceagent.ports import MULAW_8K, SpeechOff, SpeechOn, VadHandle
from voiceagent.runtime.own_voice import OwnVoice
from voiceagent.speech.energy import EnergyVad
from voiceagent.testing import say

LOUD, SOFT, FAR = -18, -26, -34
Change = SpeechOn | SpeechOff


class Line:
    """A line on which voices of any loudness are heard, and an agent that speaks or does not."""

    def __init__(self, vad: VadHandle | None = None) -> None:
        self.agent_speaks = False
        self.now_ms = 0
        vad = vad or EnergyVad().open(MULAW_8K)
        self._ears = OwnVoice(vad, MULAW_8K, agent_speaks=lambda: self.agent_speaks)
        self.quiet(500)

    def quiet(self, ms: int) -> list[Change]:
        return self._hear(b"\xff" * (ms * MULAW_8K.bytes_per_ms))

    def voice(self, dbfs: float, ms: int) -> list[Change]:
        """Let somebody speak, with a pause behind it; returns what was decided."""
        return [*self.goes_on(dbfs, ms), *self.quiet(400)]

    def goes_on(self, dbfs: float, ms: int) -> list[Change]:
        """Let somebody speak who does not stop."""
        peak = 32_767 * 10 ** (dbfs / 20) * math.sqrt(2)
        wave = [round(peak * math.sin(math.tau * 300 * n / 8_000)) for n in range(ms * 8)]
        return self._hear(pcm16_to_mulaw(struct.pack(f"<{len(wave)}h", *wave)))

    def known_caller(self) -> Line:
        self.voice(LOUD, 1_000)
        self.voice(LOUD, 1_000)
        return self

    def _hear(self, audio: bytes) -> list[Change]:
        decided: list[Change] = []
        for at in range(0, len(audio), 160):
            decided += self._ears.feed(audio[at : at + 160])
            self.now_ms += 20
        return decided


def heard_from(decided: Sequence[Change]) -> list[int]:
    return [change.at_ms for change in decided if isinstance(change, SpeechOn)]


def test_people_far_behind_the_caller_are_not_heard_while_the_agent_speaks() -> None:
    line = Line().known_caller()
    line.agent_speaks = True
    assert line.voice(FAR, 2_000) == []


def test_before_the_caller_is_known_everybody_is_heard() -> None:
    line = Line()
    line.agent_speaks = True
    assert len(line.voice(FAR, 2_000)) == 2


def test_while_the_agent_is_silent_everybody_is_heard() -> None:
    assert len(Line().known_caller().voice(FAR, 2_000)) == 2


def test_the_caller_is_heard_as_early_as_ever_though_they_speak_softly() -> None:
    for dbfs in (LOUD, SOFT):
        line = Line().known_caller()
        line.agent_speaks = True
        began_ms = line.now_ms
        assert heard_from(line.voice(dbfs, 1_000)) == [began_ms]


def test_whoever_is_still_speaking_when_the_agent_has_finished_is_heard_from_shortly_before_it() -> None:
    line = Line().known_caller()
    line.agent_speaks = True
    assert line.goes_on(FAR, 2_000) == []
    line.agent_speaks = False
    finished_ms = line.now_ms
    (from_ms,) = heard_from(line.voice(FAR, 500))
    assert finished_ms - 500 <= from_ms <= finished_ms


def test_a_caller_who_has_moved_away_from_the_telephone_is_heard_after_six_seconds_and_then_at_once() -> None:
    line = Line().known_caller()
    line.agent_speaks = True
    for _ in range(2):
        assert line.voice(FAR, 2_500) == []
    assert len(heard_from(line.voice(FAR, 2_500))) == 1
    began_ms = line.now_ms
    assert heard_from(line.voice(FAR, 1_000)) == [began_ms]


def test_a_caller_who_speaks_lower_and_lower_is_followed() -> None:
    line = Line().known_caller()
    for _ in range(3):
        line.voice(FAR, 1_000)
    line.agent_speaks = True
    assert len(heard_from(line.voice(FAR, 1_000))) == 1


def test_one_shout_does_not_shut_the_caller_out() -> None:
    line = Line()
    line.voice(FAR, 1_000)
    line.voice(FAR, 1_000)
    line.voice(-6, 1_000)
    line.agent_speaks = True
    assert len(heard_from(line.voice(FAR, 1_000))) == 1


_spoken = st.tuples(st.sampled_from([LOUD, SOFT, FAR]), st.sampled_from([100, 700, 1_500]), st.booleans())


@settings(max_examples=30, deadline=None)
@given(st.lists(_spoken, max_size=6))
def test_starts_and_ends_alternate_whatever_is_held_back(said: list[tuple[int, int, bool]]) -> None:
    line = Line()
    decided: list[Change] = []
    for dbfs, ms, agent_speaks in said:
        line.agent_speaks = agent_speaks
        decided += line.voice(dbfs, ms)
    assert [type(change) for change in decided] == [SpeechOn, SpeechOff] * (len(decided) // 2)
    assert [change.at_ms for change in decided] == sorted(change.at_ms for change in decided)


class Behind:
    """A voice detector that decides a moment after it was fed; fulfils `VadHandle`."""

    def __init__(self, vad: VadHandle) -> None:
        self._vad = vad
        self.late: list[Change] = []
        self.audible_since_ms = None

    def feed(self, audio: bytes) -> Sequence[Change]:
        self.late += self._vad.feed(audio)
        return ()

    def close(self) -> None:
        self._vad.close()


class LateLine(Line):
    """The same line, before such a detector."""

    def __init__(self) -> None:
        self._behind = Behind(EnergyVad().open(MULAW_8K))
        super().__init__(self._behind)

    def _hear(self, audio: bytes) -> list[Change]:
        decided: list[Change] = []
        for at in range(0, len(audio), 160):
            decided += super()._hear(audio[at : at + 160])
            while self._behind.late:
                decided += self._ears.late(self._behind.late.pop(0))
        return decided


@settings(max_examples=60, deadline=None)
@given(st.lists(_spoken, max_size=6))
@example([*[(LOUD, 100, False)] * 4, (FAR, 1_500, True)])  # a frame more of each, and they would be known
def test_what_is_decided_after_the_frame_is_as_good_as_what_is_decided_with_it(
    said: list[tuple[int, int, bool]],
) -> None:
    lines = Line(), LateLine()
    for dbfs, ms, agent_speaks in said:
        for line in lines:
            line.agent_speaks = agent_speaks
        at_once, later = (line.voice(dbfs, ms) for line in lines)
        assert later == at_once


@pytest.mark.parametrize("from_afar", [True, False])
def test_in_a_call_somebody_far_behind_the_caller_does_not_interrupt_the_agent(
    exchange: Any, *, from_afar: bool
) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says(1_200)
        await line.waits(2_500)
        await line.speaks(1_500, from_afar=from_afar)

    story = say("It is ten by the clock of the town hall, and nine by that of the church, which is always late.")
    (line,) = exchange.serve(scenario, desk(), lines=lines(story), heard=["what time is it", "thank you very much"])
    assert bool(line.all(StopPlayout)) != from_afar
