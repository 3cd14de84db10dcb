"""Load: many callers at once, in real time, against any server that speaks Twilio Media Streams.

Each caller listens, speaks, listens again; every third time it cuts in while the agent is speaking. Marks go back when
the audio before them would have been heard. Callers ring one after the other, and their frames are spread over the
20 ms, as those of real callers are. The generator says how late and how busy it was itself: where it was late, its
figures speak of this machine and not of the server.

    python -m benchmarks.load ws://127.0.0.1:8080/media/twilio/loadtest --calls 25 --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import math
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Coroutine
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic_ns, process_time

import uvloop

from benchmarks.load_report import Lateness, LoadReport, merged
from benchmarks.media_stream import RATE_HZ, MediaStream
from voiceagent.audio import FRAME_MS, MULAW_SILENCE, pcm16_to_mulaw

__all__ = ["LoadReport", "Turnover", "main", "place"]

_FRAME_BYTES = RATE_HZ * FRAME_MS // 1000
_SLOT_NS = 1_000_000
"""Timers go by milliseconds, so the callers of one millisecond send together."""
_STRIDE = 7
"""Prime to the slots of a frame: callers who ring one after the other are far from each other in it."""
_LEAST_RAMP_MS = 2_000
_RAMP_MS_PER_CALL = 20
"""Fifty calls a second: what a server does for a call that begins is not what it can carry."""
_SETTLE_MS = 1_000
"""From when the last caller should be connected to when the counting begins."""


def _loud_frame() -> bytes:
    samples = [round(12_000 * math.sin(math.tau * 300 * n / RATE_HZ)) for n in range(_FRAME_BYTES)]
    return base64.b64encode(pcm16_to_mulaw(struct.pack(f"<{_FRAME_BYTES}h", *samples)))


_TONE = (_loud_frame(),)
_SILENT = base64.b64encode(bytes([MULAW_SILENCE]) * _FRAME_BYTES)


def frames_of(mulaw: bytes) -> tuple[bytes, ...]:
    """Cut 8 kHz µ-law into frames in base64; what is left over at the end is filled with silence."""
    pieces = [mulaw[at : at + _FRAME_BYTES] for at in range(0, len(mulaw), _FRAME_BYTES)]
    return tuple(base64.b64encode(piece.ljust(_FRAME_BYTES, bytes([MULAW_SILENCE]))) for piece in pieces)


async def place(
    url: str, *, calls: int, seconds: float, voice: tuple[bytes, ...] = _TONE, lasting_s: float | None = None
) -> LoadReport:
    """Place the calls, let them run for this time after the last has begun, and hang up.

    `voice` is what callers say, in frames of 20 ms in base64; one frame alone is repeated for as long as they speak.
    With `lasting_s` callers hang up after that time, one after the other, and for each of them another rings.
    """
    return await _Generator(url, calls, seconds, voice, lasting_s).run()


class Turnover:
    """When the caller who has been there longest hangs up and another rings: evenly, so that calls are of every age."""

    def __init__(self, calls: int, lasting_s: float | None) -> None:
        """Callers stay for `lasting_s`; None: to the end."""
        self._calls = calls
        self._lasting_ms = None if lasting_s is None else lasting_s * 1_000
        self._replaced = 0

    def is_due(self, steady_for_ms: int) -> bool:
        """Whether it is somebody's turn now, which counts as done then; all callers have been there for so long."""
        if self._lasting_ms is None or steady_for_ms * self._calls <= self._replaced * self._lasting_ms:
            return False
        self._replaced += 1
        return True


class _Generator:
    """The callers of one process, and the one clock that all of their frames go by."""

    def __init__(self, url: str, calls: int, seconds: float, voice: tuple[bytes, ...], lasting_s: float | None) -> None:
        self._url = url
        self._voice = voice
        self._report = LoadReport(calls, seconds)
        self._late = Lateness()
        self._slots: list[list[MediaStream]] = [[] for _ in range(FRAME_MS)]
        self._connected: deque[tuple[MediaStream, list[MediaStream]]] = deque()
        """Callers with their slots, those who have been there longest first."""
        self._turnover = Turnover(calls, lasting_s)
        self._tasks: set[asyncio.Task[None]] = set()
        """What opens calls and hangs up on them."""
        self._ramp_ms = max(_LEAST_RAMP_MS, calls * _RAMP_MS_PER_CALL)

    async def run(self) -> LoadReport:
        report = self._report
        began_ns, steady_ms = monotonic_ns(), self._ramp_ms + _SETTLE_MS
        cpu_s, placed = 0.0, 0
        for number in range(steady_ms + int(report.seconds * 1000)):
            if number == steady_ms:
                self._late = Lateness()
                report.begin_steady(monotonic_ns())
                cpu_s = process_time()
            due_ns = began_ns + number * _SLOT_NS
            await asyncio.sleep(max(0, due_ns - monotonic_ns()) / 1e9)
            if number < steady_ms and placed < report.calls and number * report.calls >= placed * self._ramp_ms:
                self._call(placed)
                placed += 1
            if self._turnover.is_due(number - steady_ms):
                self._hang_up_first()
                self._call(placed)
                placed += 1
            for stream in self._slots[number % FRAME_MS]:
                now_ns = monotonic_ns()
                self._late.add(now_ns - due_ns)
                stream.tick(now_ns)
        report.steady_until_ns = monotonic_ns()
        report.cpu_s = process_time() - cpu_s
        report.cpu_share = report.cpu_s / ((report.steady_until_ns - report.steady_from_ns) / 1e9)
        report.late_p50_ms, report.late_p99_ms = self._late.percentile_ms(0.5), self._late.percentile_ms(0.99)
        report.late_max_ms = self._late.max_ms
        told = replace(report)  # what hanging up adds is none of it
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(stream.hang_up() for slot in self._slots for stream in slot))
        return told

    def _call(self, number: int) -> None:
        stream = MediaStream(self._url, self._report, self._voice, _SILENT)
        self._begin(self._open(stream, self._slots[number * _STRIDE % FRAME_MS]))

    async def _open(self, stream: MediaStream, slot: list[MediaStream]) -> None:
        if await stream.open():
            slot.append(stream)
            self._connected.append((stream, slot))

    def _hang_up_first(self) -> None:
        if self._connected:
            stream, slot = self._connected.popleft()
            slot.remove(stream)
            self._begin(stream.hang_up())

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _by_several(url: str, calls: int, options: argparse.Namespace) -> LoadReport:
    shares = [calls // options.processes + (number < calls % options.processes) for number in range(options.processes)]
    given = [url, "--seconds", str(options.seconds), *(("--voice", str(options.voice)) if options.voice else ())]
    given += ["--lasting", str(options.lasting)] if options.lasting is not None else []
    running = [
        subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "benchmarks.load", *given, "--calls", str(share)], stdout=subprocess.PIPE, text=True
        )
        for share in shares
        if share
    ]
    return merged([LoadReport(**json.loads(process.communicate()[0])) for process in running])


def main() -> None:
    """Place the calls and print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=20.0, help="from when all callers are connected")
    parser.add_argument("--voice", type=Path, help="what callers say: raw 8 kHz µ-law; a loud tone without it")
    parser.add_argument("--lasting", type=float, help="seconds after which a caller hangs up, and another rings")
    parser.add_argument("--processes", type=int, default=1, help="generators that share the callers")
    options = parser.parse_args()
    gc.disable()  # its pauses would look like the server's; what is left behind by some minutes is little
    if options.processes > 1:
        report = _by_several(options.url, options.calls, options)
    else:
        voice = frames_of(options.voice.read_bytes()) if options.voice else _TONE
        placed = place(
            options.url, calls=options.calls, seconds=options.seconds, voice=voice, lasting_s=options.lasting
        )
        report = uvloop.run(placed)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
