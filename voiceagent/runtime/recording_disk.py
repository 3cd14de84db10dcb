"""The recordings' thread: it alone writes the sound of calls to the disk, and makes nobody wait for it.

A recording is a wave file of 16-bit samples, the caller on the left and the agent on the right. It is readable at any
moment: what is not known yet, or is not to be heard, is silence.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from voiceagent.audio import interleave, split_channels, to_pcm16
from voiceagent.ports import AudioFormat

__all__ = ["Begun", "Channel", "Ended", "Placed", "RecordingFile", "RecordingsDisk", "Silenced"]

_MOST_WAITING = 8_192
"""Pieces that the thread has not got to: a disk that is so far behind has stopped."""
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FRAME_BYTES = 4
"""Two samples of 16 bits."""
_LARGEST_BYTES = 2**32 - _HEADER.size - 8

Channel = Literal["caller", "agent"]


@dataclass(frozen=True, slots=True)
class Begun:
    """The file is to be made, and what is known of the call to be noted beside it."""

    notes: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Placed:
    """Sound, or silence, that belongs there; it takes the place of what is there already."""

    channel: Channel
    at: int
    """Sample."""
    audio: bytes
    format: AudioFormat


@dataclass(frozen=True, slots=True)
class Silenced:
    """The caller is not to be heard there after all: done even where recording has stopped, since it takes no room."""

    at: int
    samples: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing comes any more."""

    tell: Callable[[], None]


Job = Begun | Placed | Silenced | Ended


@dataclass(slots=True, eq=False)
class RecordingFile:
    """A recording as the thread sees it."""

    path: Path
    rate_hz: int
    tell_stopped: Callable[[str], None]
    notes: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    output: FileIO | None = None
    samples: int = 0
    stopped: str | None = None
    unwanted: bool = False
    """Something in it that is not to be heard could not be silenced."""


@dataclass(frozen=True, slots=True)
class _Last:
    tell: Callable[[], None]


class RecordingsDisk:
    """The thread, and the bounded queue before it."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[tuple[RecordingFile, Job] | _Last] = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._write_all, name="recordings", daemon=True).start()

    def put(self, file: RecordingFile, job: Job) -> bool:
        """Have something done, after all that was put before; False where the disk does not keep up."""
        return self._put((file, job))

    def end(self, tell: Callable[[], None]) -> bool:
        """End the thread once everything is written, and call `tell` then; False where it is left behind."""
        return self._put(_Last(tell))

    def _put(self, job: tuple[RecordingFile, Job] | _Last) -> bool:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def _write_all(self) -> None:
        last = None
        while last is None:
            last = self._do_the_next()
        last.tell()

    def _do_the_next(self) -> _Last | None:
        """Wait for a job and do it; nothing of the call it is of is kept while the next one is waited for."""
        taken = self._jobs.get()
        if isinstance(taken, _Last):
            return taken
        file, job = taken
        try:
            _do(file, job)
        except Exception as exc:  # noqa: BLE001 - what one call cannot record must not end the recordings of others
            _stop(file, exc)
        if file.unwanted:
            file.path.unlink(missing_ok=True)
        if isinstance(job, Ended):
            job.tell()
        return None


def _do(file: RecordingFile, job: Job) -> None:
    match job:
        case Begun(notes):
            file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.notes = notes
            file.output = _private(file.path, "x+b")
            _note(file)  # before anything is in it: a recording of which nobody knows whose it is could not be found
            _write_header(file)
        case Placed() if file.output is not None and file.stopped is None:
            _place(file, file.output, job)
        case Silenced(at, samples) if file.output is not None:
            _silence(file, file.output, at, samples)
        case Ended() if file.output is not None:
            file.output.close()
            file.output = None
            if file.stopped is not None:
                _note(file)
        case _:
            pass


def _place(file: RecordingFile, output: FileIO, placed: Placed) -> None:
    mono = to_pcm16(placed.audio, placed.format.encoding)
    count = len(mono) // 2
    offset = _HEADER.size + placed.at * _FRAME_BYTES
    if (placed.at + count) * _FRAME_BYTES > _LARGEST_BYTES:
        raise OSError(None, "the file would be too large")
    output.seek(offset)
    there = output.read(count * _FRAME_BYTES) or b""
    caller, agent = split_channels(there.ljust(count * _FRAME_BYTES, b"\0"))
    both = interleave(mono, agent) if placed.channel == "caller" else interleave(caller, mono)
    output.seek(offset)
    _write(output, both)
    if placed.at + count > file.samples:
        file.samples = placed.at + count
        _write_header(file)


def _silence(file: RecordingFile, output: FileIO, at: int, samples: int) -> None:
    """Silence the caller where they have been written down; a recording in which that is not possible is none."""
    count = min(at + samples, file.samples) - at
    if count <= 0:
        return
    try:
        offset = _HEADER.size + at * _FRAME_BYTES
        output.seek(offset)
        there = output.read(count * _FRAME_BYTES) or b""
        _, agent = split_channels(there.ljust(count * _FRAME_BYTES, b"\0"))
        output.seek(offset)
        _write(output, interleave(bytes(2 * count), agent))
    except OSError:
        file.unwanted = True
        raise


def _write_header(file: RecordingFile) -> None:
    if file.output is None:
        return
    size = file.samples * _FRAME_BYTES
    file.output.seek(0)
    _write(
        file.output,
        _HEADER.pack(
            *(b"RIFF", size + _HEADER.size - 8, b"WAVE", b"fmt ", 16, 1, 2),
            *(file.rate_hz, file.rate_hz * _FRAME_BYTES, _FRAME_BYTES, 16, b"data", size),
        ),
    )


def _write(output: FileIO, octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[output.write(left) :]


def _note(file: RecordingFile) -> None:
    """Note beside the sound whose it is, so that it can be found again, and why it stops before the call does."""
    noted = json.dumps({"recording": {**file.notes, "stopped": file.stopped}}) + "\n"
    beside = file.path.with_suffix(".json")
    new = beside.with_suffix(".new")
    with _private(new, "wb") as notes:
        notes.write(noted.encode())
        os.fsync(notes)
    new.replace(beside)


def _private(path: Path, mode: str) -> FileIO:
    return FileIO(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def _stop(file: RecordingFile, exc: Exception) -> None:
    if file.stopped is None:
        if file.output is not None:
            with suppress(OSError):  # what was half written is of no use
                file.output.truncate(_HEADER.size + file.samples * _FRAME_BYTES)
        file.stopped = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
        file.tell_stopped(file.stopped)
