"""What the tests with real telephone peers share: one Asterisk for all of a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.peers.exchange import Exchange, running_exchange

_ROOT = Path(os.environ.get("VOICEAGENT_PEERS", Path.home() / ".cache" / "voiceagent-peers")) / "sid"


@pytest.fixture(scope="module")
def exchange() -> Generator[Exchange]:
    if not (_ROOT / ".peers").exists():
        pytest.skip("there is no Asterisk here: make peers")
    with running_exchange(_ROOT) as exchange:
        yield exchange


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_MEASURED: list[str] = []


@pytest.fixture
def measured() -> Callable[[str], None]:
    """Takes a line of numbers, to be shown when all tests have run."""
    return _MEASURED.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _MEASURED:
        terminalreporter.write_line(f"peers: {line}")
