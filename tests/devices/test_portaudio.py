"""Devices that cannot be had are told of, whenever it is that they are missed."""

from __future__ import annotations

import sys
import threading

import pytest

from voiceagent.devices.loudspeaker import Block
from voiceagent.devices.portaudio import PortAudio, Streams
from voiceagent.errors import MissingExtra
from voiceagent.ports import AudioFormat

WIDE = AudioFormat("pcm16", 16_000)


class Card:
    """One side of a sound card, until it is pulled out."""

    def __init__(self, *, blocks: int) -> None:
        self._blocks = blocks
        self.closed = False

    def get_write_available(self) -> int:
        return 960

    def read(self, frames: int, *, exception_on_overflow: bool) -> bytes:
        self._move()
        return bytes(2 * frames)

    def write(self, audio: bytes) -> None:
        self._move()

    def close(self) -> None:
        self.closed = True

    def _move(self) -> None:
        if not self._blocks:
            raise OSError(-9999, "Unanticipated host error")
        self._blocks -= 1


class Caller:
    """Who uses the devices."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.reasons: list[str] = []

    def heard(self, audio: bytes) -> None:
        pass

    def take(self, size_bytes: int) -> Block:
        return Block(bytes(size_bytes))

    def handed_over(self, block: Block, in_ms: int) -> None:
        pass

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self.told.set()


def test_a_device_that_is_lost_before_anybody_uses_it_is_told_to_the_first_who_does() -> None:
    hearing, speaking = Card(blocks=0), Card(blocks=1_000_000)
    streams = Streams(hearing, speaking, WIDE)
    assert streams._over.wait(5)
    caller = Caller()
    streams.use(caller)
    assert streams.close()
    assert caller.reasons == ["the microphone is gone (Unanticipated host error)"]
    assert hearing.closed
    assert speaking.closed


def test_of_two_devices_that_are_lost_together_one_is_told_of() -> None:
    caller = Caller()
    streams = Streams(Card(blocks=100), Card(blocks=100), WIDE)
    streams.use(caller)
    assert caller.told.wait(5)
    assert streams.close()
    assert len(caller.reasons) == 1


def test_devices_that_are_let_go_are_not_lost() -> None:
    caller = Caller()
    streams = Streams(Card(blocks=1_000_000), Card(blocks=1_000_000), WIDE)
    streams.use(caller)
    assert streams.close()
    assert caller.reasons == []


def test_without_pyaudio_the_extra_is_named_and_what_it_is_compiled_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    with pytest.raises(MissingExtra, match=r"PortAudio's headers.*portaudio19-dev.*pip install 'voiceagent\[mic\]'"):
        PortAudio()
