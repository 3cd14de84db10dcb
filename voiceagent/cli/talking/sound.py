"""The devices of a call from this machine: opened, and kept from letting the agent hear itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import typer

from voiceagent.devices.echo import ROOM_MS, HalfDuplex
from voiceagent.devices.echo_cancelling import EchoCanceller
from voiceagent.devices.portaudio import PortAudio, SoundDevice, Streams
from voiceagent.devices.sound_check import look_for_echo
from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.ports import Clock

__all__ = ["INPUT", "OUTPUT", "Sound", "opened_sound", "without_sound"]

INPUT = typer.Option("--input", metavar="NUMBER|NAME", help="Microphone: its number or a part of its name.")
OUTPUT = typer.Option("--output", metavar="NUMBER|NAME", help="Loudspeaker, likewise.")

_TAIL_MS = 500
"""How long an agent is heard after its last sound was handed over, where nobody has measured it."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A microphone and a loudspeaker that are open."""

    microphone: SoundDevice
    loudspeaker: SoundDevice
    streams: Streams

    async def settle_echo(self, clock: Clock, *, half_duplex: bool | None) -> str:
        """Keep the agent from hearing itself; None: find out whether it would. Returns what is done, in words.

        Raises OperatorError where a device is lost.
        """
        if half_duplex is None:
            return await self._measured(clock)
        if not half_duplex:
            return "you hear each other at any time"
        return self._take_turns(_TAIL_MS)

    async def _measured(self, clock: Clock) -> str:
        echo = await look_for_echo(self.streams, clock)
        if echo is None:
            return "you hear each other at any time (no echo)"
        heard = f"an echo {echo.level_db:+.0f} dB after {echo.after_ms} ms"
        try:
            # In a thread: the library takes a third of a second to import.
            self.streams.echo = await asyncio.to_thread(EchoCanceller, self.streams.audio, after_ms=echo.after_ms)
        except MissingExtra:
            return f"{self._take_turns(echo.after_ms + ROOM_MS)}: {heard}"
        return f"{heard} is taken out"

    def _take_turns(self, tail_ms: int) -> str:
        self.streams.echo = HalfDuplex(tail_ms=tail_ms, bytes_per_ms=self.streams.audio.bytes_per_ms)
        return "half duplex, you cannot interrupt"


@asynccontextmanager
async def opened_sound(microphone: str | None, loudspeaker: str | None, *, agent: str) -> AsyncGenerator[Sound]:
    """Open both. Raises OperatorError, which names the ways to do without them."""
    async with AsyncExitStack() as closing:
        try:
            sound = await asyncio.to_thread(_opened, microphone, loudspeaker)
        except OperatorError as exc:
            raise OperatorError(f"{exc}\n{without_sound(agent)}") from exc
        closing.push_async_callback(asyncio.to_thread, _close, *sound)
        yield sound[1]


def without_sound(agent: str) -> str:
    """Return what else whoever wants to try an agent can do."""
    return (
        f"without sound here: voiceagent chat {agent} takes what you type, and voiceagent serve {agent} --insecure "
        "lets you talk to it in a browser, at http://127.0.0.1:8080/"
    )


def _close(audio: PortAudio, sound: Sound) -> None:
    if sound.streams.close():
        audio.close()


def _opened(microphone: str | None, loudspeaker: str | None) -> tuple[PortAudio, Sound]:
    audio = PortAudio()
    try:
        hears, speaks = audio.microphone(microphone), audio.loudspeaker(loudspeaker)
        return audio, Sound(hears, speaks, audio.open(hears, speaks))
    except OperatorError:
        audio.close()
        raise
