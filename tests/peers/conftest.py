"""What the tests with real telephone peers share: one Asterisk for all of a file."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from tests.peers.exchange import Exchange, peers_root, running_exchange
from tests.peers.playout import EAR

_LOG_LINES = 150


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a test that has failed say what Asterisk says of it."""
    report = yield
    exchange = item.funcargs.get("exchange") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(exchange, Exchange):
        since_it_is_up = exchange.log.rpartition("Asterisk Ready.")[2].splitlines()
        lines = [line for line in since_it_is_up if "Remote UNIX connection" not in line]
        report.sections.append(("Asterisk's log", "\n".join(lines[-_LOG_LINES:])))
    return report


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
