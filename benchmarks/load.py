"""Load: many callers at once, in real time, against any server that speaks Twilio Media Streams.

Each caller listens, speaks, listens again; every third time it cuts in while the agent is speaking. Marks go back when
the audio before them would have been heard. The generator says how late its own frames were: where they are, its
figures speak of this machine and not of the server.

    python -m benchmarks.load ws://127.0.0.1:8080/media/twilio/loadtest --calls 25 --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import math
import secrets
import struct
from collections import deque
from dataclasses import asdict, dataclass, field
from time import monotonic_ns

import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.figures import percentile
from voiceagent.audio import FRAME_MS, MULAW_SILENCE, pcm16_to_mulaw

__all__ = ["LoadReport", "main"]

_RATE_HZ = 8000
_FRAME_BYTES = _RATE_HZ * FRAME_MS // 1000
_SPEAKS_MS = 1_200
_CUTS_IN_AFTER_MS = 700
_CUTS_IN_FOR_MS = 800
_LISTENS_ON_MS = 400
"""Silence of the agent after which it counts as having finished."""
_EVERY_NTH_CUTS_IN = 3
_GIVES_UP_MS = 8_000
_SPREAD_MS = 2_000
"""Callers ring one after the other over this time, so that their turns do not fall together."""


@dataclass(slots=True)
class LoadReport:
    """What the callers saw."""

    calls: int
    seconds: float
    turns: int = 0
    answers_ms: list[float] = field(default_factory=list[float])
    """From the end of the caller's voice to the arrival of the answer's first audio: what is waited for included."""
    clears_ms: list[float] = field(default_factory=list[float])
    """From the first sound of a caller who cuts in to the arrival of `clear`."""
    clear_at_ns: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Call → when each `clear` came, on the system's monotonic clock."""
    audio_at_ns: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Call → when the first audio of each answer came, on the same clock."""
    underruns: int = 0
    """Times a caller's ear ran dry in the middle of a sentence, with 40 ms of audio as its buffer."""
    unanswered: int = 0
    broken: int = 0
    late_p99_ms: float = 0.0
    """The generator's own lateness."""


def _loud_frame() -> str:
    samples = [round(12_000 * math.sin(math.tau * 300 * n / _RATE_HZ)) for n in range(_FRAME_BYTES)]
    return base64.b64encode(pcm16_to_mulaw(struct.pack(f"<{_FRAME_BYTES}h", *samples))).decode()


_LOUD = _loud_frame()
_SILENT = base64.b64encode(bytes([MULAW_SILENCE]) * _FRAME_BYTES).decode()


class _Call:
    """One caller: a small state machine that is told of the agent's messages and asked for one frame per tick."""

    def __init__(self, connection: ClientConnection, report: LoadReport) -> None:
        self._connection = connection
        self._report = report
        self._stream = f"MZ{secrets.token_hex(16)}"
        self.name = f"CA{secrets.token_hex(16)}"
        self._at_ms = 0
        self._sequence = 0
        self._unplayed_ms = 0
        self._marks: deque[tuple[int, str]] = deque()
        """(audio still to be heard before it, name)."""
        self._speaking_until_ms = 0
        self._agent_heard_from_ms: int | None = None
        self._agent_quiet_from_ms = 0
        self._spoke_at_ms = 0
        self._cutting_in_since_ns: int | None = None
        self._voice_ended_ns: int | None = None
        self._answered = False
        self._turn = 0

    async def start(self) -> None:
        await self._connection.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        body = {
            "streamSid": self._stream,
            "accountSid": "AC" + "0" * 32,
            "callSid": self.name,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": _RATE_HZ, "channels": 1},
            "customParameters": {},
        }
        self._sequence += 1
        number = str(self._sequence)
        await self._connection.send(
            json.dumps({"event": "start", "sequenceNumber": number, "streamSid": self._stream, "start": body})
        )

    async def listen(self) -> None:
        try:
            async for message in self._connection:
                self._take(str(message))
        except ConnectionClosed:
            self._report.broken += 1

    def _take(self, message: str) -> None:
        read = json.loads(message)
        match read["event"]:
            case "media":
                self._hear(len(base64.b64decode(read["media"]["payload"])) * 1000 // _RATE_HZ)
            case "mark":
                self._marks.append((self._unplayed_ms, read["mark"]["name"]))
            case "clear":
                self._cleared()
            case _:
                self._report.broken += 1

    def _hear(self, ms: int) -> None:
        now_ns = monotonic_ns()
        if self._voice_ended_ns is not None and not self._answered:
            self._answered = True
            self._report.answers_ms.append((now_ns - self._voice_ended_ns) / 1e6)
            self._report.audio_at_ns.setdefault(self.name, []).append(now_ns)
        self._unplayed_ms += ms

    def _cleared(self) -> None:
        now_ns = monotonic_ns()
        self._report.clear_at_ns.setdefault(self.name, []).append(now_ns)
        if self._cutting_in_since_ns is not None:
            self._report.clears_ms.append((now_ns - self._cutting_in_since_ns) / 1e6)
            self._cutting_in_since_ns = None
        self._unplayed_ms = 0
        self._marks = deque((0, name) for _, name in self._marks)

    # --- one frame ---

    async def tick(self) -> None:
        self._play()
        while self._marks and self._marks[0][0] <= 0:
            await self._send("mark", {"name": self._marks.popleft()[1]})
        speaking = self._decide()
        media = {
            "track": "inbound",
            "chunk": str(self._sequence),
            "timestamp": str(self._at_ms),
            "payload": _LOUD if speaking else _SILENT,
        }
        await self._send("media", media)
        self._at_ms += FRAME_MS

    async def _send(self, event: str, body: dict[str, str]) -> None:
        self._sequence += 1
        message = {"event": event, "sequenceNumber": str(self._sequence), "streamSid": self._stream, event: body}
        await self._connection.send(json.dumps(message, separators=(",", ":")))

    def _play(self) -> None:
        if self._unplayed_ms > 0:
            self._unplayed_ms -= FRAME_MS
            self._marks = deque((left - FRAME_MS, name) for left, name in self._marks)
            if self._agent_heard_from_ms is None:
                self._agent_heard_from_ms = self._at_ms
            elif 0 < self._at_ms - self._agent_quiet_from_ms - 40 < _LISTENS_ON_MS:
                self._report.underruns += 1
            self._agent_quiet_from_ms = self._at_ms + FRAME_MS

    def _decide(self) -> bool:
        """Whether this frame is voice."""
        if self._at_ms < self._speaking_until_ms:
            return True
        if self._speaking_until_ms and self._voice_ended_ns is None:
            self._voice_ended_ns, self._answered = monotonic_ns(), False
            self._agent_heard_from_ms = None
            return False
        heard_ms = self._agent_heard_from_ms
        if heard_ms is not None and self._wants_to_cut_in and self._at_ms - heard_ms >= _CUTS_IN_AFTER_MS:
            self._cutting_in_since_ns = monotonic_ns()
            self._speak(_CUTS_IN_FOR_MS)
        elif heard_ms is not None and self._at_ms - self._agent_quiet_from_ms >= _LISTENS_ON_MS:
            self._speak(_SPEAKS_MS)
        elif self._at_ms - max(self._spoke_at_ms, self._agent_quiet_from_ms) >= _GIVES_UP_MS:
            self._report.unanswered += 1
            self._speak(_SPEAKS_MS)
        else:
            return False
        return True

    @property
    def _wants_to_cut_in(self) -> bool:
        return self._turn % _EVERY_NTH_CUTS_IN == _EVERY_NTH_CUTS_IN - 1

    def _speak(self, ms: int) -> None:
        self._turn += 1
        self._report.turns += 1
        self._spoke_at_ms = self._at_ms
        self._speaking_until_ms = self._at_ms + ms
        self._voice_ended_ns = None
        self._agent_heard_from_ms = None


async def place(url: str, *, calls: int, seconds: float) -> LoadReport:
    """Place the calls, let them run for this time after the last has begun, and hang up."""
    report = LoadReport(calls, seconds)
    late_ms: list[float] = []
    running: list[_Call] = []
    listening: list[asyncio.Task[None]] = []
    connections: list[ClientConnection] = []
    started_ns = monotonic_ns()
    frame_ns = FRAME_MS * 1_000_000
    ticks = 0
    while ticks * FRAME_MS < _SPREAD_MS + seconds * 1000:
        wanted = min(calls, 1 + ticks * FRAME_MS * calls // _SPREAD_MS)
        while len(running) < wanted:
            connection = await connect(url, compression=None, proxy=None, max_queue=None)
            call = _Call(connection, report)
            await call.start()
            connections.append(connection)
            running.append(call)
            listening.append(asyncio.create_task(call.listen()))
        due_ns = started_ns + ticks * frame_ns
        early_ns = due_ns - monotonic_ns()
        if early_ns > 0:
            await asyncio.sleep(early_ns / 1e9)
        late_ms.append(max(0.0, (monotonic_ns() - due_ns) / 1e6))
        for call in running:
            try:
                await call.tick()
            except ConnectionClosed:
                report.broken += 1
        ticks += 1
    for task in listening:
        task.cancel()
    await asyncio.gather(*(connection.close() for connection in connections))
    report.late_p99_ms = percentile(late_ms, 0.99)
    return report


def main() -> None:
    """Place the calls and print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    report = uvloop.run(place(options.url, calls=options.calls, seconds=options.seconds))
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
