"""The telephone codes, against the former standard library and against themselves."""

from __future__ import annotations

import struct
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.audio import (
    ALAW_SILENCE,
    MULAW_SILENCE,
    alaw_to_pcm16,
    mulaw_energy,
    mulaw_to_pcm16,
    pcm16_to_alaw,
    pcm16_to_mulaw,
)

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = struct.pack("<65536h", *range(-32768, 32768))


def samples(pcm: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(pcm) // 2}h", pcm)


def test_silence_is_the_code_of_zero():
    assert pcm16_to_mulaw(b"\0\0") == bytes([MULAW_SILENCE])
    assert pcm16_to_alaw(b"\0\0") == bytes([ALAW_SILENCE])
    assert mulaw_to_pcm16(bytes([MULAW_SILENCE])) == b"\0\0"


def test_the_loudest_codes_are_those_of_the_standard():
    assert samples(mulaw_to_pcm16(b"\x00\x80")) == (-32124, 32124)
    assert samples(alaw_to_pcm16(b"\x2a\xaa")) == (-32256, 32256)


def test_both_codes_agree_with_the_former_standard_library_for_every_sample():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        audioop = pytest.importorskip("audioop", reason="left the standard library in 3.13")
    assert pcm16_to_mulaw(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE, 2)
    assert pcm16_to_alaw(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE, 2)
    assert mulaw_to_pcm16(EVERY_CODE) == audioop.ulaw2lin(EVERY_CODE, 2)
    assert alaw_to_pcm16(EVERY_CODE) == audioop.alaw2lin(EVERY_CODE, 2)


def test_every_alaw_code_survives_the_round_trip():
    assert pcm16_to_alaw(alaw_to_pcm16(EVERY_CODE)) == EVERY_CODE


def test_every_mulaw_code_but_the_negative_zero_survives_the_round_trip():
    assert pcm16_to_mulaw(mulaw_to_pcm16(EVERY_CODE)) == EVERY_CODE.replace(b"\x7f", b"\xff")


@given(st.integers(-32768, 32767))
def test_a_sample_comes_back_within_its_quantising_step(sample: int):
    (back,) = samples(mulaw_to_pcm16(pcm16_to_mulaw(struct.pack("<h", sample))))
    assert abs(back - sample) <= max(8, abs(sample) // 16 + 8, abs(sample) - 32124)


def test_half_a_sample_is_refused():
    with pytest.raises(ValueError, match="even number"):
        pcm16_to_mulaw(b"\0\0\0")


def test_energy_grows_with_the_voice():
    quiet = pcm16_to_mulaw(struct.pack("<4h", 100, -100, 100, -100))
    loud = pcm16_to_mulaw(struct.pack("<4h", 9000, -9000, 9000, -9000))
    assert mulaw_energy(bytes([MULAW_SILENCE]) * 160) == 0
    assert 90 <= mulaw_energy(quiet) <= 110 < mulaw_energy(loud)
    assert mulaw_energy(b"") == 0
