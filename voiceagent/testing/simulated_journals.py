"""Journals of simulated calls: the same files as a server's, written without a thread, while no time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voiceagent.core.codec import encode_event, encode_outgoing
from voiceagent.core.effects import Outgoing
from voiceagent.core.events import Event
from voiceagent.core.ids import CallId
from voiceagent.errors import JournalError, ScriptError
from voiceagent.nobody import to_nobody
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import Journal, JournalHeader, encode_header, parse_journal
from voiceagent.testing.simulated_world import Faults

__all__ = ["SimulatedJournals"]

_SLOW_MS = 3_000


class SimulatedJournals:
    """Stands where the session expects a `JournalStore`. What is recorded is in the files after `write`."""

    def __init__(
        self,
        directory: Path,
        *,
        faults: Faults | None = None,
        recorded: Callable[[int], None] = lambda _at_ms: None,
    ) -> None:
        """Write into `directory`, which is made where it is missing; `recorded` is told of every event's instant."""
        self._directory = directory
        self._faults = faults or Faults()
        self._recorded = recorded
        self._writers: dict[CallId, _SimulatedWriter] = {}

    @property
    def syncs(self) -> int:
        """How often what was written was made safe."""
        return sum(writer.syncs for writer in self._writers.values())

    @property
    def broken(self) -> bool:
        """Whether one of them could not be written to its end."""
        return any(writer.broken for writer in self._writers.values())

    def write(self) -> None:
        """Append what was recorded since; not on a running event loop, which must not wait for a disk."""
        for writer in self._writers.values():
            writer.write()

    async def open(self, call: CallId, *, on_broken: Callable[[str], None]) -> _SimulatedWriter:
        """Make the journal of a call. It breaks where a fault says so; a real disk that fails does so in `write`."""
        disk = _Disk(self._faults, self._recorded)
        writer = _SimulatedWriter(self._directory / journal_name(call), call, disk, on_broken)
        self._writers[call] = writer
        await _answer_from_outside()
        return writer

    async def resume(
        self, call: CallId, *, on_broken: Callable[[str], None], seize: bool = False
    ) -> tuple[_SimulatedWriter, Journal] | None:
        """Go on with the journal of a call that was broken off here; None where there is none."""
        del seize
        writer = self._writers.get(call)
        if writer is None:
            return None
        await writer.closed.wait()
        journal = parse_journal(bytes(writer.all_lines), writer.path)
        if not journal.interrupted:
            return None
        writer.open_again(on_broken)
        await _answer_from_outside()
        return writer, journal


@dataclass(frozen=True, slots=True)
class _Disk:
    """What a journal is written to, and who is told of what is recorded."""

    faults: Faults
    recorded: Callable[[int], None]


class _SimulatedWriter:
    """One call's journal."""

    taken_over = False
    """There is no other worker that could have the call."""

    def __init__(self, path: Path, call: CallId, disk: _Disk, on_broken: Callable[[str], None]) -> None:
        self.path = path
        self.call = call
        self.all_lines = bytearray()
        self.closed = asyncio.Event()
        self.broken: str | None = None
        self.syncs = 0
        self._disk = disk
        self._on_broken = on_broken
        self._lines = bytearray()
        self._begun = False

    def begin(self, header: JournalHeader) -> None:
        """Write the first line."""
        self._put(encode_header(header))

    def event(self, at_ms: int, event: Event) -> None:
        """Record an event, before it is handled."""
        self._disk.recorded(at_ms)
        self._put(encode_event(event, at_ms))

    def effects(self, outgoing: Sequence[Outgoing]) -> None:
        """Record what the last event made necessary."""
        for effect in outgoing:
            self._put(encode_outgoing(effect))

    def sync_soon(self, *, at_once: bool = False) -> None:
        """Have a disk take what there is: one that is full is known at once, and told from outside."""
        del at_once
        if self.closed.is_set():
            return
        self.syncs += 1
        if self.broken is None and self.syncs in self._disk.faults.disk_full:
            self.broken = "no space left (simulated fault)"
            asyncio.get_running_loop().call_soon_threadsafe(self._on_broken, self.broken)

    async def sync(self) -> None:
        """Return when a disk would have answered. JournalError after the end."""
        if self.closed.is_set():
            raise JournalError(f"{self.path.name} is closed")
        self.sync_soon()
        if self.syncs in self._disk.faults.disk_slow:
            await asyncio.sleep(_SLOW_MS / 1_000)
        await _answer_from_outside()
        if self.broken is not None:
            raise JournalError(f"{self.path.name} cannot be written: {self.broken}")

    async def close(self) -> None:
        """Take nothing more."""
        if not self.closed.is_set():
            self.closed.set()
            self._on_broken = to_nobody
            await _answer_from_outside()

    def open_again(self, on_broken: Callable[[str], None]) -> None:
        """Take more: the call goes on, and has somebody else who is told."""
        self._on_broken = on_broken
        self.closed.clear()

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
        if not self.closed.is_set() and self.broken is None:
            self._lines += line + b"\n"
            self.all_lines += line + b"\n"


async def _answer_from_outside() -> None:
    """Wait for what a thread that writes would call back: at once, or as late as the schedule says."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()
    loop.call_soon_threadsafe(lambda: None if answered.done() else answered.set_result(None))
    await answered
