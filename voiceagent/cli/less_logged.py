"""Less in the log: what simulated and spoken test calls log is for those who serve callers, and nobody does here."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["less_logged"]

_LEVELS = {"voiceagent": logging.ERROR, "voiceagent.telephony.transfers": logging.CRITICAL}  # nobody is dialled


@contextmanager
def less_logged() -> Generator[None]:
    """Log less within the block: an outage that a script provokes is a part of it."""
    before = {name: logging.getLogger(name).level for name in _LEVELS}
    try:
        for name, level in _LEVELS.items():
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
