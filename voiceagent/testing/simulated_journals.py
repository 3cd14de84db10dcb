"""Journals of simulated calls: the same files as a server's, written without a thread, while no time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from voiceagent.core.codec import encode_event, encode_outgoing
from voiceagent.core.effects import Outgoing
from voiceagent.core.events import Event
from voiceagent.core.ids import CallId
from voiceagent.errors import JournalError, ScriptError
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import Journal, JournalHeader, encode_header, parse_journal

__all__ = ["SimulatedJournals"]


class SimulatedJournals:
    """Stands where the session expects a `JournalStore`. What is recorded is in the files after `write`."""

    def __init__(self, directory: Path) -> None:
        """Write into `directory`, which is made where it is missing."""
        self._directory = directory
        self._writers: dict[CallId, _SimulatedWriter] = {}

    def write(self) -> None:
        """Append what was recorded since; not on a running event loop, which must not wait for a disk."""
        for writer in self._writers.values():
            writer.write()

    async def open(self, call: CallId, *, on_broken: Callable[[str], None]) -> _SimulatedWriter:
        """Make the journal of a call. It never breaks: a disk that fails does so in `write`."""
        del on_broken
        writer = _SimulatedWriter(self._directory / journal_name(call), call)
        self._writers[call] = writer
        await _answer_from_outside()
        return writer

    async def resume(
        self, call: CallId, *, on_broken: Callable[[str], None], seize: bool = False
    ) -> tuple[_SimulatedWriter, Journal] | None:
        """Go on with the journal of a call that was broken off here; None where there is none."""
        del on_broken, seize
        writer = self._writers.get(call)
        if writer is None:
            return None
        await writer.closed.wait()
        journal = parse_journal(bytes(writer.all_lines), writer.path)
        if not journal.interrupted:
            return None
        writer.closed.clear()
        await _answer_from_outside()
        return writer, journal


class _SimulatedWriter:
    """One call's journal."""

    broken = None

    def __init__(self, path: Path, call: CallId) -> None:
        self.path = path
        self.call = call
        self.all_lines = bytearray()
        self.closed = asyncio.Event()
        self._lines = bytearray()
        self._begun = False

    def begin(self, header: JournalHeader) -> None:
        """Write the first line."""
        self._put(encode_header(header))

    def event(self, at_ms: int, event: Event) -> None:
        """Record an event, before it is handled."""
        self._put(encode_event(event, at_ms))

    def effects(self, outgoing: Sequence[Outgoing]) -> None:
        """Record what the last event made necessary."""
        for effect in outgoing:
            self._put(encode_outgoing(effect))

    async def sync(self) -> None:
        """Return when a disk would have answered. JournalError after the end."""
        if self.closed.is_set():
            raise JournalError(f"{self.path.name} is closed")
        await _answer_from_outside()

    async def close(self) -> None:
        """Take nothing more."""
        if not self.closed.is_set():
            self.closed.set()
            await _answer_from_outside()

    def write(self) -> None:
        """Append what was recorded since the last time."""
        if self._lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self.path.open("ab" if self._begun else "xb") as file:
                    file.write(self._lines)
            except FileExistsError as exc:
                raise ScriptError(f"{self.path} is there already: it is the journal of another call") from exc
            self._begun = True
            self._lines.clear()

    def _put(self, line: bytes) -> None:
        if not self.closed.is_set():
            self._lines += line + b"\n"
            self.all_lines += line + b"\n"


async def _answer_from_outside() -> None:
    """Wait for what a thread that writes would call back: at once, or as late as the schedule says."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()
    loop.call_soon_threadsafe(lambda: None if answered.done() else answered.set_result(None))
    await answered
