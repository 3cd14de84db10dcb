"""PortAudio: the microphones and loudspeakers of this machine, and what is said and heard through them.

Sound is read and written by a thread each, since PortAudio blocks: reading until there is sound, writing until there is
room. Its callbacks would do without, but they tell nothing when a device is pulled out, and Python would have to
be in time for each of them. The only file that imports PyAudio.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from voiceagent.devices.echo import Echo, Untouched
from voiceagent.devices.loudspeaker import Block
from voiceagent.errors import MissingExtra, OperatorError, nearest
from voiceagent.ports import AudioFormat

__all__ = ["BLOCK_MS", "PortAudio", "SoundDevice", "SoundUser", "Streams", "quiet_libraries"]

BLOCK_MS = 20
_RATES_HZ = (16_000, 48_000, 24_000, 8_000)
"""In the order in which they are tried: all of them can be heard and spoken by the engines."""
_AHEAD_BLOCKS = 2
"""PortAudio holds three times as much: 120 ms, so that a thread that comes late does not make the agent stutter."""
_STUCK_S = 5.0
"""A sound server that wakes up a device needs up to 2 s; one that takes longer has lost it."""
_LET_GO_S = 2.0
_NEEDS = (
    "the microphone (PyAudio, which is compiled with PortAudio's headers; Debian: apt install portaudio19-dev gcc "
    "python3-dev, macOS: brew install portaudio)"
)


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """A device as PortAudio knows it; one with inputs is a microphone, one with outputs a loudspeaker."""

    number: int
    name: str
    inputs: int
    outputs: int
    default_input: bool
    default_output: bool


class SoundUser(Protocol):
    """Who speaks and hears through the devices. Every method is called in a thread, and returns at once."""

    def heard(self, audio: bytes) -> None:
        """The microphone has heard this."""
        ...

    def take(self, size_bytes: int) -> Block:
        """Return what the loudspeaker says next."""
        ...

    def handed_over(self, block: Block, in_ms: int) -> None:
        """A block is with the sound card, and begins to be heard in so many milliseconds."""
        ...

    def lost(self, reason: str) -> None:
        """A device is gone; nothing follows."""
        ...


class PortAudio:
    """The sound system of this machine."""

    def __init__(self) -> None:
        """Look for devices. Raises MissingExtra where PyAudio is not installed."""
        try:
            self._module: Any = import_module("pyaudio")
        except ImportError as exc:
            raise MissingExtra(_NEEDS, extra="mic") from exc
        self._system: Any = self._module.PyAudio()

    def close(self) -> None:
        """Let all of it go."""
        self._system.terminate()

    def devices(self) -> tuple[SoundDevice, ...]:
        """Return all that there are, as they were when this was made."""
        first_in, first_out = self._default("input"), self._default("output")
        return tuple(
            _device(self._system.get_device_info_by_index(number), first_in, first_out)
            for number in range(self._system.get_device_count())
        )

    def microphone(self, wanted: str | None) -> SoundDevice:
        """Return a microphone by its number or a part of its name; None is the system's own. Raises OperatorError."""
        found = [device for device in self.devices() if device.inputs]
        return _chosen(found, wanted, "microphone", lambda device: device.default_input)

    def loudspeaker(self, wanted: str | None) -> SoundDevice:
        """Return a loudspeaker likewise."""
        found = [device for device in self.devices() if device.outputs]
        return _chosen(found, wanted, "loudspeaker", lambda device: device.default_output)

    def open(self, microphone: SoundDevice, loudspeaker: SoundDevice) -> Streams:
        """Begin to hear and to speak. Raises OperatorError where a device does not let itself be opened."""
        rate_hz = self._rate_hz(microphone, loudspeaker)
        frames = rate_hz * BLOCK_MS // 1_000
        common = {"rate": rate_hz, "channels": 1, "format": self._module.paInt16}
        speaking = self._opened(
            loudspeaker,
            "loudspeaker",
            output=True,
            output_device_index=loudspeaker.number,
            frames_per_buffer=frames * _AHEAD_BLOCKS,
            **common,
        )
        try:
            hearing = self._opened(
                microphone,
                "microphone",
                input=True,
                input_device_index=microphone.number,
                frames_per_buffer=frames,
                **common,
            )
        except OperatorError:
            speaking.close()
            raise
        return Streams(hearing, speaking, AudioFormat("pcm16", rate_hz))

    def _default(self, way: str) -> int | None:
        try:
            return getattr(self._system, f"get_default_{way}_device_info")()["index"]
        except OSError:
            return None

    def _rate_hz(self, microphone: SoundDevice, loudspeaker: SoundDevice) -> int:
        sample = self._module.paInt16
        for rate_hz in _RATES_HZ:
            with suppress(ValueError):
                self._system.is_format_supported(
                    rate_hz, input_device=microphone.number, input_channels=1, input_format=sample
                )
                self._system.is_format_supported(
                    rate_hz, output_device=loudspeaker.number, output_channels=1, output_format=sample
                )
                return rate_hz
        rates = ", ".join(map(str, sorted(_RATES_HZ)))
        raise OperatorError(
            f"{microphone.name!r} and {loudspeaker.name!r} have no rate in common of {rates} Hz: "
            "choose others (voiceagent devices)"
        )

    def _opened(self, device: SoundDevice, what: str, **settings: object) -> Any:
        try:
            return self._system.open(**settings)
        except OSError as exc:
            raise OperatorError(
                f"the {what} {device.name!r} cannot be opened ({_reason(exc)}): is it in use, or has it been pulled "
                "out? voiceagent devices lists what there is"
            ) from exc


class Streams:
    """A microphone and a loudspeaker that are open."""

    def __init__(self, hearing: Any, speaking: Any, audio: AudioFormat) -> None:
        self.audio = audio
        """Of both of them."""
        self.echo: Echo = Untouched()
        self._hearing = hearing
        self._speaking = speaking
        self._room = speaking.get_write_available()
        """Samples that the sound card holds at most."""
        self._user: SoundUser | None = None
        self._gone: str | None = None
        """Which device was lost, and why."""
        self._over = threading.Event()
        self._told = threading.Lock()
        now_s = time.monotonic()
        self._moved_s = {"microphone": now_s, "loudspeaker": now_s}
        """When each of them has last heard, or taken, something."""
        self._threads = [
            threading.Thread(target=work, daemon=True, name=name)
            for name, work in (("hears", self._hear), ("speaks", self._speak), ("watches", self._watch))
        ]
        for thread in self._threads:
            thread.start()

    def use(self, user: SoundUser | None) -> None:
        """Let somebody speak and hear from now on; nobody: there is silence."""
        with self._told:
            self._user = user
            gone = self._gone
        if user is not None and gone is not None:
            user.lost(gone)

    def close(self) -> bool:
        """Stop, and let the devices go, in bounded time; False where one of them does not come back.

        Then the sound system has to be left as it is: closed under a thread that is in it, it takes the process along.
        """
        self._over.set()
        letting_go = threading.Thread(target=self._let_go, daemon=True)
        letting_go.start()
        letting_go.join(2 * _LET_GO_S)
        return not letting_go.is_alive() and not any(thread.is_alive() for thread in self._threads)

    def _let_go(self) -> None:
        until_s = time.monotonic() + _LET_GO_S
        for thread in self._threads:
            thread.join(max(0, until_s - time.monotonic()))
        for stream, thread in ((self._hearing, self._threads[0]), (self._speaking, self._threads[1])):
            if not thread.is_alive():
                with suppress(OSError):
                    stream.close()

    # --- threads ---

    def _hear(self) -> None:
        frames = self.audio.rate_hz * BLOCK_MS // 1_000
        while not self._over.is_set():
            try:
                audio = self._hearing.read(frames, exception_on_overflow=False)
            except OSError as exc:
                self._lose("microphone", _reason(exc))
                return
            self._moved_s["microphone"] = time.monotonic()
            audio = self.echo.hear(audio)
            if (user := self._user) is not None:
                user.heard(audio)

    def _speak(self) -> None:
        frames = self.audio.rate_hz * BLOCK_MS // 1_000
        size_bytes = frames * self.audio.sample_bytes
        while not self._over.is_set():
            user = self._user
            block = user.take(size_bytes) if user is not None else Block(bytes(size_bytes))
            self.echo.play(block.audio)
            try:
                self._speaking.write(block.audio)
                queued = self._room - self._speaking.get_write_available()
            except OSError as exc:
                self._lose("loudspeaker", _reason(exc))
                return
            self._moved_s["loudspeaker"] = time.monotonic()
            if user is not None:
                user.handed_over(block, max(0, queued - frames) * 1_000 // self.audio.rate_hz)

    def _watch(self) -> None:
        """Some systems tell nobody that a device is gone: it is then never heard of again."""
        while not self._over.wait(_STUCK_S / 10):
            for what, moved_s in self._moved_s.items():
                if time.monotonic() - moved_s > _STUCK_S:
                    self._lose(what, f"nothing for {_STUCK_S:.0f} s")
                    return

    def _lose(self, what: str, reason: str) -> None:
        with self._told:
            if self._over.is_set():
                return
            self._over.set()
            self._gone = f"the {what} is gone ({reason})"
            user = self._user
        if user is not None:
            user.lost(self._gone)


@contextmanager
def quiet_libraries() -> Generator[None]:
    """Have only Python write to standard error: ALSA and JACK tell there of everything that they have not found."""
    sys.stderr.flush()
    mine, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    stderr = sys.stderr
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        with open(mine, "w", encoding=stderr.encoding, errors="backslashreplace", closefd=False) as own:
            sys.stderr = own
            yield
    finally:
        sys.stderr = stderr
        os.dup2(mine, 2)
        os.close(mine)


def _device(info: Mapping[str, Any], first_in: int | None, first_out: int | None) -> SoundDevice:
    return SoundDevice(
        number=info["index"],
        name=str(info["name"]),
        inputs=info["maxInputChannels"],
        outputs=info["maxOutputChannels"],
        default_input=info["index"] == first_in,
        default_output=info["index"] == first_out,
    )


def _chosen(
    found: list[SoundDevice], wanted: str | None, what: str, is_default: Callable[[SoundDevice], bool]
) -> SoundDevice:
    if not found:
        raise OperatorError(f"there is no {what} on this machine: connect one, or start its sound server")
    if wanted is None:
        return next(filter(is_default, found), found[0])
    named = [device for device in found if str(device.number) == wanted] or [
        device for device in found if wanted.casefold() in device.name.casefold()
    ]
    exact = [device for device in named if device.name == wanted]
    if len(exact or named) == 1:
        return (exact or named)[0]
    if named:
        several = ", ".join(f"{device.number} ({device.name})" for device in named)
        raise OperatorError(f"more than one {what} is called {wanted!r}: {several}")
    hint = nearest(wanted, [device.name for device in found])
    raise OperatorError(f"there is no {what} {wanted!r}{hint}; voiceagent devices lists what there is")


def _reason(exc: OSError) -> str:
    return str(exc.args[1] if len(exc.args) > 1 else exc)
