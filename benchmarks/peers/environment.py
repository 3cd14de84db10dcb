"""Environments: each peer is installed into one of its own, so that no peer decides what another runs on."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.peer import Peer

__all__ = ["PeerMissing", "distribution_version", "install", "python_of"]

_REQUIREMENTS = Path(__file__).parent / "requirements"
_ENVIRONMENTS = Path(".venv-peers")
_INSTALL_S = 600
_ASK_S = 30


class PeerMissing(Exception):
    """A peer cannot be installed here: the reason stands in the table instead of its figures."""


def python_of(peer: Peer) -> Path:
    """Return the interpreter that runs a peer, after installing what its requirements pin; raises `PeerMissing`."""
    if peer.environment is None:
        return Path(sys.executable)
    requirements = _REQUIREMENTS / f"{peer.environment}.txt"
    folder = _ENVIRONMENTS / peer.environment
    python = (folder / "bin" / "python").absolute()
    stamp = folder / ".installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        print(f"installing {peer.environment} into {folder}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        install(python, requirements)
        stamp.write_text(wanted)
    return python


def install(python: Path, requirements: Path) -> None:
    """Install what a file pins, which is everything that its peer runs on; raises `PeerMissing`."""
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements)])


def distribution_version(python: Path, distribution: str | None) -> str:
    """Return what is installed in a peer's environment: its version, and its Python's."""
    ask = "import platform, sys; from importlib.metadata import version; "
    ask += "print(*(version(name) for name in sys.argv[1:]), f'(Python {platform.python_version()})')"
    names = [] if distribution is None else [distribution]
    asked = subprocess.run(  # noqa: S603 - our own command
        [python, "-c", ask, *names], check=True, capture_output=True, text=True, timeout=_ASK_S
    )
    return asked.stdout.strip()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command, check=False, capture_output=True, text=True, timeout=_INSTALL_S
        )
    except subprocess.TimeoutExpired:
        raise PeerMissing(f"not installed within {_INSTALL_S} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        last = said[-1]
        raise PeerMissing(f"cannot be installed: {last}")
