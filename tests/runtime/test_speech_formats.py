"""Lines and speech models that speak different formats: what is said arrives whole, once and at the right speed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from voiceagent.core import events as ev
from voiceagent.ports import MULAW_8K, AudioFormat, SpeechCapabilities

pytest.importorskip("numpy", reason="needs the extra 'resampling'")
pytest.importorskip("soxr", reason="needs the extra 'resampling'")

from tests.runtime.taped_call import TapedCall, missing, play, tape

PCM_8K, PCM_16K, PCM_24K = (AudioFormat("pcm16", hz) for hz in (8_000, 16_000, 24_000))
LEGS = {"telephone": MULAW_8K, "16 kHz": PCM_16K, "24 kHz": PCM_24K}
_ROW = SpeechCapabilities(name="tape", swap="in_place", audio_in=(), audio_out=(), transcribes=True)
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


@pytest.mark.parametrize("marks", [True, False], ids=["marks", "no marks"])
@pytest.mark.parametrize("leg", LEGS)
def test_a_model_is_told_how_much_of_its_reply_was_played_whatever_both_speak(
    leg: str, marks: bool, tmp_path: Path
) -> None:
    async def interrupted(call: TapedCall) -> None:
        await call.until(3_000)
        call.model.last.says("That takes six seconds to say, or nearly so it does, if nobody stops it.", 21, 6_000)
        await call.until(7_000)
        call.model.last.understood("Stop that please")

    row = ROWS["16 in, 24 out"]
    said = tape(LEGS[leg], 9_000, (1, 4_500, 1_500))
    call = play(interrupted, leg=LEGS[leg], row=row, said=said, folder=tmp_path, marks=marks)
    (played_ms,) = call.model.last.truncated
    assert abs(played_ms - 2_000) <= 150  # half a second after the caller has begun it is certain that they mean it
    heard = bytes(call.line.heard)
    assert missing(21, (played_ms - 100) // 50 * 50, heard, call.line.audio) == []
    assert missing(21, (played_ms + 150) // 50 * 50, heard, call.line.audio) != []


@pytest.mark.parametrize("leg", LEGS)
def test_without_marks_a_reply_counts_as_heard_when_it_was(leg: str, tmp_path: Path) -> None:
    async def hears_it_out(call: TapedCall) -> None:
        await call.until(3_000)
        call.model.last.says("That takes three seconds to say.", 21, 3_000)

    said = tape(LEGS[leg], 8_000, (1, 1_500, 900))
    call = play(hears_it_out, leg=LEGS[leg], row=ROWS["24 kHz only"], said=said, folder=tmp_path, marks=False)
    reached = [event for event in call.all(ev.PlayoutReached) if event.utterance == "u1" and event.finished]
    assert [abs(event.heard_ms - 3_000) <= 50 for event in reached] == [True]
    assert missing(21, 3_000, bytes(call.line.heard), call.line.audio) == []
