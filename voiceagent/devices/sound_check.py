"""Sound check: whether the microphone hears anything, how loud, and whether it hears the loudspeaker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from voiceagent.audio import SILENCE_DBFS, level_dbfs
from voiceagent.devices.echo import EchoHeard, echo_heard, probe_sound
from voiceagent.devices.loudspeaker import Block
from voiceagent.devices.portaudio import BLOCK_MS, Streams
from voiceagent.errors import OperatorError
from voiceagent.in_time import within
from voiceagent.ports import AudioFormat, Clock

__all__ = ["Level", "look_for_echo", "measure_level"]

_ECHO_WITHIN_MS = 800
"""After the sound: two sound servers on a radio link take no longer."""
_BEFORE_MS = 200
_AT_MOST_MS = 8_000
_TOO_QUIET_DBFS, _TOO_LOUD_DBFS = -45.0, -9.0
"""Of speech over a syllable; what is louder than that is cut off at its peaks."""
_SYLLABLE_MS = 200


@dataclass(frozen=True, slots=True)
class Level:
    """How loud somebody was who was asked to say something."""

    dbfs: float
    """Of their loudest syllable."""

    @property
    def verdict(self) -> str:
        """What to do about it."""
        if self.dbfs <= SILENCE_DBFS:
            return "nothing at all: it is muted, or this program may not use it (look at the system's settings)"
        if self.dbfs < _TOO_QUIET_DBFS:
            return "hardly anything: speak up, come closer, or turn the microphone up"
        if self.dbfs > _TOO_LOUD_DBFS:
            return "too loud: turn the microphone down"
        return "good"

    @property
    def good(self) -> bool:
        """Whether callers would be understood."""
        return _TOO_QUIET_DBFS <= self.dbfs <= _TOO_LOUD_DBFS


async def look_for_echo(streams: Streams, clock: Clock) -> EchoHeard | None:
    """Play a short sound and listen for it. Raises OperatorError where a device is lost, MissingExtra."""
    probe = _Probe(streams.audio)
    await _used(streams, probe, clock, probe.done)
    return probe.found()


async def measure_level(streams: Streams, clock: Clock, *, ms: int, show: Callable[[float], None]) -> Level:
    """Listen for so long; `show` is told the level of every moment. Raises OperatorError where a device is lost."""
    meter = _Meter(streams.audio, ms=ms, show=show)
    await _used(streams, meter, clock, meter.done)
    return meter.level()


async def _used(streams: Streams, user: _Probe | _Meter, clock: Clock, done: asyncio.Event) -> None:
    streams.use(user)
    try:
        async with within(_AT_MOST_MS, clock):
            await done.wait()
    except TimeoutError:
        raise OperatorError(
            "the microphone or the loudspeaker does not move: choose others (voiceagent devices)"
        ) from None
    finally:
        streams.use(None)
    if user.gone is not None:
        raise OperatorError(user.gone)


class _Listener:
    """What a probe and a meter have in common: silence on one side, news on the other."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.gone: str | None = None
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self.done.set)

    def lost(self, reason: str) -> None:
        self.gone = reason
        self.end()


class _Probe:
    """Plays a sound once, and keeps what is heard from then on."""

    def __init__(self, audio: AudioFormat) -> None:
        self._listener = _Listener()
        self._audio = audio
        self._sound = probe_sound(audio.rate_hz)
        self._rest = bytes(_BEFORE_MS * audio.bytes_per_ms) + self._sound
        self._sounds = False
        self._kept = bytearray()
        self._wanted_bytes = len(self._sound) + _ECHO_WITHIN_MS * audio.bytes_per_ms
        self.done = self._listener.done
        self.lost = self._listener.lost

    @property
    def gone(self) -> str | None:
        return self._listener.gone

    def take(self, size_bytes: int) -> Block:
        block, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return Block(block.ljust(size_bytes, b"\0"))

    def handed_over(self, block: Block, in_ms: int) -> None:
        self._sounds = self._sounds or any(block.audio)

    def heard(self, audio: bytes) -> None:
        if self._sounds and len(self._kept) < self._wanted_bytes:
            self._kept += audio
            if len(self._kept) >= self._wanted_bytes:
                self._listener.end()

    def found(self) -> EchoHeard | None:
        return echo_heard(self._sound, bytes(self._kept), rate_hz=self._audio.rate_hz)


class _Meter:
    """Keeps how loud every moment is."""

    def __init__(self, audio: AudioFormat, *, ms: int, show: Callable[[float], None]) -> None:
        self._listener = _Listener()
        self._levels: list[float] = []
        self._blocks = ms // BLOCK_MS
        self._show = show
        self.done = self._listener.done
        self.lost = self._listener.lost

    @property
    def gone(self) -> str | None:
        return self._listener.gone

    def take(self, size_bytes: int) -> Block:
        return Block(bytes(size_bytes))

    def handed_over(self, block: Block, in_ms: int) -> None:
        pass

    def heard(self, audio: bytes) -> None:
        if len(self._levels) < self._blocks:
            self._levels.append(level_dbfs(audio))
            self._show(self._levels[-1])
            if len(self._levels) == self._blocks:
                self._listener.end()

    def level(self) -> Level:
        """Return the level of the loudest syllable: as loud as its quietest part."""
        size = _SYLLABLE_MS // BLOCK_MS
        syllables = [min(self._levels[at : at + size]) for at in range(max(1, len(self._levels) - size + 1))]
        return Level(max(syllables))
