"""The lines that somebody types, or that another program writes: read as they come, while a call goes on."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
from concurrent.futures import CancelledError

__all__ = ["TypedLines"]

_AT_ONCE_BYTES = 64 * 1024
_MOST_WAITING = 100
"""Lines; whoever writes faster than the call goes on has to wait."""
_LONGEST = 8 * 1024
"""Characters without an end of line; what is longer is cut there."""


class TypedLines:
    """Reads a file descriptor in a thread of its own, which nobody has to wait for at the end."""

    def __init__(self, descriptor: int | None) -> None:
        """`descriptor` is None where there is nobody who could type."""
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        threading.Thread(target=self._read, name="typed lines", daemon=True).start()

    async def next(self) -> str | None:
        """Return the next line, without its end; None after the last."""
        return await self._lines.get()

    def _read(self) -> None:
        # Not by `sys.stdin`: its lock would be held by this thread when the interpreter goes.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        begun = ""
        try:
            while piece := self._piece():
                *lines, begun = (begun + decoder.decode(piece)).split("\n")
                for line in lines:
                    self._put(line.rstrip("\r")[:_LONGEST])
                begun = begun[:_LONGEST]
            if begun:
                self._put(begun)
            self._put(None)
        except (CancelledError, RuntimeError):
            return  # the call is over, and the loop with it

    def _piece(self) -> bytes:
        try:
            return b"" if self._descriptor is None else os.read(self._descriptor, _AT_ONCE_BYTES)
        except OSError:  # the terminal is gone
            return b""

    def _put(self, line: str | None) -> None:
        putting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        finally:
            putting.close()
