"""The seam between the driver and whatever carries its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, runtime_checkable

__all__ = ["MAX_WAITING_BYTES", "HandsOver", "LegSocket"]

MAX_WAITING_BYTES = 262_144
"""What may wait to be sent: the driver holds audio back long before that. Whoever gets there does not read, and has us
answer something else, as pings are, which no driver sees."""


class LegSocket(Protocol):
    """A message socket as the driver needs it."""

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield messages until the socket is closed, however that comes about."""
        ...

    def write(self, message: str | bytes) -> None:
        """Put a message on the wire at once; nothing if the socket is closed."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """What the operating system has not taken yet."""
        ...

    @property
    def end(self) -> str:
        """Why it was closed, once it is."""
        ...

    @property
    def closed_in_order(self) -> bool:
        """Whether the far side has closed it, and said so."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close in good order, within a bounded time."""
        ...

    def abort(self) -> None:
        """Close at once, without a word."""
        ...


@runtime_checkable
class HandsOver(Protocol):
    """A message socket that can give messages away where they come in, without a task that is woken for each."""

    def hand_to(self, receive: Callable[[str | bytes], None] | None) -> None:
        """Give messages to `receive`, which never raises, as far as possible; None: no longer.

        Those that are not given away are yielded, as all are otherwise. Both come in the order in which they were sent.
        """
        ...
