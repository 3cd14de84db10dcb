"""Voice activity by loudness."""

from __future__ import annotations

import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.audio import pcm16_to_alaw, pcm16_to_mulaw
from voiceagent.ports import MULAW_8K, AudioFormat, SpeechOff, SpeechOn, VadEngine, VadHandle
from voiceagent.speech import EnergyVad

SILENCE = b"\xff"
PER_MS = 8


def pcm(samples: list[float]) -> bytes:
    return struct.pack(f"<{len(samples)}h", *(round(sample) for sample in samples))


def tone(length_ms: int, *, rate_hz: int = 8000, peak: int = 8000) -> bytes:
    count = rate_hz * length_ms // 1000
    return pcm([peak * math.sin(math.tau * 300 * n / rate_hz) for n in range(count)])


def noise(length_ms: int, *, deviation: float) -> bytes:
    source = random.Random(7)  # noqa: S311  # the same noise every time
    return pcm([source.gauss(0, deviation) for _ in range(PER_MS * length_ms)])


def heard(audio: bytes, audio_format: AudioFormat = MULAW_8K, *, pause_ms: int = 200) -> list[SpeechOn | SpeechOff]:
    engine: VadEngine = EnergyVad(pause_ms=pause_ms)
    handle: VadHandle = engine.open(audio_format)
    return list(handle.feed(audio))


def spoken(voice_ms: int) -> bytes:
    quiet = SILENCE * (1000 * PER_MS)
    return quiet + pcm16_to_mulaw(tone(voice_ms)) + quiet


def test_a_voice_is_heard_from_its_start_to_its_true_end():
    assert heard(spoken(500)) == [SpeechOn(1000), SpeechOff(1500)]


def test_a_click_of_40_ms_is_no_voice():
    assert heard(spoken(40)) == []


def test_silence_is_no_voice():
    assert heard(SILENCE * (3000 * PER_MS)) == []


@pytest.mark.parametrize("audio_format", [AudioFormat("pcm16", 8000), AudioFormat("pcm16", 16000)])
def test_microphone_audio_is_heard_as_telephone_audio_is(audio_format: AudioFormat):
    quiet = bytes(audio_format.bytes_per_ms * 1000)
    audio = quiet + tone(500, rate_hz=audio_format.rate_hz) + quiet
    assert heard(audio, audio_format) == [SpeechOn(1000), SpeechOff(1500)]


def test_a_european_trunk_is_heard_as_an_american_one_is():
    quiet = b"\xd5" * (1000 * PER_MS)
    audio = quiet + pcm16_to_alaw(tone(500)) + quiet
    assert heard(audio, AudioFormat("alaw", 8000)) == [SpeechOn(1000), SpeechOff(1500)]


def test_a_voice_over_a_noisy_line_is_heard_and_the_noise_is_not():
    audio = noise(1000, deviation=180) + tone(500) + noise(1000, deviation=180)
    assert heard(pcm16_to_mulaw(audio)) == [SpeechOn(1000), SpeechOff(1500)]


def test_noise_that_stays_becomes_the_floor():
    changes = heard(SILENCE * (1000 * PER_MS) + pcm16_to_mulaw(noise(5000, deviation=500)))
    assert [type(change) for change in changes] == [SpeechOn, SpeechOff]
    assert changes[1].at_ms < 4000


def test_a_caller_who_speaks_at_once_is_heard():
    assert heard(pcm16_to_mulaw(tone(400)) + SILENCE * (500 * PER_MS)) == [SpeechOn(0), SpeechOff(400)]


def test_the_pause_that_ends_speech_can_be_chosen():
    two_words = spoken(500)[: -600 * PER_MS] + spoken(500)[1000 * PER_MS :]
    assert len(heard(two_words, pause_ms=200)) == 4
    assert heard(two_words, pause_ms=500) == [SpeechOn(1000), SpeechOff(2400)]


@given(st.lists(st.integers(1, 3000), max_size=40))
def test_how_the_audio_is_cut_changes_nothing(cuts: list[int]):
    audio = spoken(300)
    handle = EnergyVad().open(MULAW_8K)
    changes: list[SpeechOn | SpeechOff] = []
    start = 0
    for size in cuts:
        changes += handle.feed(audio[start : start + size])
        start += size
    changes += handle.feed(audio[start:])
    assert changes == [SpeechOn(1000), SpeechOff(1300)]


def test_one_engine_keeps_its_calls_apart():
    engine = EnergyVad()
    talking, silent = engine.open(MULAW_8K), engine.open(MULAW_8K)
    for start in range(0, 2500 * PER_MS, 160):
        talking.feed(spoken(500)[start : start + 160])
        assert silent.feed(SILENCE * 160) == []


NUMBERS = [f"{number:02}" for number in range(1, 21)]
ENDS = {"01": 2900, "04": 1720, "07": 4040, "15": 920, "17": 1900, "20": 2360}
"""Where the voice falls for good below -45 dBFS, in ms of the recording; read off its levels."""


@pytest.mark.parametrize("number", NUMBERS)
def test_recorded_callers_are_heard(number: str, utterance):
    changes = heard(utterance(number, quiet_ms=1000))
    assert isinstance(changes[0], SpeechOn)
    assert 1180 <= changes[0].at_ms <= 1320
    assert isinstance(changes[-1], SpeechOff)
    if number in ENDS:
        assert changes[-1].at_ms == pytest.approx(1000 + ENDS[number], abs=60)


# --- audible ----------------------------------------------------------------------------------------------------------


def audible_since(audio: bytes) -> int | None:
    handle = EnergyVad().open(MULAW_8K)
    handle.feed(audio)
    return handle.audible_since_ms


def test_a_line_at_its_noise_floor_is_not_audible():
    assert audible_since(SILENCE * (2000 * PER_MS)) is None
    assert audible_since(pcm16_to_mulaw(noise(4000, deviation=40))) is None


@pytest.mark.parametrize("voice_ms", [7, 20, 45, 300])
def test_a_voice_is_audible_from_its_beginning_before_it_is_told(voice_ms: int):
    assert audible_since(SILENCE * (1000 * PER_MS) + pcm16_to_mulaw(tone(voice_ms))) == 1000


def test_half_a_sample_is_not_audible():
    handle = EnergyVad().open(AudioFormat("pcm16", 16000))
    handle.feed(b"\x7f")
    assert handle.audible_since_ms is None


def test_a_voice_that_is_over_is_not_audible():
    assert audible_since(spoken(500)) is None
