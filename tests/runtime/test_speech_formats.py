"""Lines and speech models that speak different formats: what is said arrives whole, once and at the right speed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from voiceagent.ports import MULAW_8K, AudioFormat, SpeechCapabilities

pytest.importorskip("numpy", reason="needs the extra 'resampling'")
pytest.importorskip("soxr", reason="needs the extra 'resampling'")

from tests.runtime.taped_call import TapedCall, missing, play, tape

PCM_8K, PCM_16K, PCM_24K = (AudioFormat("pcm16", hz) for hz in (8_000, 16_000, 24_000))
LEGS = {"telephone": MULAW_8K, "16 kHz": PCM_16K, "24 kHz": PCM_24K}
_ROW = SpeechCapabilities(name="tape", swap="in_place", audio_in=(), audio_out=(), transcribes=True, truncates=True)
ROWS = {
    "24 kHz only": replace(_ROW, audio_in=(PCM_24K,), audio_out=(PCM_24K,)),
    "16 in, 24 out": replace(_ROW, audio_in=(PCM_16K,), audio_out=(PCM_24K,)),
    "any of Nova's": replace(_ROW, audio_in=(PCM_16K, PCM_8K), audio_out=(PCM_8K, PCM_16K, PCM_24K)),
    "telephone": replace(_ROW, audio_in=(MULAW_8K,), audio_out=(MULAW_8K,)),
}


async def through_a_swap(call: TapedCall) -> None:
    """Say something, be sent to the next counter, speak all the while, and be answered twice."""
    await call.until(4_630)  # the next sentence has begun, and nobody has noticed
    call.model.last.understood("I have a visit")
    call.model.last.asks_for("to_visits")
    await call.until(8_300)
    call.model.last.understood("When are you open?")
    call.model.last.says("That takes three seconds to say, or nearly so it does.", 11, 3_000, odd=True)
    await call.until(13_000)
    call.model.last.says("And that takes two of them.", 12, 2_000)


@pytest.mark.parametrize("swap", ["in_place", "new_session"])
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("leg", LEGS)
def test_caller_and_model_hear_each_other_whole_across_a_swap(leg: str, row: str, swap: str, tmp_path: Path) -> None:
    said = tape(LEGS[leg], 17_000, (1, 2_000, 2_000), (2, 4_600, 3_000))
    call = play(through_a_swap, leg=LEGS[leg], row=replace(ROWS[row], swap=swap), said=said, folder=tmp_path)
    first, last = call.model.sessions[0], call.model.last
    assert (first is last) == (swap == "in_place")
    assert missing(1, 2_000, bytes(first.heard), first.setup.audio_in) == []
    assert missing(2, 3_000, bytes(last.heard), last.setup.audio_in) == []
    assert missing(11, 3_000, bytes(call.line.heard), call.line.audio) == []
    assert missing(12, 2_000, bytes(call.line.heard), call.line.audio) == []
