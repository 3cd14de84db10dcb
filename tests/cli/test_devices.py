"""The list of microphones and loudspeakers, whatever they are called."""

from __future__ import annotations

import importlib

import pytest

from tests.cli.conftest import Run
from voiceagent.cli.plain_console import plain_console
from voiceagent.devices.portaudio import SoundDevice

CALLED = "USB [/x] [red]desk[/red] :cat:"


class Machine:
    """A machine with one device for everything."""

    def devices(self) -> tuple[SoundDevice, ...]:
        return (SoundDevice(0, CALLED, 1, 1, default_input=True, default_output=True),)

    def close(self) -> None:
        """Nothing is held."""


def test_a_device_is_listed_by_its_name_as_it_is(voiceagent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("voiceagent.cli.devices"), "PortAudio", Machine)
    code, said, complained = voiceagent("devices")
    assert (code, complained) == (0, "")
    assert CALLED in said


def test_a_path_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    plain_console().print("journal: /home/ann/[work]/:cat:/x.jsonl", highlight=False, soft_wrap=True)
    assert capsys.readouterr().out == "journal: /home/ann/[work]/:cat:/x.jsonl\n"
