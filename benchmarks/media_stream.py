"""One caller's connection: Twilio Media Streams over a WebSocket, for a generator that must cost next to nothing.

A frame of the caller's is a template with three numbers in it, masked and written to the transport; of the agent's
audio the length alone is read, by slicing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
from collections.abc import Sequence
from time import monotonic_ns
from typing import cast
from urllib.parse import urlsplit

from benchmarks.caller import SPEAKS_MS, Caller
from benchmarks.load_report import LoadReport
from benchmarks.ws_frames import FrameReader, Opcode, accept_of, client_frame
from voiceagent.audio import FRAME_MS

__all__ = ["RATE_HZ", "MediaStream", "payload_bytes"]

RATE_HZ = 8_000
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_OPENING_S = 20
_BYTES_TO_NS = 1_000_000_000 // RATE_HZ
_HEAD_BYTES = 16_384


def payload_bytes(message: bytes) -> int | None:
    """Return how many bytes of audio a `media` message has; None for any other message.

    No other message to a carrier has a member of that name, and base64 has no character that JSON would escape.
    """
    at = message.find(b'"payload"')
    if at < 0:
        return None
    begin = message.find(b'"', at + 9) + 1
    end = message.find(b'"', begin)
    return (end - begin) * 3 // 4 - message.count(b"=", end - 2, end)


class MediaStream(asyncio.Protocol):
    """A connection and its caller, who is asked for one frame per `tick`."""

    def __init__(self, url: str, report: LoadReport, voice: Sequence[bytes], silence: bytes) -> None:
        """`voice` are the frames of what the caller says, in base64, from the start again where it says more."""
        self._url = urlsplit(url)
        self._report = report
        self._voice = voice
        self._silence = silence
        self._stream = f"MZ{secrets.token_hex(16)}"
        # Frames of one loud tone are as many as are wanted; a recorded sentence is said to its end.
        speaks_ms = SPEAKS_MS if len(voice) == 1 else len(voice) * FRAME_MS
        self.caller = Caller(f"CA{secrets.token_hex(16)}", report, speaks_ms=speaks_ms)
        self._key = base64.b64encode(secrets.token_bytes(16)).decode()
        self._mask = secrets.token_bytes(4)
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._full = False
        self._leaving = False
        self._sequence = 1
        self._frames = 0
        self._media = (
            b'{"event":"media","sequenceNumber":"%d","streamSid":"'
            + self._stream.encode()
            + b'","media":{"track":"inbound","chunk":"%d","timestamp":"%d","payload":"%b"}}'
        )

    # --- opening and closing ---

    async def open(self) -> bool:
        """Connect and name the call; False where the server does not take it."""
        secure = self._url.scheme == "wss"
        port = self._url.port or (443 if secure else 80)
        try:
            async with asyncio.timeout(_OPENING_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: self, self._url.hostname or "", port, ssl=ssl.create_default_context() if secure else None
                )
                taken = await self._opened
        except (OSError, TimeoutError):
            taken = False
        if not taken:
            self._report.broken += 1
            return False
        self._start()
        return True

    async def hang_up(self) -> None:
        """End the call as its carrier would, and see the connection closed."""
        self._leaving = True
        if self._closed.done() or self._transport is None:
            return
        self._send({"event": "stop", "stop": {"accountSid": "AC" + "0" * 32, "callSid": self.caller.name}})
        self._write(_CLOSE, (1000).to_bytes(2, "big"))
        try:
            async with asyncio.timeout(2):
                await self._closed
        except TimeoutError:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        path = self._url.path or "/"
        query = f"?{self._url.query}" if self._url.query else ""
        host = self._url.netloc.rpartition("@")[2]
        self._transport.write(
            f"GET {path}{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {self._key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it, unless the caller has hung up."""
        del exc
        if not self._opened.done():
            self._opened.set_result(False)
        elif not self._leaving:
            self._report.broken += 1
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """Let frames be lost until the server reads again, as a carrier does."""
        self._full = True

    def resume_writing(self) -> None:
        """Send frames again."""
        self._full = False

    # --- what comes ---

    def data_received(self, data: bytes) -> None:
        """Take what the server sends."""
        if not self._opened.done():
            self._head += data
            head, found, data = bytes(self._head).partition(b"\r\n\r\n")
            if not found and len(head) < _HEAD_BYTES:
                return
            taken = head.startswith(b"HTTP/1.1 101 ") and accept_of(self._key).encode() in head
            self._opened.set_result(taken)
            if not taken and self._transport is not None:
                self._transport.close()
                return
        now_ns = monotonic_ns()
        self._report.received_bytes += len(data)
        for opcode, payload in self._reader.feed(data):
            self._report.received_messages += 1
            if opcode == _TEXT:
                self._take(payload, now_ns)
            elif opcode == _PING:
                self._write(_PONG, payload)
            elif opcode == _CLOSE and self._transport is not None:
                self._transport.close()

    def _take(self, message: bytes, now_ns: int) -> None:
        audio_bytes = payload_bytes(message)
        if audio_bytes is not None:
            self.caller.took_audio(audio_bytes * _BYTES_TO_NS, now_ns)
            return
        read = json.loads(message)
        match read["event"]:
            case "mark":
                self.caller.ear.mark(read["mark"]["name"])
            case "clear":
                self.caller.took_clear(now_ns)
            case _:
                self._report.broken += 1

    # --- what goes ---

    def tick(self, now_ns: int) -> None:
        """Send back the marks that were played, and the next frame."""
        if self._closed.done():
            return
        for name in self.caller.ear.played(now_ns):
            self._send({"event": "mark", "mark": {"name": name}})
        frame = self.caller.voice_at(now_ns)
        payload = self._silence if frame is None else self._voice[frame % len(self._voice)]
        self._sequence += 1
        self._frames += 1
        if self._full:
            self._report.dropped_frames += 1
            return
        message = self._media % (self._sequence, self._frames, self._frames * FRAME_MS, payload)
        self._write(_TEXT, message)
        self._report.frames += 1

    def _start(self) -> None:
        self._write(_TEXT, b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        body = {
            "streamSid": self._stream,
            "accountSid": "AC" + "0" * 32,
            "callSid": self.caller.name,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1},
            "customParameters": {},
        }
        self._send({"event": "start", "start": body})

    def _send(self, message: dict[str, object]) -> None:
        self._sequence += 1
        numbered = {**message, "sequenceNumber": str(self._sequence), "streamSid": self._stream}
        self._write(_TEXT, json.dumps(numbered, separators=(",", ":")).encode())

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        assert self._transport is not None
        frame = client_frame(opcode, payload, self._mask)
        self._report.sent_bytes += len(frame)
        self._transport.write(frame)
