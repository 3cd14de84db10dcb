"""The demo as a program: what goes wrong is one line, and a call that was made is not lost."""

from __future__ import annotations

import sys
from pathlib import Path

import phone_call
import pytest


def demo(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["phone_call.py", *arguments])
    return phone_call.main()


def test_an_output_that_cannot_be_written_is_told_before_the_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(monkeypatch, "--output", "/proc/none") == 1
    assert capsys.readouterr().err == "demo: nothing can be written to /proc/none: No such file or directory\n"


def test_ctrl_c_in_the_call_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(phone_call, "call_the_bank", interrupted)
    assert demo(monkeypatch, "--output", str(tmp_path / "out")) == 130
    assert capsys.readouterr().err == "demo: interrupted; nothing was kept\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_script_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert demo(monkeypatch, "--output", str(tmp_path), "--script", str(tmp_path / "none.yaml")) == 1
    said = capsys.readouterr().err
    assert said.startswith("demo: ")
    assert said.count("\n") == 1
