"""What the tests with real telephone peers share: one Asterisk for all of a file."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from tests.peers.exchange import Exchange, peers_root, running_exchange
from tests.peers.playout import EAR


@pytest.fixture(scope="module")
def running() -> Generator[Exchange]:
    root = peers_root()
    if root is None:
        pytest.skip("there is no Asterisk here: make peers")
    with running_exchange(root) as exchange:
        yield exchange


@pytest.fixture
def exchange(running: Exchange) -> Generator[Exchange]:
    """Asterisk without a call: one whose telephone was switched off would look for the agent of the next test."""
    yield running
    running.hang_up_all()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_MEASURED: list[str] = []


@pytest.fixture
def measured() -> Callable[[str], None]:
    """Takes a line of numbers, to be shown when all tests have run."""
    return _MEASURED.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in (*_MEASURED, *([f"how: {EAR}"] if _MEASURED else [])):
        terminalreporter.write_line(f"peers: {line}")
