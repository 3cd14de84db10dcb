"""Chats for tests: the command line in a process of its own, with a pipe or a terminal for a person."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, cast

__all__ = ["ROOT", "Chat", "Terminal", "chat_by_pipe", "chat_without_a_reader"]

_AT_MOST_S = 120
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ROOT = Path(__file__).resolve().parents[2]


def _command(agent: str, options: Iterable[str]) -> list[str]:
    return [sys.executable, "-m", "voiceagent.cli", "chat", agent, "--journals", "journals", *options]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VOICEAGENT_", "OPENAI_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"}


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat that is over."""

    code: int
    said: str
    complained: str
    journals: list[Path]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was told with --json."""
        return [cast("dict[str, Any]", json.loads(line)) for line in self.said.splitlines()]

    def of(self, what: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["what"] == what]

    def answer(self, to: str) -> dict[str, Any]:
        """The last answer to a question."""
        return [event for event in self.of("answer") if event["to"] == to][-1]


def chat_by_pipe(folder: Path, agent: str, typed: str | bytes, *options: str) -> Chat:
    """Hold a chat whose lines come from a pipe."""
    given = typed if isinstance(typed, bytes) else typed.encode()
    run = subprocess.run(  # noqa: S603
        _command(agent, options),
        input=given,
        capture_output=True,
        cwd=folder,
        env=_environment(),
        timeout=_AT_MOST_S,
        check=False,
    )
    journals = sorted((folder / "journals").glob("*.jsonl"))
    return Chat(run.returncode, run.stdout.decode(), run.stderr.decode(), journals)


def chat_without_a_reader(folder: Path, agent: str, typed: str, *options: str) -> Chat:
    """Hold a chat that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(  # noqa: S603
        _command(agent, options),
        input=typed.encode(),
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=_environment(),
        timeout=_AT_MOST_S,
        check=False,
    )
    os.close(writing)
    return Chat(run.returncode, "", run.stderr.decode(), sorted((folder / "journals").glob("*.jsonl")))


class Terminal:
    """A chat at a terminal, which is typed at as a person would: after having read."""

    def __init__(self, folder: Path, agent: str, *options: str) -> None:
        self._folder = folder
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(  # noqa: S603
            _command(agent, options),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=_environment(),
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - so that Ctrl-C is a signal
        )
        os.close(theirs)
        self.shown = ""
        self._read_to = 0

    def until(self, words: str) -> Terminal:
        """Read on until these words are shown."""
        until = monotonic() + _AT_MOST_S
        while words not in self.shown[self._read_to :]:
            assert monotonic() < until, f"{words!r} is not shown:\n{self.shown}"
            if not self.reads(0.2) and self._process.poll() is not None:
                raise AssertionError(f"{words!r} is not shown:\n{self.shown}")
        self._read_to = self.shown.index(words, self._read_to) + len(words)
        return self

    def reads(self, within_s: float) -> bool:
        """Read what is shown within this time; False where that is nothing."""
        if not select.select([self._ours], [], [], within_s)[0]:
            return False
        try:
            piece = os.read(self._ours, 65_536)
        except OSError:  # how Linux says that the other end is closed
            return False
        self.shown += _COLOUR.sub("", piece.decode(errors="replace"))
        return bool(piece)

    def watches(self, for_s: float) -> Terminal:
        """Read whatever is shown within this time."""
        until = monotonic() + for_s
        while (left_s := until - monotonic()) > 0:
            self.reads(left_s)
        return self

    def types(self, keys: str) -> Terminal:
        """Press keys; a line ends with a line feed."""
        os.write(self._ours, keys.encode())
        return self

    def ends(self) -> Chat:
        """Read to the end."""
        until = monotonic() + _AT_MOST_S
        while self._process.poll() is None and monotonic() < until:
            self.reads(0.2)
        while self.reads(0.1):
            pass
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        code = self._process.wait()
        os.close(self._ours)
        return Chat(code, self.shown, "", sorted((self._folder / "journals").glob("*.jsonl")))


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
