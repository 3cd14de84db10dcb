"""What a person sends who has had enough: the signals that end a call at this terminal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["on_interrupts"]

_ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_interrupts(signalled: Callable[[], None]) -> Generator[None]:
    """Have each of them told within the block, on the event loop, instead of ending the program."""
    loop = asyncio.get_running_loop()
    for wanted in _ENDS:
        loop.add_signal_handler(wanted, signalled)
    try:
        yield
    finally:
        for wanted in _ENDS:
            loop.remove_signal_handler(wanted)
