"""A typed call: the session that serves callers, a keyboard for a telephone, and time that waits for whoever types."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from voiceagent.cli.chatting.under_way import UnderWay
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId, LegId
from voiceagent.devices.keyboard import KeyboardLeg
from voiceagent.devices.typing_clock import TypingClock
from voiceagent.ports import IncomingCall
from voiceagent.runtime.session import Services, Session
from voiceagent.spec.flow import Flow

__all__ = ["TypedCall"]

_BETWEEN_KEYS_MS = 200
_ROUNDS = 8
"""Of the event loop, in which what has been posted is handled, and what that brings about is begun."""


class TypedCall:
    """One call to an agent. What the caller does returns when the agent waits for them again, or the call is over.

    While the agent has something to do, time passes as it does. Where it only waits, for the end of a pause, it is put
    forward; and while it is the caller's turn it stands still.
    """

    def __init__(
        self, flow: Flow, services: Services, clock: TypingClock, *, agent: str, call: CallId, time_zone: str
    ) -> None:
        """`services` are on this clock; their observers see everything that happens."""
        self._clock = clock
        self._leg = KeyboardLeg(LegId("keyboard"), clock)
        self._under_way = UnderWay()
        self._news = asyncio.Event()
        self._over = False
        self._ending = False
        self._session = Session(
            flow,
            IncomingCall(call, self._leg, agent, None, None, {}),
            replace(services, observers=(self._happened, *services.observers)),
            time_zone=time_zone,
        )

    @property
    def over(self) -> bool:
        """Whether the call is over and its record closed."""
        return self._over

    @property
    def conversation(self) -> Conversation | None:
        """The call as it stands; None before it has begun."""
        return self._session.conversation

    def _happened(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        del call, now_ms
        self._under_way.happened(event, outgoing)
        self._news.set()

    async def run(self) -> None:
        """Take the call, until it is over."""
        try:
            await self._session.run()
        finally:
            self._over = True
            self._news.set()

    def take(self, flow: Flow, changed: ev.AgentChanged) -> bool:
        """Go on with another version of the agent; False before the call has begun."""
        return self._session.take(flow, changed)

    # --- what the caller does ---

    async def says(self, line: str) -> None:
        """The caller says a line."""
        lasting_ms = self._leg.begin_line(line)
        await self._handled()
        await self._pass_ms(lasting_ms)
        self._leg.end_line()
        await self._handled()
        await self.until_idle()

    async def presses(self, keys: str) -> None:
        """The caller presses keys, one after the other."""
        for key in keys:
            self._leg.press(key)
            await self._handled()
            await self._pass_ms(_BETWEEN_KEYS_MS)
        await self.until_idle()

    async def waits(self, ms: int) -> None:
        """The caller says nothing for so long."""
        until_ms = self._clock.now_ms() + ms
        for _ in self._steps_to(until_ms):
            await self._handled()
            await self.until_idle()
        self._clock.skip_to(until_ms)
        await self._handled()

    async def hangs_up(self) -> None:
        """The caller is gone."""
        self._leg.leave()
        await self._handled()
        await self.until_idle()

    def end(self) -> None:
        """Have the agent say goodbye: the call is over when that was heard. Returns at once."""
        self._session.stop()
        self._ending = True
        self._clock.run()
        self._news.set()

    # --- time ---

    async def until_idle(self) -> None:
        """Return when the agent waits for the caller, or the call is over."""
        while not self._over:
            self._news.clear()
            if self._is_working:
                self._clock.run()
                await self._news.wait()
                continue
            self._clock.stop()
            if not self._put_forward():
                return
            await self._handled()

    @property
    def _is_working(self) -> bool:
        """Whether something is being done that takes real time, and somebody waits for it."""
        conversation = self.conversation
        if conversation is None or self._ending or conversation.state.ended or self._under_way.anything:
            return True
        return self._under_way.fetches and conversation.is_working

    def _put_forward(self) -> bool:
        """Go to when the agent wants to be woken, where it is not the caller it waits for; False where it is."""
        conversation = self.conversation
        if conversation is None or not conversation.is_working:
            return False
        due_ms, next_ms = conversation.deadline_ms, self._clock.next_ms
        if due_ms is None or next_ms is None or next_ms > due_ms:
            return False
        self._clock.skip_to(due_ms)
        return True

    async def _pass_ms(self, ms: int) -> None:
        until_ms = self._clock.now_ms() + ms
        for _ in self._steps_to(until_ms):
            await self._handled()
        self._clock.skip_to(until_ms)
        await self._handled()

    def _steps_to(self, until_ms: int) -> Iterator[int]:
        """Put the clock forward from one moment at which something is due to the next."""
        while not self._over and (next_ms := self._clock.next_ms) is not None and next_ms <= until_ms:
            self._clock.skip_to(next_ms)
            yield next_ms

    async def _handled(self) -> None:
        """Let the session handle what has been posted."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
