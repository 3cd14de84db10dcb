"""The calls of a process: one session at a time for each; one that is broken off is closed, or goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping

from pydantic import JsonValue

from voiceagent.core.ids import CallId
from voiceagent.ports import IncomingCall
from voiceagent.runtime.journal import JournalWriter
from voiceagent.runtime.journal_file import Journal
from voiceagent.runtime.left_behind import bring_to_its_end
from voiceagent.runtime.resume import Folded
from voiceagent.runtime.session import Services, Session
from voiceagent.spec.flow import Flow

__all__ = ["Calls"]

_log = logging.getLogger(__name__)


class Calls:
    """Takes calls; one whose connection broke is closed if nobody connects it again in time."""

    def __init__(self, flows: Mapping[str, Flow], services: Services, *, time_zone: str) -> None:
        self._flows = dict(flows)
        self._begun_on: dict[tuple[str, CallId], Flow] = {}
        """The flows of calls that are not over: one that goes on does so on its own."""
        self._services = services
        self._time_zone = time_zone
        self._live: dict[CallId, Session] = {}
        self._waiting: dict[CallId, Callable[[], None]] = {}
        """Calls that were broken off here; what keeps each from being closed."""
        self._closing: set[asyncio.Task[None]] = set()
        self._looked_at: dict[CallId, asyncio.Event] = {}
        """Records of servers that have died, held here to see where their calls stood; set once they are not."""

    async def take(self, incoming: IncomingCall) -> None:
        """Run a call on this connection, to its end or until the connection breaks."""
        call = incoming.call
        agent = incoming.agent
        flow = self._begun_on.setdefault((agent, call), self._flows[agent])
        await self._let_go(call)
        self._no_longer_waiting(call)
        session = Session(flow, incoming, self._services, time_zone=self._time_zone)
        self._live[call] = session
        try:
            await session.run()
        finally:
            if self._live.get(call) is session:
                del self._live[call]
            if call not in self._live:
                if session.suspended:
                    self._wait_for(agent, call, session.recorded, flow)
                else:
                    self._begun_on.pop((agent, call), None)

    def tell(self, call: CallId, name: str, payload: Mapping[str, JsonValue] | None = None) -> bool:
        """Let a host event happen to a call; False where there is none here by this id that has begun."""
        session = self._live.get(call)
        return session is not None and session.tell(name, payload)

    def serve(self, flows: Mapping[str, Flow]) -> None:
        """Let the next calls run on these flows; those there are keep theirs."""
        self._flows.update(flows)

    def stop(self) -> None:
        """Have every call brought to its end."""
        for session in tuple(self._live.values()):
            session.stop()

    async def may_go_on(self, agent: str, call: CallId) -> bool:
        """Whether a call whose connection is over was broken off, and goes on if it is connected again."""
        live = self._live.get(call)
        if live is not None:
            return live.suspended or not live.closing
        flow = self._flows.get(agent)
        return flow is not None and await self._services.journals.is_broken_off(
            call, within_ms=flow.limits.resume_within_ms
        )

    async def close(self) -> None:
        """Wait for no one any more: the journals of calls that are broken off stay open, for another process."""
        for call in tuple(self._waiting):
            self._no_longer_waiting(call)
        if self._closing:
            await asyncio.wait(self._closing)

    def sweep(self) -> None:
        """Begin to see to the calls that servers have left behind when they died. Returns at once."""
        self._in_background(self._sweep())

    async def _sweep(self) -> None:
        for call in await self._services.journals.left_behind():
            if call not in self._live and call not in self._waiting:
                await self._sweep_one(call)

    async def _sweep_one(self, call: CallId) -> None:
        """End the record of a call in whose time nobody has gone on with it; else look again when that is over."""
        looked_at = self._looked_at[call] = asyncio.Event()
        try:
            left_ms = await self._ended_or_left_ms(call)
            if left_ms > 0:
                self._wait(call, left_ms, lambda: self._in_background(self._sweep_one(call)))
        finally:
            del self._looked_at[call]
            looked_at.set()

    async def _ended_or_left_ms(self, call: CallId) -> int:
        """Return for how long a call may still go on; the record of one that may not is brought to its end."""
        found = await self._resumed(call, newest=False)
        if found is None:
            return 0
        journal, read = found
        folded = await self._folded(read, self._named(read.header.flow))
        left_ms = folded.left_ms(self._services.clock.unix_ms()) if folded is not None else 0
        if left_ms > 0:
            await journal.close()
        else:
            await self._end(journal, read, folded)
        return left_ms

    async def _let_go(self, call: CallId) -> None:
        """Wait until a caller's record is not held here any more: after a restart they are back before it is read."""
        for recorded, looked_at in tuple(self._looked_at.items()):
            if recorded == call or recorded.startswith((f"{call}.", f"{call}-")):
                await looked_at.wait()

    def _wait_for(self, agent: str, call: CallId, recorded: CallId, flow: Flow) -> None:
        """Close the record of a call that was broken off here, unless it goes on in time."""

        def give_up() -> None:
            self._begun_on.pop((agent, call), None)
            self._in_background(self._close_record(recorded, flow))

        self._wait(call, flow.limits.resume_within_ms, give_up)

    def _wait(self, call: CallId, ms: int, then: Callable[[], None]) -> None:
        def over() -> None:
            del self._waiting[call]
            then()

        clock = self._services.clock
        self._waiting[call] = clock.call_at(clock.now_ms() + ms, over)

    def _no_longer_waiting(self, call: CallId) -> None:
        cancel = self._waiting.pop(call, None)
        if cancel is not None:
            cancel()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_record(self, call: CallId, flow: Flow) -> None:
        found = await self._resumed(call, newest=False)
        if found is not None:
            journal, read = found
            await self._end(journal, read, await self._folded(read, flow))

    async def _resumed(self, call: CallId, *, newest: bool) -> tuple[JournalWriter, Journal] | None:
        """Have a record to write to, unless somebody else has it."""
        return await self._services.journals.resume(
            call, on_broken=lambda reason: _log.error("%s: %s", call, reason), newest=newest
        )

    def _named(self, flow: str) -> Flow | None:
        return next((served for served in self._flows.values() if served.name == flow), None)

    async def _folded(self, read: Journal, flow: Flow | None) -> Folded | None:
        """Return a call as it stood; None where that cannot be said."""
        try:
            return await self._services.folding.fold(read, flow) if flow is not None else None
        except Exception as exc:  # noqa: BLE001 - whatever another version has left behind, its record gets an end
            _log.warning("where call %s was broken off cannot be said: %s", read.header.call, exc)
            return None

    async def _end(self, journal: JournalWriter, read: Journal, folded: Folded | None) -> None:
        _log.info("call %s was left behind: its record is brought to an end", journal.call)
        try:
            await bring_to_its_end(
                journal, read, folded, tools=self._services.tools, unix_ms=self._services.clock.unix_ms()
            )
        finally:
            await journal.close()
