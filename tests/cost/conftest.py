"""The table of counts, for all tests of this folder; it is written only if all of them were run, here, and passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cost.counts import TABLE, Counts

_COUNTS = pytest.StashKey[Counts]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTS] = Counts()


@pytest.fixture(scope="session")
def counts(pytestconfig: pytest.Config) -> Counts:
    """What was counted last; with RENEW_COUNTS what is counted now is written down by one process (-n 0)."""
    return pytestconfig.stash[_COUNTS]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    counted = session.config.stash[_COUNTS]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not counted.renews or reporter is None:
        return
    missing = _missing(session, exitstatus, reporter.stats)
    reporter.ensure_newline()
    if missing:
        reporter.write_line(f"the table of counts stays as it was: {missing}", red=True)
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        return
    counted.write()
    reporter.write_line(f"counted anew: {TABLE.name}")


def _missing(session: pytest.Session, exitstatus: int, outcomes: dict[str, list[object]]) -> str:
    """Return why this session has not counted everything; empty where it has."""
    here = Path(__file__).parent
    passed = {report.nodeid for report in outcomes.get("passed", []) if isinstance(report, pytest.TestReport)}
    if exitstatus:
        return "something has failed, or was broken off"
    if outcomes.get("skipped"):
        return "something was skipped"
    if outcomes.get("deselected") or any("::" in argument for argument in session.config.args):
        return "something was deselected"
    if not set(here.glob("test_*.py")) <= {item.path for item in session.items}:
        return "not all of its tests were asked for"
    if not {item.nodeid for item in session.items} <= passed:
        return "not everything was counted by this process (-n 0)"
    return ""
