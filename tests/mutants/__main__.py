"""Whether exploring finds what it is for: defects planted in copies of the package, one at a time, must be caught.

    python -m tests.mutants [NAME…]

Prints for each defect which call caught it, and by which invariant; a call that breaks without the defect too has
caught nothing. Exit code 1: one survived, or its patch does not apply any more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

_HERE = Path(__file__).parent
_PACKAGE = _HERE.parents[1] / "voiceagent"
_AT_A_TIME = 2
_CALLS = {"core": ("--calls", "5000", "--runtime", "0"), "runtime": ("--calls", "0", "--runtime", "400")}
_ONE_CALL = {"core": ("--calls", "1", "--runtime", "0"), "runtime": ("--calls", "0", "--runtime", "1")}
_WITHIN_S = 600
"""All of them together: on two idle cores it takes a fifth of that."""
_LEVEL = re.compile(r"^Level: (core|runtime)$", re.MULTILINE)
"""Where a patch says that its defect is to be looked for: what only a runtime has, a core cannot show."""
_CAUGHT = re.compile(r"^(core|runtime) seed (\d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class _Outcome:
    name: str
    caught: bool
    told: str


def _tried(patch: Path, until_s: float) -> _Outcome:
    """Plant one defect in a copy, and explore it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(_PACKAGE, Path(folder) / "voiceagent", ignore=shutil.ignore_patterns("__pycache__"))
        applied = subprocess.run(
            ["git", "apply", str(patch.resolve())], cwd=folder, capture_output=True, text=True, check=False
        )
        if applied.returncode:
            return _Outcome(patch.stem, caught=False, told=f"the patch does not apply: {applied.stderr.strip()}")
        level = _LEVEL.search(patch.read_text())
        if level is None:
            return _Outcome(
                patch.stem, caught=False, told="the patch does not say where to look: Level: core, or runtime"
            )
        try:
            explored = _explored(Path(folder), [*_CALLS[level[1]], "--until-broken"], until_s)
            caught = _CAUGHT.search(explored.stdout)
            if caught is None:
                return _Outcome(patch.stem, caught=False, told=explored.stderr.strip()[-400:] or "it survived")
            told = f"{caught[1]} seed {caught[2]} → {caught[3][:160]}"
            alone = _explored(_PACKAGE.parent, [*_ONE_CALL[level[1]], "--seed", caught[2]], until_s)
        except subprocess.TimeoutExpired:
            return _Outcome(patch.stem, caught=False, told="it was not caught in time")
    if alone.returncode:
        return _Outcome(patch.stem, caught=False, told=f"broken without it too: {told}")
    return _Outcome(patch.stem, caught=True, told=told)


def _explored(folder: Path, arguments: Sequence[str], until_s: float) -> subprocess.CompletedProcess[str]:
    """Explore the package in a folder. Raises TimeoutExpired."""
    return subprocess.run(
        [sys.executable, "-m", "voiceagent.cli", "explore", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=max(1.0, until_s - monotonic()),
        check=False,
    )


def _is_slow(patch: Path) -> bool:
    return "Level: runtime" in patch.read_text()


def main(names: Sequence[str]) -> int:
    """Try the defects of these names; all of them where none are named."""
    known = {patch.stem: patch for patch in sorted(_HERE.glob("*.patch"))}
    if unknown := [name for name in names if name not in known]:
        print(f"there is no {unknown[0]}.patch in {_HERE}")
        return 2
    until_s = monotonic() + _WITHIN_S
    survived = 0
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        # The quick ones first, so that one that survives does not take their time.
        patches = sorted((known[name] for name in names or known), key=_is_slow)
        for outcome in pool.map(_tried, patches, [until_s] * len(patches)):
            print(f"{'caught  ' if outcome.caught else 'SURVIVED'}  {outcome.name} → {outcome.told}", flush=True)
            survived += not outcome.caught
    print(f"{len(names or known) - survived} of {len(names or known)} planted defects caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
