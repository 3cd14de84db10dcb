"""Loop watch: notices when something holds up the event loop, which silences all calls, and says what it is."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Self

from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool

__all__ = ["HELD_UP_MS", "REPORTED_EVERY_S", "LoopWatch"]

_log = logging.getLogger(__name__)

HELD_UP_MS = 100
"""Five frames: a quarter of what speech runs ahead, and all of what a barge-in has to be noticed in."""
REPORTED_EVERY_S = 10.0
"""Who holds up the loop all the time is told of once in this time, with how often it was."""
_EVERY_S = 0.05
"""The loop notes the time so often; so what holds it up for longer than this and HELD_UP_MS is always noticed."""
_HELD_UP_S = _EVERY_S + HELD_UP_MS / 1_000
"""With a note as old as that, the next one is late by more than HELD_UP_MS."""
_LOOKED_AGAIN_MS = 20
_DOUBTED_AFTER_S = _HELD_UP_S - _LOOKED_AGAIN_MS / 1_000
"""Who looks only when a note is so old looks at every other note."""
_LATE_S = 0.02
"""A thread that looks later than it meant to was not given the processor; nor was the loop, maybe."""
_MOST_FRAMES = 20


class LoopWatch:
    """A thread that looks where the running event loop stands when it has not noted the time for a while.

    Only a thread can: a tool that computes, or waits without `await`, lets nothing else on the loop run. Since Python
    runs one thread at a time it wakes nobody, and nobody wakes it.
    """

    def __init__(self, flows: Iterable[Flow], *, reported_every_s: float = REPORTED_EVERY_S) -> None:
        """Tools of these flows are told by their names."""
        self._tools: dict[CodeType, str] = {}
        self._reported_every_s = reported_every_s
        self._stop = threading.Event()
        self._noted = (0.0, 0.0)
        """When the loop ran last, and how much processor time its thread had had by then; in seconds."""
        self._next_note: asyncio.Handle | None = None
        self._reported_s = float("-inf")
        self._unreported = 0
        self.seen = 0
        """How often it was held up."""
        self.know(flows)

    def know(self, flows: Iterable[Flow]) -> None:
        """Tell the tools of these flows by their names, too."""
        self._tools = {**self._tools, **{tool.run.__code__: tool.name for flow in flows for tool in _tools_of(flow)}}

    def __enter__(self) -> Self:
        """Watch the loop on which this is called."""
        self._note(asyncio.get_running_loop())
        loop_thread = threading.get_ident()
        threading.Thread(target=self._watch, args=(loop_thread,), name="loop-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._next_note is not None:
            self._next_note.cancel()

    def _note(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note on the loop that it runs, and when."""
        self._noted = (time.monotonic(), time.thread_time())
        # In a step of its own: asyncio keeps a timer that was cancelled, and its call, behind one that counts.
        self._next_note = loop.call_soon(self._note_later, loop)

    def _note_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._noted = (time.monotonic(), time.thread_time())
        self._next_note = loop.call_later(_EVERY_S, self._note, loop)

    def _watch(self, loop_thread: int) -> None:
        while not self._stop.wait(max(0.0, self._noted[0] + _DOUBTED_AFTER_S - time.monotonic())):
            noted = self._noted
            late_s = time.monotonic() - noted[0] - _DOUBTED_AFTER_S
            if late_s < 0.0:
                continue
            where = self._where_is(loop_thread) if late_s > _LATE_S else None
            # The process may have been stopped, and its threads go on in any order: then the loop has its time again.
            for _ in range(1 if where is None else HELD_UP_MS // _LOOKED_AGAIN_MS):
                if self._stop.wait(_LOOKED_AGAIN_MS / 1_000):
                    return
                if self._noted is not noted:
                    break
            if self._noted is not noted and (where is None or not self._computed_since(noted)):
                continue
            reported = self._report(where or self._where_is(loop_thread))
            while self._noted is noted:
                if self._stop.wait(_EVERY_S):
                    return
            if reported:
                _log.warning("the event loop goes on after %d ms", (self._noted[0] - noted[0] - _EVERY_S) * 1_000)

    def _computed_since(self, noted: tuple[float, float]) -> bool:
        """Whether the loop has had the processor for so long since this note that it was no standstill of all.

        What keeps Python's lock meanwhile (a regular expression, a sort) keeps this thread from looking.
        """
        return self._noted[1] - noted[1] > HELD_UP_MS / 1_000

    def _where_is(self, loop_thread: int) -> str:
        """Return where the loop stands; nothing is kept of the frames, which keep alive whatever the call holds."""
        return self._where(sys._current_frames().get(loop_thread))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented

    def _report(self, where: str) -> bool:
        """Say where the loop stands, unless that has been said a moment ago."""
        self.seen += 1
        now_s = time.monotonic()
        if now_s - self._reported_s < self._reported_every_s:
            self._unreported += 1
            return False
        again = f" ({self._unreported} times more since the last report)" if self._unreported else ""
        self._reported_s, self._unreported = now_s, 0
        _log.warning(
            "the event loop is held up for more than %d ms, and all calls with it%s: %s",
            HELD_UP_MS,
            again,
            where,
        )
        return True

    def _where(self, frame: FrameType | None) -> str:
        """Return the tool in which it is, and what led there; nothing of what the frames hold."""
        frames = list(_stack(frame))
        if not frames:
            return "nobody knows where"
        stack = " < ".join(map(_place, frames[:_MOST_FRAMES]))
        for each in frames:
            name = self._tools.get(each.f_code)
            if name is not None:
                return f"tool {name} at {_place(each)}, in {stack}"
        return stack


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    code: CodeType = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} ({code.co_name})"


def _tools_of(flow: Flow) -> Iterator[Tool]:
    yield from flow.tools
    for phase in flow.phases:
        yield from phase.tools
    for edge in (*flow.transitions, *(edge for phase in flow.phases for edge in phase.transitions)):
        yield from (prefetch.tool for prefetch in edge.prefetch)
