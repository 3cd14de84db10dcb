"""Wave files: recorded callers on the way in, recorded calls on the way out."""

from __future__ import annotations

import wave
from io import BytesIO
from pathlib import Path

from voiceagent.audio.pcm import interleave, split_channels
from voiceagent.errors import ScriptError, Source

__all__ = ["read_stereo_wav", "read_wav", "wav_bytes", "write_stereo_wav", "write_wav"]


def read_wav(path: Path) -> tuple[bytes, int]:
    """Return the 16-bit little-endian mono samples of a file and their rate in Hz.

    Raises ScriptError, naming the file, where it is missing, is no wave file or is not 16-bit mono.
    """
    return _read(path, channels=1)


def read_stereo_wav(path: Path) -> tuple[bytes, bytes, int]:
    """Return the samples of both channels, left and right, and their rate in Hz. Raises ScriptError as `read_wav`."""
    pcm, rate_hz = _read(path, channels=2)
    left, right = split_channels(pcm)
    return left, right, rate_hz


def _read(path: Path, *, channels: int) -> tuple[bytes, int]:
    source = Source(str(path))
    try:
        with wave.open(str(path), "rb") as file:
            found, sample_bytes = file.getnchannels(), file.getsampwidth()
            pcm, rate_hz = file.readframes(file.getnframes()), file.getframerate()
    except OSError as exc:
        raise ScriptError(f"cannot be read: {exc.strerror}", source=source) from exc
    except (wave.Error, EOFError) as exc:
        raise ScriptError(f"is not a PCM wave file: {exc}", source=source) from exc
    if sample_bytes != 2:
        raise ScriptError(f"has {8 * sample_bytes}-bit samples, 16-bit is needed", source=source)
    if found != channels:
        needed = "one is" if channels == 1 else f"{channels} are"
        raise ScriptError(f"has {found} channels, {needed} needed", source=source)
    return pcm, rate_hz


def write_wav(path: Path, pcm: bytes, *, rate_hz: int) -> None:
    """Write 16-bit little-endian mono samples. Raises OSError where the file cannot be written."""
    _write(path, pcm, rate_hz=rate_hz, channels=1)


def wav_bytes(pcm: bytes, *, rate_hz: int) -> bytes:
    """Return 16-bit little-endian mono samples as the content of a wave file."""
    content = BytesIO()
    _write(content, pcm, rate_hz=rate_hz, channels=1)
    return content.getvalue()


def write_stereo_wav(path: Path, left: bytes, right: bytes, *, rate_hz: int) -> None:
    """Write two mono channels as one file; the shorter channel ends in silence. Raises OSError."""
    _write(path, interleave(left, right), rate_hz=rate_hz, channels=2)


def _write(to: Path | BytesIO, pcm: bytes, *, rate_hz: int, channels: int) -> None:
    with wave.open(str(to) if isinstance(to, Path) else to, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)
