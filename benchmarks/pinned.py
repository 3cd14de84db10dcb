"""Run a command on given cores only: `python -m benchmarks.pinned 0 COMMAND…`, or `1,2,3`.

Where the system cannot do that (it is Linux that can), the command runs wherever it likes.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main", "on_cores", "server_and_generator_cores"]


def server_and_generator_cores() -> tuple[list[int], list[int]]:
    """Return the core of the server, and those of the generator: nobody's where there is only one, or no say in it."""
    if not hasattr(os, "sched_getaffinity"):
        return [], []
    cores = sorted(os.sched_getaffinity(0))
    return (cores[:1], cores[1:]) if len(cores) > 1 else ([], [])


def on_cores(cores: list[int], command: list[str]) -> list[str]:
    """Return a command that runs another one on these cores; the other one itself where there are none."""
    if not cores:
        return command
    return [sys.executable, "-m", "benchmarks.pinned", ",".join(map(str, cores)), *command]


def main() -> None:
    """Become the command."""
    cores, *command = sys.argv[1:]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    os.execvp(command[0], command)  # noqa: S606 - our own command


if __name__ == "__main__":
    main()
