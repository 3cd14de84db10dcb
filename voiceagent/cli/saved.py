"""What somebody saves of an agent while they talk to it, for them to read."""

from __future__ import annotations

from collections.abc import Iterator

from voiceagent.cli.diff import lines_of
from voiceagent.runtime.reloading import NotTaken, Saved

__all__ = ["saved_lines"]


def saved_lines(saved: Saved) -> Iterator[tuple[str, str]]:
    """Return line by line what has changed, or why it is not taken, each behind its label or none."""
    if isinstance(saved, NotTaken):
        yield from (("failed", reason) for reason in saved.reasons)
        yield "", "not taken: the agent is as it was"
        return
    yield "changed", ", ".join(saved.files)
    yield from (("", line) for line in lines_of(saved.changes))
    yield "", "taken when the call enters a phase"
