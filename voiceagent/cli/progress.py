"""Progress: how far long work has come, for whoever waits for it at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["Advance", "progress"]

Advance = Callable[[int], None]
"""Is told how much more has been done."""


@contextmanager
def progress(what: str, *, of: int | None = None, shown: bool = True) -> Generator[Advance]:
    """Show on standard error how far the block has come, of so much where that is known; nothing remains of it.

    Nothing is written where standard error is no terminal: it is a log then, or another program reads it.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda _by: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    counted = (MofNCompleteColumn(),) if of is not None else ()
    columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeElapsedColumn())
    # What is printed meanwhile goes above the bar, if it goes to the same terminal; else it stays where it is sent to.
    together = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=together) as bar:
        task = bar.add_task(what, total=of)
        yield lambda by: bar.advance(task, by)
