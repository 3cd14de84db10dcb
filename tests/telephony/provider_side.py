"""The other end of a media socket, dialect by dialect: a provider that buffers, plays in real time and echoes marks.

It is written from the providers' documents and not from our codecs: what marks do on a clear differs, and so do field
names, number types, and who carries which audio.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from voiceagent.audio import ALAW_SILENCE, FRAME_MS, MULAW_SILENCE, level_dbfs
from voiceagent.ports import MULAW_8K, AudioFormat, Clock
from voiceagent.speech.samples import pcm16_of

__all__ = [
    "AsTheirs",
    "AsteriskWire",
    "BrowserWire",
    "Caller",
    "Connection",
    "Line",
    "Provider",
    "TelnyxWire",
    "TwilioWire",
    "Wire",
    "swap_bytes",
]

AsTheirs = tuple[str, object]
"""What the agent has sent: (`audio`, bytes), (`mark`, name), (`clear`, None), (`answer`, None) or (`hang up`, None)."""
_AUDIBLE_DBFS = -45.0
_SILENCE = {"mulaw": MULAW_SILENCE, "alaw": ALAW_SILENCE, "pcm16": 0}


def swap_bytes(audio: bytes) -> bytes:
    """Return 16-bit samples in the other byte order."""
    swapped = bytearray(audio)
    swapped[0::2], swapped[1::2] = audio[1::2], audio[0::2]
    return bytes(swapped)


class Wire(Protocol):
    """How one provider writes and reads its messages."""

    audio_in: AudioFormat
    """What the caller's audio comes in."""
    audio_out: AudioFormat
    """What the agent's is expected in."""
    clears: bool
    """Whether what it has not played yet can be taken back."""
    echoes_on_clear: bool

    def opening(self) -> Sequence[str | bytes]: ...

    def media(self, frames: Sequence[bytes]) -> Sequence[str | bytes]:
        """Return the messages of consecutive frames, in the order in which they are sent."""
        ...

    def mark(self, name: str) -> str: ...

    def stop(self) -> str | None:
        """Return how it says that the caller has hung up; None where it only closes the connection."""
        ...

    def read(self, message: str | bytes) -> AsTheirs: ...


@dataclass
class TwilioWire:
    """Twilio, and its relatives as they differ."""

    audio_in: AudioFormat = MULAW_8K
    big_endian: bool = False
    names_stream: bool = True
    """Whether every message carries `streamSid`."""
    looks_at_stream: bool = True
    numbers: Callable[[int], object] = str
    version: str = "1.0.0"
    clears: bool = True
    echoes_on_clear: bool = True
    _chunk: int = 0

    @property
    def audio_out(self) -> AudioFormat:
        return self.audio_in

    def opening(self) -> Sequence[str]:
        encoding = "audio/x-mulaw" if self.audio_in == MULAW_8K else "audio/x-L16"
        start = {
            "streamSid": "MZ7",
            "accountSid": "AC7",
            "callSid": "CA7",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": encoding, "sampleRate": self.audio_in.rate_hz, "channels": 1},
        }
        return [
            json.dumps({"event": "connected", "protocol": "Call", "version": self.version}),
            json.dumps({"event": "start", "sequenceNumber": self.numbers(1), "streamSid": "MZ7", "start": start}),
        ]

    def media(self, frames: Sequence[bytes]) -> Sequence[str | bytes]:
        return [self._frame(frame) for frame in frames]

    def _frame(self, frame: bytes) -> str:
        self._chunk += 1
        wire = swap_bytes(frame) if self.big_endian else frame
        media = {
            "track": "inbound",
            "chunk": self.numbers(self._chunk),
            "timestamp": self.numbers(self._chunk * FRAME_MS),
            "payload": base64.b64encode(wire).decode(),
        }
        fields: dict[str, object] = {"event": "media", "sequenceNumber": self.numbers(self._chunk + 1), "media": media}
        return json.dumps(fields | ({"streamSid": "MZ7"} if self.names_stream else {}))

    def mark(self, name: str) -> str:
        return json.dumps({"event": "mark", "streamSid": "MZ7", "mark": {"name": name}})

    def stop(self) -> str:
        return json.dumps({"event": "stop", "sequenceNumber": self.numbers(99)})

    def read(self, message: str | bytes) -> AsTheirs:
        said = json.loads(message)
        assert said["streamSid"] == "MZ7" or not self.looks_at_stream
        match said["event"]:
            case "media":
                audio = base64.b64decode(said["media"]["payload"], validate=True)
                return "audio", swap_bytes(audio) if self.big_endian else audio
            case "mark":
                return "mark", said["mark"]["name"]
            case "clear":
                return "clear", None
            case other:
                raise AssertionError(f"error 31924: {other}")


@dataclass
class TelnyxWire:
    """Telnyx: each direction in its own codec, and frames that overtake each other."""

    encoding: str = "PCMA"
    """Of the caller's audio; L16 at the rate of the agent's."""
    audio_out: AudioFormat = field(default_factory=lambda: AudioFormat("pcm16", 16_000))
    big_endian: bool = True
    clears: bool = True
    echoes_on_clear: bool = True
    _chunk: int = 0

    @property
    def audio_in(self) -> AudioFormat:
        if self.encoding == "L16":
            return AudioFormat("pcm16", self.audio_out.rate_hz)
        return AudioFormat("alaw" if self.encoding == "PCMA" else "mulaw", 8_000)

    def opening(self) -> Sequence[str]:
        start = {
            "user_id": "u",
            "call_control_id": "v3:c7",
            "from": "+4930",
            "to": "+4940",
            "media_format": {"encoding": self.encoding, "sample_rate": self.audio_in.rate_hz, "channels": 1},
        }
        return [
            json.dumps({"event": "connected", "version": "1.0.0"}),
            json.dumps({"event": "start", "sequence_number": "1", "stream_id": "S7", "start": start}),
        ]

    def media(self, frames: Sequence[bytes]) -> Sequence[str | bytes]:
        messages = [self._frame(frame) for frame in frames]
        return messages[::-1] if self._chunk > 2 else messages

    def _frame(self, frame: bytes) -> str:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._chunk * FRAME_MS),
            "payload": base64.b64encode(self._ordered(frame, self.audio_in)).decode(),
        }
        return json.dumps({"event": "media", "sequence_number": "9", "stream_id": "S7", "media": media})

    def _ordered(self, audio: bytes, its: AudioFormat) -> bytes:
        return swap_bytes(audio) if its.encoding == "pcm16" and self.big_endian else audio

    def mark(self, name: str) -> str:
        return json.dumps({"event": "mark", "stream_id": "S7", "mark": {"name": name}})

    def stop(self) -> str:
        return json.dumps({"event": "stop", "stream_id": "S7", "stop": {"call_control_id": "v3:c7"}})

    def read(self, message: str | bytes) -> AsTheirs:
        said = json.loads(message)
        match said["event"]:
            case "media":
                audio = base64.b64decode(said["media"]["payload"], validate=True)
                assert len(audio) >= FRAME_MS * self.audio_out.bytes_per_ms, "shorter pieces are not defined"
                return "audio", self._ordered(audio, self.audio_out)
            case "mark":
                return "mark", said["mark"]["name"]
            case "clear":
                return "clear", None
            case other:
                raise AssertionError(f"unknown event {other}")


@dataclass
class BrowserWire:
    """The softphone: what a clear drops is not spoken of again."""

    rate_hz: int = 16_000
    clears: bool = True
    echoes_on_clear: bool = False

    @property
    def audio_in(self) -> AudioFormat:
        return AudioFormat("pcm16", self.rate_hz)

    @property
    def audio_out(self) -> AudioFormat:
        return self.audio_in

    def opening(self) -> Sequence[str]:
        return [json.dumps({"type": "start", "call": "c7", "rate_hz": self.rate_hz})]

    def media(self, frames: Sequence[bytes]) -> Sequence[str | bytes]:
        return frames

    def mark(self, name: str) -> str:
        return json.dumps({"type": "mark", "name": name})

    def stop(self) -> str:
        return json.dumps({"type": "stop"})

    def read(self, message: str | bytes) -> AsTheirs:
        if isinstance(message, bytes):
            return "audio", message
        said = json.loads(message)
        match said["type"]:
            case "mark":
                return "mark", said["name"]
            case "clear":
                return "clear", None
            case other:
                raise AssertionError(f"unknown type {other}")


@dataclass
class AsteriskWire:
    """Asterisk: audio is binary, and control in JSON or in plain words; what a flush drops is not spoken of again."""

    audio_in: AudioFormat = MULAW_8K
    in_json: bool = True
    clears: bool = True
    echoes_on_clear: bool = False

    @property
    def audio_out(self) -> AudioFormat:
        return self.audio_in

    def opening(self) -> Sequence[str]:
        names = {MULAW_8K: "ulaw", AudioFormat("alaw", 8_000): "alaw", AudioFormat("pcm16", 8_000): "slin"}
        name = names.get(self.audio_in, f"slin{self.audio_in.rate_hz // 1_000}")
        fields = {
            "connection_id": "bank",
            "channel": "WebSocket/bank/0x7",
            "channel_id": "7.1",
            "format": name,
            "optimal_frame_size": FRAME_MS * self.audio_in.bytes_per_ms,
            "ptime": FRAME_MS,
        }
        return [self._event("MEDIA_START", **fields)]

    def media(self, frames: Sequence[bytes]) -> Sequence[str | bytes]:
        return frames

    def mark(self, name: str) -> str:
        return (
            self._event("MEDIA_MARK_PROCESSED", correlation_id=name) if self.in_json else f"MEDIA_MARK_PROCESSED {name}"
        )

    def stop(self) -> None:
        return None

    def read(self, message: str | bytes) -> AsTheirs:
        if isinstance(message, bytes):
            assert len(message) % (FRAME_MS * self.audio_in.bytes_per_ms) == 0, "what is beyond whole frames is dropped"
            return "audio", message
        assert len(message) <= 128, "longer commands are ignored"
        match json.loads(message) if self.in_json else _words(message):
            case {"command": "MARK_MEDIA", "correlation_id": str(name)}:
                return "mark", name
            case {"command": "FLUSH_MEDIA"}:
                return "clear", None
            case {"command": "ANSWER"}:
                return "answer", None
            case {"command": "HANGUP"}:
                return "hang up", None
            case other:
                raise AssertionError(f"unknown command {other}")

    def _event(self, event: str, **fields: object) -> str:
        if self.in_json:
            return json.dumps({"event": event, **fields})
        return " ".join([event, *(f"{key}:{value}" for key, value in fields.items())])


def _words(message: str) -> dict[str, str]:
    command, _, name = message.partition(" ")
    return {"command": command, "correlation_id": name}


# --- the line --------------------------------------------------------------------------------------------------------


class Caller(Protocol):
    """Who holds the telephone; asked for every frame, and told whether the agent is audible in it."""

    def next_frame(self, *, agent_audible: bool) -> bytes | None:
        """Return 16-bit audio in the incoming format's rate; None hangs up."""
        ...


@dataclass
class Line:
    """What was on the line."""

    heard: bytearray = field(default_factory=bytearray)
    """All agent audio that was played, without pauses, in the outgoing format."""
    clears: list[int] = field(default_factory=list)
    """Milliseconds of audio that each clear has dropped."""
    echoed: list[tuple[str, bool]] = field(default_factory=list)
    """Marks sent back, and whether by a clear."""
    unplayed: int = 0
    """Bytes that had not been played when the connection ended."""
    close_code: int | None = None
    commands: list[str] = field(default_factory=list)
    """`answer` and `hang up`, where the agent says so in the connection."""


class Connection(Protocol):
    """What carries the messages of a call, whoever has connected to whom."""

    @property
    def close_code(self) -> int | None: ...

    async def send(self, message: str | bytes) -> None: ...

    async def recv(self) -> str | bytes: ...

    async def close(self) -> None: ...


class Provider:
    """One call over one connection."""

    def __init__(
        self, wire: Wire, caller: Caller, *, clock: Clock, encode: Callable[[bytes, AudioFormat], bytes]
    ) -> None:
        self._wire = wire
        self._caller = caller
        self._clock = clock
        self._encode = encode
        self._buffer = bytearray()
        self._marks: deque[tuple[int, str]] = deque()
        self._appended = self._played = 0
        self._frames: list[bytes] = []
        self._outbox: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.line = Line()

    async def carry(self, connection: Connection) -> Line:
        """Make the call, to its end."""
        for message in self._wire.opening():
            await connection.send(message)
        writing = asyncio.ensure_future(self._write(connection))
        playing = asyncio.ensure_future(self._play(connection))
        try:
            while True:
                self._take(self._wire.read(await connection.recv()))
        except ConnectionClosed:
            pass
        finally:
            playing.cancel()
            writing.cancel()
            await asyncio.gather(playing, writing, return_exceptions=True)
        self.line.unplayed = len(self._buffer)
        self.line.close_code = connection.close_code
        return self.line

    async def _write(self, connection: Connection) -> None:
        while True:
            await connection.send(await self._outbox.get())

    async def _play(self, connection: Connection) -> None:
        due_ms = self._clock.now_ms()
        while True:
            # A stall of this process is one for both sides: what it has cost is not made up for in a burst.
            due_ms = max(due_ms + FRAME_MS, self._clock.now_ms() - 3 * FRAME_MS)
            await self._clock.sleep(max(0, due_ms - self._clock.now_ms()))
            said = self._caller.next_frame(agent_audible=self._play_frame())
            if said is None:
                if (stop := self._wire.stop()) is not None:
                    self._outbox.put_nowait(stop)
                await asyncio.sleep(0.05)
                await connection.close()
                return
            self._frames.append(self._encode(said, self._wire.audio_in))
            if len(self._frames) == 2:
                for message in self._wire.media(self._frames):
                    self._outbox.put_nowait(message)
                self._frames = []

    def _play_frame(self) -> bool:
        """Play 20 ms; return whether anything was audible in it."""
        while self._marks and self._marks[0][0] <= self._played:
            self._echo(self._marks.popleft()[1], cleared=False)
        size = FRAME_MS * self._wire.audio_out.bytes_per_ms
        frame = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._played += len(frame)
        self.line.heard += frame
        return bool(frame) and level_dbfs(pcm16_of(frame, self._wire.audio_out)) > _AUDIBLE_DBFS

    def _take(self, said: AsTheirs) -> None:
        match said:
            case ("audio", bytes(audio)):
                self._buffer += audio
                self._appended += len(audio)
            case ("mark", str(name)):
                self._marks.append((self._appended, name))
            case ("clear", _):
                self.line.clears.append(len(self._buffer) // self._wire.audio_out.bytes_per_ms)
                self._buffer.clear()
                self._appended = self._played
                dropped, self._marks = self._marks, deque()
                for _, name in dropped:
                    if self._wire.echoes_on_clear:
                        self._echo(name, cleared=True)
            case ("answer" | "hang up" as command, _):
                self.line.commands.append(command)
            case _:
                raise AssertionError(said)

    def _echo(self, name: str, *, cleared: bool) -> None:
        self._outbox.put_nowait(self._wire.mark(name))
        self.line.echoed.append((name, cleared))
