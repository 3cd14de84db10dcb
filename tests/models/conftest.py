"""What tests of several providers ask for by name."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def nothing_goes_wrong_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which an error was logged, as the event loop does with what nobody asks after."""
    yield
    assert not [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
