"""Libraries of which more is used than they promise to keep are bounded to the versions that are tested."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
INSIDES = {
    "uvicorn": "its H11Protocol and ServerState, with which web requests share the one port",
    "websockets": "its ServerConnection without its Server, for the same reason",
}


@pytest.mark.parametrize("name", INSIDES)
def test_whose_inside_is_used_comes_in_no_version_that_was_not_tested(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [each for each in map(Requirement, project["dependencies"]) if each.name == name]
    locked = (ROOT / "requirements.lock").read_text().partition(f"\n{name}==")[2].split()[0]
    major, minor = Version(locked).release[:2]
    next_one = f"{major}.{minor + 1}" if major == 0 else f"{major + 1}.0"
    assert wanted.specifier.contains(locked)
    assert not wanted.specifier.contains(next_one), INSIDES[name]
