"""The calls of a process: one session at a time for each; one that is broken off is closed, or goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from voiceagent.core.events import CallEnded
from voiceagent.core.ids import CallId
from voiceagent.errors import JournalError
from voiceagent.ports import IncomingCall
from voiceagent.runtime.resume import fold
from voiceagent.runtime.session import Services, Session
from voiceagent.spec.flow import Flow

__all__ = ["Calls"]

_log = logging.getLogger(__name__)
_NOT_BACK = "the connection broke, and the caller did not come back"


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

    async def take(self, incoming: IncomingCall) -> None:
        """Run a call on this connection, to its end or until the connection breaks."""
        call = incoming.call
        agent = incoming.agent
        flow = self._begun_on.setdefault((agent, call), self._flows[agent])
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
                    self._wait_for(agent, call, flow)
                else:
                    self._begun_on.pop((agent, call), None)

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
            return not live.closing
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

    def _wait_for(self, agent: str, call: CallId, flow: Flow) -> None:
        clock = self._services.clock
        self._waiting[call] = clock.call_at(
            clock.now_ms() + flow.limits.resume_within_ms, lambda: self._give_up(agent, call, flow)
        )

    def _no_longer_waiting(self, call: CallId) -> None:
        cancel = self._waiting.pop(call, None)
        if cancel is not None:
            cancel()

    def _give_up(self, agent: str, call: CallId, flow: Flow) -> None:
        del self._waiting[call]
        self._begun_on.pop((agent, call), None)
        task = asyncio.get_running_loop().create_task(self._close_record(call, flow))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_record(self, call: CallId, flow: Flow) -> None:
        """Have the record of a call say that it is over, unless it goes on elsewhere."""
        found = await self._services.journals.resume(call, on_broken=lambda reason: _log.error("%s: %s", call, reason))
        if found is None:
            return
        journal, read = found
        try:
            folded = fold(read, flow)
        except JournalError as exc:
            _log.error("the record of call %s stays open: %s", call, exc)
        else:
            now_ms = folded.last_ms + folded.gap_ms(self._services.clock.unix_ms())
            ended = CallEnded(_NOT_BACK)
            journal.event(now_ms, ended)
            journal.effects(folded.conversation.handle(ended, now_ms))
        finally:
            await journal.close()
