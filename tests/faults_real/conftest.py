"""Faults that need processes, signals and seconds: `make test-faults`."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what is slow out of `make test`."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("faults_real")
            item.add_marker(pytest.mark.timeout(120))
