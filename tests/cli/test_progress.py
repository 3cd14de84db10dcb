"""Whoever waits at a terminal sees how far long work has come; logs and programs that read along see nothing of it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.chats import ROOT
from tests.cli.conftest import Run

pytestmark = pytest.mark.timeout(180)


def played(folder: Path, complains_to: int) -> str:
    """Play the conversations of an agent; return what is printed."""
    return subprocess.run(
        [sys.executable, "-m", "voiceagent.cli", "test", "desk"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=complains_to,
        text=True,
        check=True,
    ).stdout


def test_a_bar_is_shown_at_a_terminal_and_what_is_printed_stays_where_it_is_sent_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voiceagent: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    assert voiceagent("new", "desk")[0] == 0
    ours, theirs = pty.openpty()
    try:
        at_a_terminal = played(tmp_path, theirs)
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "conversations" in shown
    assert "3/3" in shown
    assert "3 passed" in at_a_terminal
    reading, writing = os.pipe()
    by_a_pipe = played(tmp_path, writing)
    os.close(writing)
    with os.fdopen(reading) as complained:
        assert complained.read() == ""
    assert by_a_pipe.splitlines()[:6] == at_a_terminal.splitlines()[:6]
