"""Every planted defect of `make explore-mutants` still fits the code it is planted in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((ROOT / "tests" / "mutants").glob("*.patch"))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_defect_fits_the_code(patch: Path) -> None:
    checked = subprocess.run(  # noqa: S603 - our own patch
        ["git", "apply", "--check", str(patch)],  # noqa: S607 - wherever git is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
