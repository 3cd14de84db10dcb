"""Whom a part tells: the object that has it, which it does not keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec
from weakref import WeakMethod

__all__ = ["weakly"]

P = ParamSpec("P")


def weakly(method: Callable[P, object]) -> Callable[P, None]:
    """Return what calls this method for as long as its object is there, and does nothing after that.

    A part that had the method itself would refer to the object that has it, in a circle: such are not free when a
    call is over, but when everything is looked through (`voiceagent/runtime/garbage.py`).
    """
    reference = WeakMethod(method)

    def call(*arguments: P.args, **named: P.kwargs) -> None:
        target = reference()
        if target is not None:
            target(*arguments, **named)

    return call
