"""Levels, lengths, channels, frames and wave files."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent import audio
from voiceagent.audio import (
    MULAW_SILENCE,
    SILENCE_DBFS,
    cut_frames,
    duration_ms,
    interleave,
    level_dbfs,
    mulaw_level_dbfs,
    mulaw_to_pcm16,
    pad_to_multiple,
    read_wav,
    split_channels,
    write_stereo_wav,
    write_wav,
)
from voiceagent.errors import ScriptError


def sine(peak: int) -> bytes:
    return struct.pack("<800h", *(round(peak * math.sin(2 * math.pi * n / 80)) for n in range(800)))


def test_every_public_name_exists():
    assert all(hasattr(audio, name) for name in audio.__all__)


def test_a_full_scale_sine_is_three_decibels_below_full_scale():
    assert level_dbfs(sine(32767)) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(sine(3277)) == pytest.approx(-23.01, abs=0.01)


@given(st.binary(max_size=200))
def test_the_level_of_mulaw_audio_is_that_of_its_samples(codes):
    assert mulaw_level_dbfs(codes) == level_dbfs(mulaw_to_pcm16(codes))


def test_silence_has_the_lowest_level():
    assert level_dbfs(bytes(320)) == level_dbfs(b"") == SILENCE_DBFS


def test_a_second_lasts_a_second_in_every_encoding():
    assert duration_ms(bytes(8000), rate_hz=8000, sample_bytes=1) == 1000
    assert duration_ms(bytes(32000), rate_hz=16000) == 1000


@given(st.binary(max_size=400), st.integers(1, 200))
def test_padding_only_adds_at_the_end(data: bytes, size: int):
    padded = pad_to_multiple(data, size, silence=0xFF)
    assert padded.startswith(data)
    assert len(padded) % size == 0
    assert len(padded) - len(data) < size


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_two_channels_can_be_taken_apart_again(left: bytes, right: bytes):
    left, right = left[: len(left) // 2 * 2], right[: len(right) // 2 * 2]
    longest = max(len(left), len(right))
    assert split_channels(interleave(left, right)) == (
        left.ljust(longest, b"\0"),
        right.ljust(longest, b"\0"),
    )


def test_the_tail_of_the_last_frame_is_silent():
    frames = list(cut_frames(b"\x01" * 200, bytes_per_ms=8, silence=MULAW_SILENCE))
    assert frames == [b"\x01" * 160, b"\x01" * 40 + b"\xff" * 120]


def test_no_audio_gives_no_frame():
    assert list(cut_frames(b"", bytes_per_ms=8, silence=MULAW_SILENCE)) == []


def test_what_was_written_can_be_read(tmp_path: Path):
    write_wav(tmp_path / "caller.wav", sine(1000), rate_hz=8000)
    assert read_wav(tmp_path / "caller.wav") == (sine(1000), 8000)


def test_a_call_is_written_with_one_party_per_channel(tmp_path: Path):
    write_stereo_wav(tmp_path / "call.wav", b"\1\0" * 3, b"\2\0", rate_hz=8000)
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        assert file.readframes(9) == b"\1\0\2\0\1\0\0\0\1\0\0\0"


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ScriptError, match=r"nowhere\.wav: cannot be read: No such file"):
        read_wav(tmp_path / "nowhere.wav")


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF\0\0\0\0WAVE", b"OggS" * 40])
def test_a_file_that_is_no_wave_file_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "speech.wav").write_bytes(content)
    with pytest.raises(ScriptError, match=r"speech\.wav: is not a PCM wave file"):
        read_wav(tmp_path / "speech.wav")


def test_stereo_is_refused_where_one_caller_is_expected(tmp_path: Path):
    write_stereo_wav(tmp_path / "both.wav", b"\0\0", b"\0\0", rate_hz=8000)
    with pytest.raises(ScriptError, match="has 2 channels"):
        read_wav(tmp_path / "both.wav")


def test_eight_bit_samples_are_refused(tmp_path: Path):
    with wave.open(str(tmp_path / "old.wav"), "wb") as file:
        file.setparams((1, 1, 8000, 0, "NONE", ""))
        file.writeframes(b"\x80" * 80)
    with pytest.raises(ScriptError, match="8-bit samples, 16-bit"):
        read_wav(tmp_path / "old.wav")
