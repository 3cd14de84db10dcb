"""The ringing tone that a caller hears while somebody is called for them."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from voiceagent.audio import ToneFinder, level_dbfs, ringing_tone_of, wav_bytes
from voiceagent.audio.ringing import BRITISH, EUROPEAN, NORTH_AMERICAN

RATE_HZ = 8_000


@pytest.mark.parametrize(
    ("number", "tone"),
    [
        ("+15551234567", NORTH_AMERICAN),
        ("+442071234567", BRITISH),
        ("+493012345", EUROPEAN),
        ("1000", EUROPEAN),
        ("sip:desk@example.com", EUROPEAN),
    ],
)
def test_a_number_rings_as_its_country_does(number, tone):
    assert ringing_tone_of(number) is tone


@pytest.mark.parametrize("tone", [NORTH_AMERICAN, BRITISH, EUROPEAN])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
def test_it_sounds_and_is_silent_as_long_as_it_should(tone, rate_hz):
    samples = np.frombuffer(tone.once(rate_hz), "<i2").astype(float)
    assert len(samples) == tone.lasts_ms * rate_hz // 1_000
    at_ms = 0
    for place, lasting_ms in enumerate(tone.cadence_ms):
        part = samples[at_ms * rate_hz // 1_000 : (at_ms + lasting_ms) * rate_hz // 1_000]
        at_ms += lasting_ms
        if place % 2:
            assert not part.any()
        else:
            spectrum = np.abs(np.fft.rfft(part))
            loudest = np.argsort(spectrum)[-len(tone.pitches_hz) :] * rate_hz / len(part)
            assert sorted(np.round(loudest)) == sorted(tone.pitches_hz)


@pytest.mark.parametrize("tone", [NORTH_AMERICAN, BRITISH, EUROPEAN])
def test_it_is_as_loud_as_a_voice_and_no_louder(tone):
    sounding = tone.once(RATE_HZ)[: tone.cadence_ms[0] * RATE_HZ // 1_000 * 2]
    assert -26 < level_dbfs(sounding) < -17


@pytest.mark.parametrize("tone", [NORTH_AMERICAN, BRITISH, EUROPEAN])
def test_no_agent_takes_it_for_the_beep_of_a_machine(tone):
    assert list(ToneFinder(RATE_HZ).feed(tone.once(RATE_HZ))) == []


def test_it_can_be_told_a_provider_as_a_file():
    with wave.open(io.BytesIO(wav_bytes(EUROPEAN.once(RATE_HZ), rate_hz=RATE_HZ))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
        assert file.readframes(file.getnframes()) == EUROPEAN.once(RATE_HZ)
