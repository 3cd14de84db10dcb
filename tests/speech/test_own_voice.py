"""The caller's own loudness, on recorded callers: the same people far behind them are not heard over the agent."""

from __future__ import annotations

import pytest

from voiceagent.audio import mulaw_to_pcm16, pcm16_to_mulaw
from voiceagent.ports import MULAW_8K, SpeechOff, SpeechOn
from voiceagent.runtime.own_voice import OwnVoice

pytestmark = pytest.mark.engines


def softer(audio: bytes, by_db: float) -> bytes:
    import numpy as np

    samples = np.frombuffer(mulaw_to_pcm16(audio), "<i2") * 10 ** (-by_db / 20)
    return pcm16_to_mulaw(samples.astype("<i2").tobytes())


@pytest.mark.parametrize("number", ["03", "07", "11", "15", "19"])
@pytest.mark.parametrize(("softer_db", "heard"), [(0, True), (6, True), (18, False)])
def test_who_is_as_loud_as_the_caller_interrupts_the_agent_and_who_is_far_away_does_not(
    number: str, softer_db: float, heard: bool, silero, utterance
):
    agent_speaks = False
    ears = OwnVoice(silero.open(MULAW_8K), MULAW_8K, agent_speaks=lambda: agent_speaks)

    def hear(audio: bytes) -> list[SpeechOn | SpeechOff]:
        return [change for at in range(0, len(audio), 160) for change in ears.feed(audio[at : at + 160])]

    assert hear(utterance(number, quiet_ms=600) * 2)
    agent_speaks = True
    assert bool(hear(softer(utterance(number, quiet_ms=600), softer_db))) == heard
