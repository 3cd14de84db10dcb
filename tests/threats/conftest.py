"""What rows of the threat table need: calls taken by a session, and a log as a server writes it."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.runtime.conftest import exchange
from tests.threats.bank_calls import bank_calls
from voiceagent.logs import LogFormat, set_up_logging

__all__ = ["Logged", "bank_calls", "exchange", "logged"]

Logged = Callable[..., io.StringIO]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logged]:
    """Return what has this process log as a server does, into memory."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in tuple(logging.root.manager.loggerDict)}

    def begin(form: LogFormat = "json", *, level: int = logging.INFO) -> io.StringIO:
        output = io.StringIO()
        monkeypatch.setattr(sys, "stderr", output)
        set_up_logging(form, level=level)
        return output

    yield begin
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
