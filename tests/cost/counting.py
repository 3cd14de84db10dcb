"""Counting: what work is made of, where a clock would tell more about the machine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType

__all__ = ["OTHER_PYTHONS", "function_calls"]

OTHER_PYTHONS = 0.15
"""How much more another version of Python, or of pydantic, may count than the one that the table was written with."""


def function_calls(work: Callable[[], object]) -> int:
    """Return how many Python functions are called while the work is done: as near to its cost as can be counted."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        del frame, argument
        count += event == "call"

    collects, before = gc.isenabled(), sys.getprofile()
    gc.disable()  # it would do at any moment what others have left to be done
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
    return count
