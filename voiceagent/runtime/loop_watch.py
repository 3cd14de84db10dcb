"""Loop watch: notices when something holds up the event loop, which silences all calls, and says what it is."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
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
_MOST_FRAMES = 20


class LoopWatch:
    """A thread that knocks at the running event loop and looks where it stands if nobody opens.

    Only a thread can: a tool that computes, or waits without `await`, lets nothing else on the loop run.
    """

    def __init__(self, flows: Iterable[Flow], *, reported_every_s: float = REPORTED_EVERY_S) -> None:
        """Tools of these flows are told by their names."""
        self._tools: dict[CodeType, str] = {}
        self._reported_every_s = reported_every_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
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
        loop, loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(loop, loop_thread), name="loop-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, loop_thread: int) -> None:
        while not self._stop.wait(_EVERY_S):
            opened = threading.Event()
            with suppress(RuntimeError):  # the loop is closed: it is over
                loop.call_soon_threadsafe(opened.set)
            knocked_s = time.monotonic()
            if opened.wait(HELD_UP_MS / 1_000) or self._stop.is_set():
                continue
            frame = sys._current_frames().get(loop_thread)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented
            reported = self._report(frame)
            del frame  # it would keep alive whatever the call holds
            while not opened.wait(_EVERY_S):
                if self._stop.is_set():
                    return
            if reported:
                _log.warning("the event loop goes on after %d ms", (time.monotonic() - knocked_s) * 1_000)

    def _report(self, frame: FrameType | None) -> bool:
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
            self._where(frame),
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
