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

__all__ = ["HELD_UP_MS", "LoopWatch"]

_log = logging.getLogger(__name__)

HELD_UP_MS = 500
"""A pause that every caller hears."""
_EVERY_S = 0.25


class LoopWatch:
    """A thread that knocks at the running event loop and looks where it stands if nobody opens.

    Only a thread can: a tool that computes, or waits without `await`, lets nothing else on the loop run.
    """

    def __init__(self, flows: Iterable[Flow]) -> None:
        """Tools of these flows are told by their names."""
        self._tools = {tool.run.__code__: tool.name for flow in flows for tool in _tools_of(flow)}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

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
            where = self._where(sys._current_frames().get(loop_thread))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented
            _log.warning("the event loop is held up for more than %d ms, and all calls with it: %s", HELD_UP_MS, where)
            while not opened.wait(_EVERY_S):
                if self._stop.is_set():
                    return
            _log.warning("the event loop goes on after %d ms: %s", (time.monotonic() - knocked_s) * 1_000, where)

    def _where(self, frame: FrameType | None) -> str:
        """Return the place, and the tool in which it is; nothing of what the frames hold."""
        frames = list(_stack(frame))
        if not frames:
            return "nobody knows where"
        place = _place(frames[0])
        for each in frames:
            name = self._tools.get(each.f_code)
            if name is not None:
                return f"tool {name} at {_place(each)}" + ("" if each is frames[0] else f", in {place}")
        return place


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
