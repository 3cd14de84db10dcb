"""The first voice of a call: somebody behind the caller is faint, and a caller who speaks softly is not lost."""

from __future__ import annotations

import math

import pytest

from voiceagent.audio import pcm16_to_alaw, pcm16_to_mulaw
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.runtime.first_voice import FirstVoice

PCM_8K = AudioFormat("pcm16", 8_000)


def voice(dbfs: float, *, ms: int = 400) -> bytes:
    """A tone of such a level (RMS), 16-bit at 8 kHz."""
    peak = 32_768 * 10 ** (dbfs / 20) * math.sqrt(2)
    samples = (round(peak * math.sin(2 * math.pi * 500 * at / 8_000)) for at in range(ms * 8))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def test_before_anybody_has_spoken_a_voice_is_held_against_a_usual_one() -> None:
    assert FirstVoice(PCM_8K).below_db(voice(-29)) is None
    assert FirstVoice(PCM_8K).below_db(voice(-35)) == 15


def test_once_the_caller_has_spoken_it_is_not_a_usual_voice_that_counts() -> None:
    first = FirstVoice(PCM_8K)
    assert first.below_db(voice(-24)) is None
    assert first.below_db(voice(-35)) is None


def test_a_caller_who_speaks_softly_is_the_caller_at_the_fourth_time() -> None:
    first = FirstVoice(PCM_8K)
    assert [first.below_db(voice(-36)) for _ in range(5)] == [16, 16, 16, None, None]


def test_a_cough_is_not_the_voice_by_which_a_caller_is_known() -> None:
    first = FirstVoice(PCM_8K)
    assert first.below_db(voice(-6, ms=300)) is None
    assert first.below_db(voice(-36)) == 16


def test_the_pauses_between_syllables_do_not_count() -> None:
    assert FirstVoice(PCM_8K).below_db(voice(-30, ms=200) + bytes(200 * 16)) is None


def test_digital_silence_is_nobodys_voice() -> None:
    assert FirstVoice(PCM_8K).below_db(bytes(6_400)) is None
    assert FirstVoice(PCM_8K).below_db(b"") is None


@pytest.mark.parametrize(
    ("encoded", "audio_format"),
    [(pcm16_to_mulaw(voice(-35)), MULAW_8K), (pcm16_to_alaw(voice(-35)), AudioFormat("alaw", 8_000))],
)
def test_what_telephones_speak_is_as_loud_as_it_was(encoded: bytes, audio_format: AudioFormat) -> None:
    assert FirstVoice(audio_format).below_db(encoded) == 15


def test_a_microphone_has_no_usual_level() -> None:
    assert FirstVoice(AudioFormat("pcm16", 16_000)).below_db(voice(-36)) is None
