"""Audio between a line and a model: the same sound, at the same pace, whatever pieces it comes in."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest

from voiceagent.audio import mulaw_to_pcm16, pcm16_to_mulaw
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.runtime.conversion import Converter

PCM_8K, PCM_16K, PCM_24K = (AudioFormat("pcm16", hz) for hz in (8_000, 16_000, 24_000))


def tone(hz: int, ms: int, rate_hz: int) -> bytes:
    """Return a tone as 16-bit PCM."""
    count = ms * rate_hz // 1_000
    return struct.pack(f"<{count}h", *(round(8_000 * math.sin(math.tau * hz * n / rate_hz)) for n in range(count)))


def risings(pcm: bytes) -> int:
    """Return how often the sound goes from below to above: so many waves of a tone."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    return sum(before < 0 <= after for before, after in pairwise(samples))


@pytest.mark.parametrize("target", [PCM_8K, PCM_16K, PCM_24K], ids=lambda target: target.rate_hz)
@pytest.mark.parametrize("source", [PCM_8K, PCM_16K, PCM_24K], ids=lambda source: source.rate_hz)
def test_a_second_stays_a_second_and_a_tone_keeps_its_pitch(source: AudioFormat, target: AudioFormat) -> None:
    pytest.importorskip("soxr", reason="needs the extra 'resampling'")
    convert = Converter(source, target)
    audio = tone(440, 1_000, source.rate_hz)
    heard = b"".join(convert.feed(audio[at : at + 641]) for at in range(0, len(audio), 641)) + convert.end()
    assert abs(len(heard) - 1_000 * target.bytes_per_ms) <= 2 * target.bytes_per_ms
    assert abs(risings(heard) - 440) <= 2


@pytest.mark.parametrize("target", [PCM_16K, PCM_8K], ids=["as it is", "at another rate"])
def test_half_a_sample_waits_for_its_other_half(target: AudioFormat) -> None:
    pytest.importorskip("soxr", reason="needs the extra 'resampling'")
    convert = Converter(PCM_16K, target)
    audio = tone(440, 100, 16_000)
    pieces = [convert.feed(audio[at : at + 33]) for at in range(0, len(audio), 33)]
    assert [len(piece) % 2 for piece in pieces] == [0] * len(pieces)
    heard = b"".join(pieces) + convert.end()
    assert abs(len(heard) - 100 * target.bytes_per_ms) <= 2
    assert abs(risings(heard) - 44) <= 1


def test_bytes_pass_untouched_where_both_speak_the_same() -> None:
    convert = Converter(MULAW_8K, MULAW_8K)
    assert convert.feed(b"\x01\x02\x03") == b"\x01\x02\x03"
    assert convert.end() == b""


def test_a_telephone_at_the_rate_of_the_model_needs_no_resampling() -> None:
    codes = pcm16_to_mulaw(tone(440, 20, 8_000))
    assert Converter(MULAW_8K, PCM_8K).feed(codes) == mulaw_to_pcm16(codes)
    assert Converter(PCM_8K, MULAW_8K).feed(mulaw_to_pcm16(codes)) == codes
