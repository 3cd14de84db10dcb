"""A caller's telephone: sipp speaks SIP with the exchange, and the audio is sent, heard and timed here.

What comes in is the ground truth: these packets, at these times, are what a caller's ear would get.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import time
from bisect import bisect_left
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.peers.exchange import Exchange, free_port
from voiceagent.audio import FRAME_MS, mulaw_energy, mulaw_to_pcm16, pcm16_to_mulaw
from voiceagent.testing.utterance import VOICED_ENERGY

__all__ = ["Heard", "Phone", "calling", "now_ms", "pitch_hz", "sweep", "tone"]

_SCENARIOS = Path(__file__).parent / "sipp"
_FRAME_BYTES = 160
_SILENCE = b"\xff" * _FRAME_BYTES
_PAYLOAD_AUDIO, _PAYLOAD_DIGIT = 0, 101


def now_ms() -> float:
    """Return the time by which everything here is measured: the monotonic clock's, as the agent's is."""
    return time.monotonic_ns() / 1e6


def tone(pitch: int, length_ms: int, rate_hz: int = 8_000) -> bytes:
    """Return a tone as PCM16."""
    at = np.arange(rate_hz * length_ms // 1000) / rate_hz
    return (8_000 * np.sin(2 * np.pi * pitch * at)).astype("<i2").tobytes()


def sweep(length_ms: int, rate_hz: int = 8_000, *, late_by: float = 0) -> bytes:
    """Return a tone that rises from 200 to 1,000 Hz as PCM16, no two moments of it alike; `late_by` is in samples."""
    at = (np.arange(rate_hz * length_ms // 1000) - late_by) / rate_hz
    rises = 800 / (length_ms / 1000)
    return (8_000 * np.sin(2 * np.pi * (200 * at + rises * at**2 / 2))).astype("<i2").tobytes()


def pitch_hz(pcm16: bytes) -> int | None:
    """Return the pitch of 20 ms in steps of 50 Hz, at 8 kHz; None for silence."""
    samples = np.frombuffer(pcm16, "<i2").astype(float)
    if len(samples) < 160 or np.sqrt(np.mean(samples**2)) < 1_000:
        return None
    return int(np.argmax(np.abs(np.fft.rfft(samples[:160])))) * 50


def _worst_match(heard: np.ndarray, length_ms: int, late_by: float) -> float:
    said = np.frombuffer(sweep(length_ms, late_by=late_by), "<i2").astype(float)
    if len(heard) < len(said):
        return 0.0
    begins = int(np.argmax(np.correlate(heard, said)))
    frames = heard[begins : begins + len(said)].reshape(-1, 160), said.reshape(-1, 160)
    likeness = np.sum(frames[0] * frames[1], axis=1)
    return float(
        np.min(likeness / np.maximum(np.linalg.norm(frames[0], axis=1) * np.linalg.norm(frames[1], axis=1), 1))
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """One packet of audio, and when it came."""

    at_ms: float
    timestamp: int
    mulaw: bytes

    @property
    def pitch(self) -> int | None:
        return pitch_hz(mulaw_to_pcm16(self.mulaw))


class Phone(asyncio.DatagramProtocol):
    """One call."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._to: tuple[str, int] | None = None
        self._say = bytearray()
        self._digits: list[str] = []
        self._sequence, self._time = 0, 0
        self._silent = asyncio.Event()
        self.heard: list[Heard] = []
        self.told: list[str] = []
        """Keys that the other side has pressed."""
        self.voiced: list[Heard] = []
        """Those of them in which something is heard."""
        self.answered = asyncio.Event()
        self.ringing = asyncio.Event()
        self.given_up = asyncio.Event()
        self.hung_up_on = asyncio.Event()
        self.over = asyncio.Event()
        self.muted = False

    # --- the ear -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] - it is of a UDP socket

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        if data[1] & 0x7F == _PAYLOAD_AUDIO:
            (timestamp,) = struct.unpack_from("!I", data, 4)
            packet = Heard(now_ms(), timestamp, data[12:])
            self.heard.append(packet)
            if mulaw_energy(packet.mulaw) >= VOICED_ENERGY:
                self.voiced.append(packet)
        elif data[1] & 0x7F == _PAYLOAD_DIGIT and data[1] & 0x80:
            self.told.append("0123456789*#ABCD"[data[12]])  # the marker: a key goes down

    def voice_since(self, since_ms: float) -> list[Heard]:
        """Return the packets from then on in which something is heard."""
        return self.voiced[bisect_left(self.voiced, since_ms, key=lambda packet: packet.at_ms) :]

    async def listens(self) -> None:
        """Wait for a frame's time."""
        await asyncio.sleep(FRAME_MS / 1000)

    def heard_of(self, pitch: int, *, since_ms: float = 0) -> list[Heard]:
        """Return the packets with a tone in them."""
        return [packet for packet in self.voice_since(since_ms) if packet.pitch == pitch]

    def heard_ms(self, pitch: int, *, by_ms: float, since_ms: float = 0) -> float:
        """Return how much of a tone an ear without a buffer had heard at that time."""
        heard = self.heard_of(pitch, since_ms=since_ms)
        return sum(min(FRAME_MS, by_ms - packet.at_ms) for packet in heard if packet.at_ms < by_ms)

    def worst_match(self, length_ms: int) -> float:
        """Return how well the worst 20 ms of a sweep were heard, each in its place: 1 for what was said, 0 for nothing.

        What another sampling rate has done to it, a delay by less than a sample, is made up for.
        """
        heard = np.frombuffer(mulaw_to_pcm16(b"".join(packet.mulaw for packet in self.heard)), "<i2").astype(float)
        return max(_worst_match(heard, length_ms, late_by / 8) for late_by in range(8))

    # --- the mouth ---------------------------------------------------------------------------------------------------

    def say(self, pcm16: bytes) -> None:
        """Say this after what is being said."""
        self._say += pcm16_to_mulaw(pcm16)
        self._silent.clear()

    async def has_said_all(self) -> None:
        """Wait until everything has been said."""
        await self._silent.wait()

    def press(self, digits: str) -> None:
        """Press keys, one after the other, after what is being said."""
        self._digits += digits

    async def talk(self) -> None:
        """Send a frame every 20 ms from when the other side has answered, silence where there is nothing to say."""
        await self.answered.wait()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self._digits and not self._say:
                due = await self._press(self._digits.pop(0), due)
            elif self._say or not self.muted:
                frame = bytes(self._say[:_FRAME_BYTES]).ljust(_FRAME_BYTES, b"\xff") if self._say else _SILENCE
                del self._say[:_FRAME_BYTES]
                self._send(_PAYLOAD_AUDIO, frame)
            if not self._say:
                self._silent.set()
            self._time += _FRAME_BYTES
            due += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _press(self, digit: str, due: float) -> float:
        """Send a digit as RFC 4733 has it: an event that goes on for 100 ms, its end three times."""
        began, event = self._time, "0123456789*#ABCD".index(digit)
        for beat in range(5):
            payload = struct.pack("!BBH", event, 10, (beat + 1) * _FRAME_BYTES)
            self._send(_PAYLOAD_DIGIT, payload, timestamp=began)
            self._time += _FRAME_BYTES
            due += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        for _ in range(3):
            self._send(_PAYLOAD_DIGIT, struct.pack("!BBH", event, 0x80 | 10, 5 * _FRAME_BYTES), timestamp=began)
        self._say += 5 * _SILENCE  # between two keys
        return due

    def _send(self, payload_type: int, payload: bytes, *, timestamp: int | None = None) -> None:
        if self._transport is None or self._to is None:
            return
        at = self._time if timestamp is None else timestamp
        self._transport.sendto(struct.pack("!BBHII", 0x80, payload_type, self._sequence, at, 7) + payload, self._to)
        self._sequence = (self._sequence + 1) % 65_536

    # --- the call ----------------------------------------------------------------------------------------------------

    def note(self, line: str) -> None:
        """Take a line of sipp's log."""
        if line.startswith("rtp "):
            self._to = ("127.0.0.1", int(line.split()[1]))
            self.answered.set()
        elif line == "ringing":
            self.ringing.set()
        elif line == "given up":
            self.given_up.set()
        elif line == "bye":
            self.hung_up_on.set()


@asynccontextmanager
async def calling(
    exchange: Exchange, extension: str, folder: Path, *, hold_ms: int = 20_000, scenario: str = "call"
) -> AsyncGenerator[Phone]:
    """Call an extension; the caller hangs up after `hold_ms` unless the other side does so before.

    The other scenario is `give_up`: the caller does so `hold_ms` after it has begun to ring.
    """
    loop = asyncio.get_running_loop()
    transport, phone = await loop.create_datagram_endpoint(Phone, local_addr=("127.0.0.1", 0))
    rtp_port = transport.get_extra_info("sockname")[1]
    script, log = folder / f"{rtp_port}.xml", folder / f"{rtp_port}.log"
    text = (_SCENARIOS / f"{scenario}.xml").read_text()
    script.write_text(text.replace("@RTP_PORT@", str(rtp_port)).replace("@HOLD_MS@", str(hold_ms)))
    log.touch()
    arguments = ["-sf", script, "-s", extension, "-i", "127.0.0.1", "-p", free_port(socket.SOCK_DGRAM), "-m", 1]
    arguments += ["-nostdin", "-trace_logs", "-log_file", log, f"127.0.0.1:{exchange.sip_port}"]
    output = (folder / f"{rtp_port}.out").open("wb")
    sipp = await asyncio.create_subprocess_exec(
        "sipp", *map(str, arguments), stdout=output, stderr=output, cwd=folder, start_new_session=True
    )
    tasks = [asyncio.create_task(phone.talk()), asyncio.create_task(_follow(log, phone, sipp))]
    try:
        yield phone
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(ProcessLookupError):
            os.killpg(sipp.pid, signal.SIGKILL)
        await sipp.wait()
        transport.close()
        output.close()


async def _follow(log: Path, phone: Phone, sipp: asyncio.subprocess.Process) -> None:
    with log.open() as lines:
        while True:
            over = sipp.returncode is not None  # looked at first: it writes until it ends
            for line in lines:
                phone.note(line.strip())
            if over:
                phone.over.set()
                return
            await asyncio.sleep(0.02)
