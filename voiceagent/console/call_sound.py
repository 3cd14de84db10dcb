"""The sound of a recorded call as a page shows it: how loud each side was when, and where the call begins in it."""

from __future__ import annotations

import base64
import os
import wave
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voiceagent.errors import JournalError
from voiceagent.runtime.timeline import Timeline

__all__ = ["MOST_EMBEDDED_BYTES", "CallSound", "read_sound", "source_of"]

MOST_EMBEDDED_BYTES = 48 * 1024 * 1024
"""Half an hour at 8 kHz. A longer recording is played from its own file: browsers give up on larger pages."""

_STEP_MS = 10
_MOST_PEAKS = 60_000
"""Per side: a pixel for every tenth of a second of an hour and a half."""
_FULL_SCALE = 32_768
_AUDIBLE = 400
"""Of 32768: -38 dBFS. The agent's voice is above it, what a line hums is not."""
_EDGE_MS = 200
_MOST_COMPARED = 200
"""Utterances: they tell where a call of hours begins as well as all of them would."""
_AT_ONCE = 1_000
_EARLIEST_MS, _LATEST_MS = -5_000, 60_000
"""Where the call may begin in its recording, which may have begun while it rang."""


@dataclass(frozen=True, slots=True)
class CallSound:
    """What is drawn of a recording."""

    caller: bytes
    """The loudest sample of every stretch, 0..255; square root of the amplitude, so that quiet speech is seen."""
    agent: bytes
    peaks_per_s: float
    offset_ms: int
    """How long after its beginning the call begins."""
    duration_ms: int


def read_sound(
    path: Path, timeline: Timeline, *, begins_with_the_call: bool = False, rest: Callable[[], None] = lambda: None
) -> CallSound:
    """Return what is drawn of a recording with the caller on the left and the agent on the right.

    Where the call begins in it is found out, which takes a second, unless it `begins_with_the_call`. `rest` is called
    every few milliseconds, for whoever reads while calls go on.

    Raises JournalError, naming the file, where it is missing or is no 16-bit stereo wave file.
    """
    caller, agent = array("H"), array("H")
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (2, 2):
                what = f"{file.getnchannels()} channels of {8 * file.getsampwidth()} bits"
                raise JournalError(f"{path} has {what}; a recording of a call has 2 of 16")
            rate_hz, frames = file.getframerate(), file.getnframes()
            step = rate_hz * _STEP_MS // 1_000
            while chunk := file.readframes(step * 100):
                samples = array("h", chunk)
                caller.extend(_loudest(samples[::2], step))
                agent.extend(_loudest(samples[1::2], step))
                rest()
    except OSError as exc:
        raise JournalError(f"{path} cannot be read: {exc.strerror}") from exc
    except (wave.Error, EOFError) as exc:
        raise JournalError(f"{path} is not a PCM wave file: {exc}") from exc
    every = max(1, -(-len(agent) // _MOST_PEAKS))
    return CallSound(
        _drawn(caller, every, rest),
        _drawn(agent, every, rest),
        peaks_per_s=1_000 / (_STEP_MS * every),
        offset_ms=0 if begins_with_the_call else _offset_ms(agent, timeline, rest),
        duration_ms=frames * 1_000 // rate_hz,
    )


def source_of(path: Path, page: Path) -> str:
    """Return where a page finds the recording: in itself, or, where it is too long for that, beside itself."""
    if path.stat().st_size > MOST_EMBEDDED_BYTES:
        return Path(os.path.relpath(path.resolve(), page.resolve().parent)).as_posix()
    return "data:audio/wav;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _offset_ms(agent: Sequence[int], timeline: Timeline, rest: Callable[[], None]) -> int:
    """Return where the call begins in its recording: where what the agent said falls best on what is heard of it.

    A journal knows when its call began, not when somebody pressed a recorder's button. What counts twice is where the
    agent begins to speak: a sentence ends in a silence of its own.
    """
    said = [(span.from_ms, span.until_ms) for span in timeline.spans if span.track in {"agent", "filler"}]
    said = said[:_MOST_COMPARED]
    heard = [0]
    for peak in agent:
        heard.append(heard[-1] + (1 if peak > _AUDIBLE else -1))
        if len(heard) % _AT_ONCE == 0:
            rest()
    if not said or heard[-1] == -len(agent):
        return 0

    def between(from_ms: int, until_ms: int) -> int:
        first, last = (min(max(0, ms // _STEP_MS), len(agent)) for ms in (from_ms, until_ms))
        return heard[last] - heard[first]

    def fits(offset_ms: int) -> int:
        rest()
        whole = sum(between(begin + offset_ms, end + offset_ms) for begin, end in said)
        edges = sum(
            between(begin + offset_ms, begin + offset_ms + _EDGE_MS)
            - between(begin + offset_ms - _EDGE_MS, begin + offset_ms)
            for begin, _ in said
        )
        return whole + 2 * edges

    return max(range(_EARLIEST_MS, _LATEST_MS, _STEP_MS), key=lambda offset_ms: (fits(offset_ms), -abs(offset_ms)))


def _loudest(samples: array[int], step: int) -> list[int]:
    stretches = (samples[at : at + step] for at in range(0, len(samples), step))
    return [max(*stretch, -min(stretch)) for stretch in stretches]


def _drawn(peaks: Sequence[int], every: int, rest: Callable[[], None]) -> bytes:
    drawn = bytearray()
    for at in range(0, len(peaks), every):
        rest()
        drawn.append(min(255, int(255 * (max(peaks[at : at + every]) / _FULL_SCALE) ** 0.5)))
    return bytes(drawn)
