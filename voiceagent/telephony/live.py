"""Live lines: the media connections that are let in, counted alike by whatever door they came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Generic, Protocol, TypeVar

__all__ = ["SHUTDOWN_S", "LiveLines", "MediaLine"]

_log = logging.getLogger(__name__)

SHUTDOWN_S = 5
"""For what is asked to end: then it is ended."""

Admitted = TypeVar("Admitted")


class MediaLine(Protocol):
    """Whatever carries a call and can be closed."""

    async def close(self, code: int, reason: str) -> None:
        """Close in good order, within a bounded time."""
        ...


class LiveLines(Generic[Admitted]):
    """Media connections from being let in until nothing of them is left: the one notion of what is live."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self._lines: dict[MediaLine, Admitted] = {}
        self._none = asyncio.Event()
        self._none.set()

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def admitted(self) -> Collection[Admitted]:
        """What was said of each of them when it was let in."""
        return self._lines.values()

    @property
    def full(self) -> bool:
        """Whether the next one is refused."""
        return len(self._lines) >= self.most

    async def let_in(
        self, line: MediaLine, admitting: Callable[[], Awaitable[Admitted | HTTPStatus]]
    ) -> Admitted | HTTPStatus:
        """Have somebody look at a line; it is live if they admit it. Return the status of a refusal, or what they said.

        Nobody looks where there are too many; and there may be too many when they have looked.
        """
        admitted = HTTPStatus.SERVICE_UNAVAILABLE if self.full else await admitting()
        if self.full:
            _log.warning("refused a media socket: %d are open", len(self))
            return HTTPStatus.SERVICE_UNAVAILABLE
        if not isinstance(admitted, HTTPStatus):
            self.count(line, admitted)
        return admitted

    def count(self, line: MediaLine, admitted: Admitted) -> None:
        """Count a line that is let in already, until it is forgotten."""
        self._lines[line] = admitted
        self._none.clear()

    def forget(self, line: MediaLine) -> None:
        """Take note that nothing is left of a line."""
        self._lines.pop(line, None)
        if not self._lines:
            self._none.set()

    @contextmanager
    def counted(self, line: MediaLine, admitted: Admitted) -> Generator[None]:
        """Count a line that is let in already for as long as the block lasts."""
        self.count(line, admitted)
        try:
            yield
        finally:
            self.forget(line)

    async def none_left(self) -> None:
        """Return when no line is live."""
        await self._none.wait()

    async def close(self, code: int, reason: str) -> None:
        """Close all of them, in bounded time."""
        closing = {asyncio.ensure_future(line.close(code, reason)) for line in self._lines}
        if closing:
            _, late = await asyncio.wait(closing, timeout=SHUTDOWN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)
