"""Garbage: what a server and its calls are made of is not looked through again and again while calls go on.

Python's collector goes through all objects there are, every few seconds: with five hundred calls that is a tenth of a
second in which nobody has any audio. What has survived its first looks is set aside here instead; it is freed when
nobody refers to it any more, as ever. Only what refers to itself in a circle stays, until everything is looked through
at a moment at which nobody is on the line, or after an hour without one.
"""

from __future__ import annotations

import gc
from typing import Literal, Self

from voiceagent.ports import Clock

__all__ = ["Garbage"]

_LOOKED_THROUGH_EVERY_MS = 600_000
"""With nobody on the line; it takes a tenth of a second, and whoever calls just then waits for it."""
_AT_LEAST_EVERY_MS = 3_600_000
_YOUNG = 0


class Garbage:
    """Has the collector of this process leave alone what lasts, from when it is entered until it is left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_through_ms = clock.now_ms()

    def __enter__(self) -> Self:
        gc.callbacks.append(self._collected)
        self._look_through()
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._collected)
        gc.unfreeze()

    def call_over(self, *, others: int) -> None:
        """A call is over, and so many others go on: look through everything, if this is the moment for it."""
        since_ms = self._clock.now_ms() - self._looked_through_ms
        if since_ms >= (_AT_LEAST_EVERY_MS if others else _LOOKED_THROUGH_EVERY_MS):
            self._look_through()

    def _look_through(self) -> None:
        gc.unfreeze()
        gc.collect()
        self._looked_through_ms = self._clock.now_ms()

    def _collected(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        # The youngest are looked at some ten times a second, and few of them last.
        if phase == "stop" and info["generation"] > _YOUNG:
            gc.freeze()
