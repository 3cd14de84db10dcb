"""The table of counts, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cost.counts import Counts


@pytest.fixture(scope="session")
def counts() -> Iterator[Counts]:
    """What was counted last; with RENEW_COUNTS what is counted now is written down, by one process (`-n 0`)."""
    table = Counts()
    yield table
    table.write()
