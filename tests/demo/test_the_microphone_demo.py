"""The demo from a microphone, where there is none: it says what is missing and what works without."""

from __future__ import annotations

import sys
from pathlib import Path

import microphone
import pytest


def test_without_pyaudio_it_says_what_to_install_and_what_works_without(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    assert microphone.main() == 1
    said = capfd.readouterr().err
    assert said.startswith("demo: the microphone (PyAudio")
    assert "pip install 'voiceagent[mic]'" in said
    assert "voiceagent chat bank" in said
    assert "Traceback" not in said
