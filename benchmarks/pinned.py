"""Run a command on given cores only: `python -m benchmarks.pinned 0 COMMAND…`, or `1,2,3`.

Where the system cannot do that (it is Linux that can), the command runs wherever it likes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["main", "on_cores", "placement", "server_and_generator_cores", "threads_in"]

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
"""Which of the system's processors are threads of one core: Linux's admin-guide/cputopology."""


def server_and_generator_cores() -> tuple[list[int], list[int]]:
    """Return the core of the server, and those of the generator: nobody's where there is only one, or no say in it."""
    if not hasattr(os, "sched_getaffinity"):
        return [], []
    cores = sorted(os.sched_getaffinity(0))
    return (cores[:1], cores[1:]) if len(cores) > 1 else ([], [])


def threads_in(listed: str) -> set[int]:
    """Return the numbers in a list of the system's, such as `0-1` or `0,4`."""
    ranges = [each.partition("-") for each in listed.strip().split(",") if each]
    return {number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)}


def placement(server: list[int], generator: list[int], siblings: str = _SIBLINGS) -> str:
    """Return which cores both have, as a sentence, and whether they are in each other's way.

    `siblings` is where the system tells of a processor by its number. A virtual machine may be told less than is so.
    """
    if not server:
        return "nothing has a core of its own"
    said = f"the server has core {server[0]}, the generator {', '.join(map(str, generator))}"
    try:
        shared = threads_in(Path(siblings.format(server[0])).read_text()) & set(generator)
    except OSError:
        return f"{said}; whether they are threads of one core the system does not tell"
    if not shared:
        return said
    named = ", ".join(map(str, sorted(shared)))
    return f"{said}; {server[0]} and {named} are threads of ONE core, so that each slows the other"


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
