"""Time in a call through the runtime: it passes up to an instant, or until something is so."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.errors import ScriptError
from voiceagent.testing.call_record import CallRecord, RecordEntry
from voiceagent.testing.simulated_server import SimulatedServer
from voiceagent.testing.virtual_loop import VirtualLoop

__all__ = ["RuntimeTime"]


class RuntimeTime:
    """Lets the loop of one call run. Whatever breaks the server meanwhile is raised out of it."""

    def __init__(self, loop: VirtualLoop, server: SimulatedServer, record: CallRecord) -> None:
        self._loop = loop
        self._server = server
        self._record = record
        self._wanted: Callable[[RecordEntry], bool] | None = None

    def recorded(self, entry: RecordEntry) -> None:
        """An entry has been added to the record: where it is what is waited for, time stands still."""
        if self._wanted is not None and self._wanted(entry):
            self._loop.stop()

    def pass_ms(self, ms: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Let so much time pass, or less where it is enough."""
        if self._loop.is_closed():
            return
        try:
            self._loop.pass_time(until_ms=self._loop.now_ms + ms, enough=enough)
        finally:
            self._server.journals.write()
        self._server.raise_failure()

    def until_entry(self, wanted: Callable[[RecordEntry], bool], at_most_ms: int) -> bool:
        """Let time pass until such an entry stands in the record; False where none comes."""
        already = len(self._record.entries)
        self._wanted = wanted
        self.pass_ms(at_most_ms, lambda: self._server.ended)
        self._wanted = None
        return any(wanted(entry) for entry in self._record.entries[already:])

    def until_known(self, known: Callable[[], int | None], otherwise: str, at_most_ms: int) -> None:
        """Let time pass until an instant is known, then up to it. Raises ScriptError where that never comes."""
        end_ms = self._loop.now_ms + at_most_ms
        while True:
            at_ms, now_ms = known(), self._loop.now_ms
            if at_ms is None:
                self.pass_ms(end_ms - now_ms, lambda: known() is not None or self._server.ended or self._server.idle)
                if known() is None:
                    raise ScriptError(otherwise)
            elif at_ms <= now_ms:
                return
            else:
                # What is known may be dropped before it comes.
                self.pass_ms(at_ms - now_ms, lambda at_ms=at_ms: known() != at_ms)
