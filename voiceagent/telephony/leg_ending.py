"""The end of a call, and what else its provider does with it: last words, hanging up, handing over, keys by REST."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress

from voiceagent.core.ids import LegId
from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.in_time import within
from voiceagent.logs import log_failure
from voiceagent.ports import Announcement, LegFeatures, SharedState
from voiceagent.telephony.call_control import CallControl, Dialled, KnowsWhere, Rings
from voiceagent.telephony.codec import HangUp, SendDigits, Started
from voiceagent.telephony.leg_state import LegState, OpenLeg
from voiceagent.telephony.pacing import MARK_GRACE_MS
from voiceagent.telephony.provider_recording import ProviderRecording
from voiceagent.telephony.transfers import Handover, Transfers

__all__ = ["ANSWERED_WITHIN_MS", "GOING_AWAY", "LEAVES_WITHIN_MS", "NORMAL", "SETTLE_MS", "LegEnding"]

_log = logging.getLogger(__name__)

SETTLE_MS = 200
"""Between the last mark and hanging up: what the carrier has played is still on its way to the ear."""
ANSWERED_WITHIN_MS = 5_000
"""For what the provider was asked before the end of a leg: nobody waits for it any more but the server that stops."""
LEAVES_WITHIN_MS = 5_000
"""A channel that is redirected leaves its bridge within milliseconds; a dial plan that is busy needs longer."""

_ASKED_EVERY_MS = 100

NORMAL, GOING_AWAY = 1000, 1001


class LegEnding:
    """What the agent does to a call besides speaking in it."""

    def __init__(
        self,
        leg: LegId,
        state: LegState,
        *,
        transfers: Transfers,
        controls: Mapping[str, CallControl],
        dialled_for: Callable[[Started, str, LegFeatures], Dialled | None],
        shared: SharedState | None,
    ) -> None:
        """`controls` are the providers' REST interfaces, by dialect.

        `dialled_for` returns the call that reaches a number for a caller; None where we cannot place it. `shared` knows
        what another worker has had recorded of the call.
        """
        self._id = leg
        self._state = state
        self._transfers = transfers
        self._controls = controls
        self._dialled_for = dialled_for
        self._shared = shared
        self._recording: ProviderRecording | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._keys: deque[str] = deque()
        """Keys that are asked for and not pressed yet: two requests at once would arrive in any order."""
        self._pressing: asyncio.Task[None] | None = None
        self._pressed_at_ms = 0
        """When the far side has pressed all keys that it has been told to."""
        self._goodbye = (NORMAL, "agent hung up")

    @property
    def _features(self) -> LegFeatures:
        return self._state.dialect.features  # which dialect it is may not be known before the first message

    def leave(self) -> None:
        """The server is about to go: when the agent hangs up from now on, the far side is told so (1001)."""
        self._goodbye = (GOING_AWAY, "server is going away")

    def send_digits(self, digits: str) -> None:
        """Press keys towards the far side, after those before; where nobody can, the log says so."""
        state, control = self._state, self._control(self._features.digits_out)
        if state.open is None or state.over or not (control or self._features.digits_out == "in_band"):
            state.count("digits not sent", len(digits))
            _log.warning(
                "leg %s: %d keys are not pressed: %s has no way", self._id, len(digits), self._features.dialect
            )
        elif control is None:
            state.send(SendDigits(digits))
            self._pressed_at_ms = max(self._pressed_at_ms, state.clock.now_ms()) + len(digits) * self._features.key_ms
        else:
            self._keys.append(digits)
            if len(self._keys) == 1:  # else they are pressed after those that are under way
                self._pressing = self._request(self._press(control, state.open.started.call))

    def record(self, *, on: bool) -> None:
        """Have the provider record the call from now on, or not; where it cannot, that is only counted."""
        control = self._control(self._features.record)
        if self._state.open is None or control is None:
            self._state.count("not recorded at the provider")
            return
        if self._recording is None:
            call = self._state.open.started.call
            self._recording = ProviderRecording(call, control, self._shared, count=self._state.count)
        self._recording.want(on=on)

    async def _press(self, control: CallControl, call: str) -> None:
        """Press keys one request after the other: the provider has answered before it has pressed any of them."""
        while self._keys and not self._state.caller_left:
            digits = self._keys[0]
            if await self._ask(control.send_digits(call, digits)):
                self._pressed_at_ms = self._state.clock.now_ms() + len(digits) * self._features.key_ms
                await self._all_pressed()
            self._keys.popleft()

    async def _all_pressed(self) -> None:
        """Return when the far side has pressed the keys that it knows of, or the caller has left."""
        state = self._state
        left_ms = self._pressed_at_ms - state.clock.now_ms()
        if left_ms <= 0:
            return
        with suppress(TimeoutError):
            async with within(left_ms, state.clock):
                await state.ended.wait()
                if state.broken:  # the caller is there, and still hears them
                    await state.clock.sleep(left_ms)

    def _control(self, way: str) -> CallControl | None:
        """Return the provider's REST interface, where a thing is done by that and there is one."""
        return self._controls.get(self._features.dialect) if way == "rest" else None

    def _request(self, request: Coroutine[None, None, None]) -> asyncio.Task[None]:
        asking = asyncio.create_task(request)
        self._requests.add(asking)
        asking.add_done_callback(self._requests.discard)
        return asking

    async def _ask(self, request: Awaitable[None]) -> bool:
        """Wait for an answer; False where it was a refusal, or none came."""
        try:
            await request
        except CallLost as exc:
            self._state.count("request refused")
            _log.warning("leg %s: %s", self._id, exc)
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with a provider's interface, the call goes on
            self._state.count("request refused")
            log_failure(_log, exc, "leg %s: a request to its provider failed", self._id)
        else:
            return True
        return False

    async def settled(self) -> None:
        """Return when the provider has answered all that it was asked, or after a bounded time: then it is given up."""
        asking = {*self._requests, *(self._recording.changing if self._recording is not None else ())}
        if not asking:
            return
        try:
            async with within(ANSWERED_WITHIN_MS, self._state.clock):
                await asyncio.wait(asking)
        except TimeoutError:
            _log.warning("leg %s is over, and its provider has not answered", self._id)
        finally:
            for task in asking:
                task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    # --- the end -----------------------------------------------------------------------------------------------------

    async def hang_up(self, *, drain: bool) -> None:
        """End the leg; with `drain` after everything queued has been heard, or a bounded time.

        It may be asked for again at any time, and is the same whether an earlier request goes on or was given up.
        """
        if drain:
            await self._heard_out()
        else:
            self._state.clear()  # also cuts short a drain that is under way
            self._state.hanging_up = True
        await self._end_the_call()
        await self._let_go()

    async def _end_the_call(self) -> None:
        """Say so to a far side for which closing the connection is not enough: in the dialect's words, or by REST."""
        state = self._state
        if state.open is None or state.over or state.end is not None:
            return
        if self._features.hang_up == "in_band":
            state.send(HangUp())
        control = self._control(self._features.hang_up)
        if control is not None:
            await self._ask(control.hang_up(state.open.started.call))

    async def turn_away(self, call: str) -> None:
        """End a call that we could not begin, where closing the connection leaves its caller waiting in silence."""
        control = self._control(self._features.hang_up)
        if control is not None and self._state.open is None and self._state.end is not None:
            _log.warning("call %s is hung up on: its connection is of no use (%s)", call, self._state.end[1])
            await self._ask(control.hang_up(call))

    async def transfer(self, target: str, announcement: Announcement | None, sorry: Announcement | None) -> bool:
        """Hand the caller over to one of the server's targets, after draining.

        The carrier is told by REST, or goes on with its answer document once the socket is closed, and is told there
        whom to dial: also where the connection breaks meanwhile, for the caller is still there. Returns whether it
        connects the caller to us again if nobody takes them. Raises CallLost: no such target, the dialect can do
        neither, or the caller has gone meanwhile.
        """
        control = self._control(self._features.transfer)
        if self._features.transfer != "redirect" and control is None:
            raise CallLost(f"{self._features.dialect} cannot hand a caller over")
        handover = Handover(self._transfers.number_of(target), announcement)
        if sorry is not None:
            await self._transfers.consultations.will_say(self._state.opened.started.call, sorry)
        if control is not None:
            may_return = await self._transfer_by_rest(control, handover)
        else:
            may_return = await self._transfer_by_document(handover)
        await self._let_go()
        return may_return

    async def _transfer_by_document(self, handover: Handover) -> bool:
        """Note first whom the carrier is to dial: it asks as soon as the socket has ended, whoever has ended it."""
        features, leg = self._features, self._state.opened
        call = leg.started.call
        announced = features.announce == "redirect"
        if handover.announcement is not None and not announced:
            self._transfers.cannot_announce(features.dialect)
        try:
            await self._transfers.expect(call, handover, drained_ms=self._heard_within_ms(leg))
            await self._say_the_last_words()
            await self._recording_paused()
        except BaseException:  # whoever has given up waiting goes on with the call
            await self._transfers.withdraw(call)
            self._state.speak_again()
            raise
        return announced

    async def _transfer_by_rest(self, control: CallControl, handover: Handover) -> bool:
        """Note first that the caller leaves: a stream that breaks meanwhile is then not the end of their call."""
        started, recorded = self._state.opened.started, False
        await self._transfers.leaves(started.call)
        try:
            await self._say_the_last_words()
            recorded = await self._recording_paused()
            async with self._ringing(control, started.call, handover.number):
                return await self._hand_over(control, started, handover)
        except BaseException:  # whoever has given up waiting goes on with the call
            await self._transfers.stays(started.call)
            await self._call_off(control, started.call)
            self._end_what_nobody_else_ends(started.call)
            self._state.speak_again()
            if recorded and not self._state.over:
                self.record(on=True)
            raise

    def _end_what_nobody_else_ends(self, call: str) -> None:
        """Hang up on a caller who stays, but with nobody: that our connection broke was taken for their leaving us."""
        control = self._control(self._features.hang_up)
        if control is not None and self._state.over and self._state.broken:
            self._request(self._told(control.hang_up(call)))

    async def _say_the_last_words(self) -> None:
        await self._heard_out()
        self._see_that_they_wait()

    def _see_that_they_wait(self) -> None:
        """Nobody is called for a caller who has hung up. Raises CallLost."""
        if self._state.caller_left:
            raise CallLost("the caller has gone")

    async def _recording_paused(self) -> bool:
        """Have nothing recorded of what is said to somebody else; return whether something was until now."""
        if self._recording is None:
            return False
        recorded = self._recording.wanted
        self._recording.want(on=False)
        await self._recording.settled()
        return recorded

    @asynccontextmanager
    async def _ringing(self, control: CallControl, call: str, number: str) -> AsyncGenerator[None]:
        """Have the caller hear it ring, until whoever sees to what comes next has somebody for them, or we fail."""
        if not isinstance(control, Rings):
            yield
            return
        try:
            await self._ask(control.ring(call, number))
            self._see_that_they_wait()
            yield
        except BaseException:  # the agent speaks again
            self._request(self._told(control.stop_ringing(call)))
            raise

    async def _told(self, request: Awaitable[None]) -> None:
        await self._ask(request)

    async def _hand_over(self, control: CallControl, started: Started, handover: Handover) -> bool:
        told_by_webhook = self._features.announce == "rest"
        announcement = handover.announcement
        consulting = told_by_webhook and control.consults
        dialled = self._dialled_for(started, handover.number, self._features) if consulting else None
        if announcement is not None and dialled is None:
            if consulting and announcement.accept is not None:
                raise CallLost("nobody can be asked whether they take the caller: no number of ours is known")
            self._transfers.cannot_announce(self._features.dialect)
        if announcement is not None and dialled is not None:
            await self._consult(control, started.call, dialled, announcement)
        elif told_by_webhook:
            await self._begin_consultation(started.call, None)
            await control.transfer(started.call, handover.number)
        else:
            await self._move(control, started.call, handover.number)
            return False
        await self._transfers.stays(started.call)  # until somebody has taken them: the consultation is noted
        return True

    async def _move(self, control: CallControl, call: str, number: str) -> None:
        """Hand the caller over; an exchange that says where they are is believed once they are elsewhere.

        The end of the connection alone says nothing: it ends for a caller who hangs up, and breaks, as well.
        """
        if not isinstance(control, KnowsWhere):
            await control.transfer(call, number)
            return
        before = await control.place_of(call)
        await control.transfer(call, number)
        try:
            async with within(LEAVES_WITHIN_MS, self._state.clock):
                while (place := await control.place_of(call)) == before:
                    await self._state.clock.sleep(_ASKED_EVERY_MS)
                if place is not None:
                    await self._state.ended.wait()  # if we ended it, they might be hung up on
        except TimeoutError:
            raise CallLost(f"the caller was not handed over within {LEAVES_WITHIN_MS} ms") from None
        if place is None:
            raise CallLost("the caller has gone")
        await self._transfers.moved(call)

    async def _consult(self, control: CallControl, call: str, dialled: Dialled, announcement: Announcement) -> None:
        await self._begin_consultation(call, announcement)
        peer = await control.consult(call, dialled)
        try:
            await self._transfers.consultations.placed(call, peer)
        except StateUnavailable as exc:
            raise CallLost(f"whoever takes the caller could not be told anything: {exc}") from exc

    async def _begin_consultation(self, call: str, announcement: Announcement | None) -> None:
        try:
            await self._transfers.consultations.begin(call, announcement)
        except StateUnavailable as exc:
            raise CallLost(f"nobody could be told what has come of the transfer: {exc}") from exc
        self._see_that_they_wait()

    async def _call_off(self, control: CallControl, call: str) -> None:
        """Have nobody put through to a caller who stays, though the provider may have called them by now."""
        with suppress(StateUnavailable):  # it is forgotten by itself, two minutes later
            consultation = await self._transfers.consultations.end(call)
            if consultation is not None and consultation.peer is not None:
                self._request(self._told(control.hang_up(consultation.peer)))

    async def _heard_out(self) -> None:
        """Wait until keys are pressed and all that was queued is heard: its last mark, or its time and a margin."""
        state, clock = self._state, self._state.clock
        leg, asked_before = state.open, state.hanging_up
        state.hanging_up = True
        pressed = await self._keys_pressed()
        within_ms = self._heard_within_ms(leg) if leg is not None else 0
        if leg is None or not within_ms:
            if pressed and not state.over:
                await clock.sleep(SETTLE_MS)
            return
        now_ms = clock.now_ms()
        if not asked_before:
            leg.pacer.end_line()
            state.advance(leg, now_ms)
        give_up = clock.call_at(now_ms + within_ms, state.all_heard.set)
        try:
            await state.all_heard.wait()
        finally:
            give_up()
        if not state.over:
            await clock.sleep(SETTLE_MS)

    async def _keys_pressed(self) -> bool:
        """Wait for keys that are being pressed; return whether there were any."""
        pressing = self._pressing is not None and not self._pressing.done()
        if self._pressing is not None:
            await asyncio.wait({self._pressing})
        in_band = self._pressed_at_ms > self._state.clock.now_ms()
        await self._all_pressed()
        return pressing or in_band

    def _heard_within_ms(self, leg: OpenLeg) -> int:
        """Return how long to wait at most until all that was queued has been heard; 0 where all of it was."""
        unheard_ms = leg.pacer.unheard_ms(self._state.clock.now_ms())
        return unheard_ms + 2 * MARK_GRACE_MS if unheard_ms or leg.pacer.busy else 0

    async def _let_go(self) -> None:
        state = self._state
        if state.over:
            return
        if state.end is None:
            state.end = self._goodbye
        await state.socket.close(*state.end)
