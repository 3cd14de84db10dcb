"""Telnyx' webhooks: there is no document to answer with; every step is a command that we send.

A call that rings is answered; one that was answered has its media connected to us; who has answered one that we have
placed is told to it later, where that was asked for. A stream that broke off is begun anew where the call goes on.
Whoever is called for a caller may be told about them, and is connected; if they are not there, the caller comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from voiceagent.console.webhooks import refused
from voiceagent.core.ids import CallId
from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.ports import Announcement, Clock
from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.codec import Refused
from voiceagent.telephony.consultations import ACCEPTED_BY, Consultation, Consultations
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.streams import named_by
from voiceagent.telephony.telnyx_calls import LEAVING, PLACED, TelnyxCalls, consulted_for
from voiceagent.telephony.wire_json import as_mapping, as_text, read_object

__all__ = ["TelnyxDesk"]

_log = logging.getLogger(__name__)

_LET_GO_WITHIN_MS = 3_000
"""Our end of a stream is closed within two seconds, and it is noted after that where its call stands."""
_LOOKED_EVERY_MS = 200


@dataclass(frozen=True, slots=True)
class _Asked:
    id: str | None
    """The same for a webhook that is sent once more."""
    event: str
    call: str
    caller: str | None
    called: str | None
    outgoing: bool
    leaving: bool
    found: str | None
    """What answered a call that we placed, or how its greeting has ended, in Telnyx' word."""
    consulted_for: str | None
    """The caller's call, where this one reaches somebody on their behalf."""
    stream: str | None
    """The address of the stream that it is about."""
    heard_out: bool
    """What was said has been heard to its end, and nobody has hung up meanwhile."""
    keys: str | None
    """What was pressed by somebody who was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelnyxDesk:
    """Answers Telnyx' webhooks."""

    settings: TelephonySettings
    clock: Clock
    calls: TelnyxCalls
    tokens: CallTokens
    consultations: Consultations
    detections: Detections
    why_not: Callable[[str], str | None]
    """Why no new call is taken for this agent."""
    over: Callable[[str, str | None], Awaitable[str | None]]
    """(call, caller) → why this caller may not begin another call."""
    has_left: Callable[[str], Awaitable[bool]]
    """Whether a caller was handed over by a command a moment ago: the stream that ends was theirs with us."""
    may_go_on: Callable[[str, CallId], Awaitable[bool]]
    """(agent, call) → whether a call whose stream has ended was broken off and goes on if it is connected again."""

    async def answer(self, request: Request, agent: str, body: bytes, parameters: Mapping[str, str]) -> Response:
        """Do what a webhook that has proved itself makes necessary."""
        asked = _read(body)
        if asked is None:
            return refused(request, HTTPStatus.BAD_REQUEST, "it names no event and no call")
        if asked.event == "call.initiated" and not asked.outgoing and (why := self.why_not(agent)) is not None:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why)
        try:
            await self._act(agent, asked, parameters)
        except (CallLost, StateUnavailable) as exc:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
        return Response(status_code=HTTPStatus.OK)

    async def _act(self, agent: str, asked: _Asked, parameters: Mapping[str, str]) -> None:
        if asked.consulted_for is not None:
            await self._consult(agent, asked, asked.consulted_for)
            return
        match asked.event:
            case "call.initiated" if not asked.outgoing:
                over = await self.over(asked.call, asked.caller)
                if over is not None:
                    _log.warning("call %s is told that it is busy: %s", asked.call, over)
                    await self.calls.reject(asked.call)
                else:
                    await self.calls.answer(asked.call)
            case "call.answered":
                await self._stream(agent, asked.call, asked, parameters)
            case (
                "call.machine.detection.ended"
                | "call.machine.greeting.ended"
                | "call.machine.premium.detection.ended"
                | "call.machine.premium.greeting.ended"
            ):
                await self.detections.told(asked.call, asked.found or "")
            case "streaming.failed" | "streaming.stopped" if await self._has_newer(asked):
                pass  # several are sent about one stream, and some of them late
            case "streaming.failed" | "streaming.stopped":
                await self._stream_ended(agent, asked, parameters)
            case "call.speak.ended" if asked.leaving:
                await self.calls.hang_up(asked.call)
            case "call.bridged":
                await self.consultations.bridged(asked.call)
            case "call.hangup":
                await self._caller_left(asked.call)
            case _:  # many more are sent, and none of them asks for anything
                pass

    # --- somebody is called for a caller -----------------------------------------------------------------------------

    async def _consult(self, agent: str, asked: _Asked, caller: str) -> None:
        consultation = await self.consultations.of(caller)
        if consultation is None or not consultation.is_with(asked.call):
            # The caller has left, or the agent has gone on with them: nobody is to be put through.
            if asked.event in ("call.initiated", "call.answered", "call.speak.ended", "call.gather.ended"):
                await self.calls.hang_up(asked.call)
            return
        match asked.event:
            case "call.initiated":
                await self.consultations.placed(caller, asked.call)
            case "call.answered":
                await self._answered(caller, asked.call, consultation.announcement)
            case "call.bridged":
                await self.consultations.bridged(caller)
                if await self.consultations.is_taken(caller, consultation):
                    await self._stop_ringing(caller, level=logging.INFO)  # as a rule nothing rings any more
            case "call.speak.ended" if asked.heard_out and not _asks(consultation.announcement):
                await self._connect(agent, asked, caller, consultation)
            case "call.gather.ended" if asked.keys == ACCEPTED_BY:
                await self._connect(agent, asked, caller, consultation)
            case "call.gather.ended" if not consultation.connected:
                await self.calls.hang_up(asked.call)
            case "call.hangup" if not await self.consultations.is_taken(caller, consultation):
                await self._take_back(agent, asked, caller)
            case _:
                pass

    async def _answered(self, caller: str, peer: str, announcement: Announcement | None) -> None:
        """Somebody has picked up. Their caller hears it ring for as long as there is nobody to be heard instead."""
        if announcement is None:  # Telnyx connects the two at this moment
            await self.consultations.answered(caller)
            await self._stop_ringing(caller)
        elif announcement.accept is None:
            await self.calls.speak(peer, announcement)
        else:
            await self.calls.ask(peer, announcement, announcement.accept)

    async def _stop_ringing(self, caller: str, *, level: int = logging.WARNING) -> None:
        try:
            await self.calls.stop_ringing(caller)
        except CallLost as exc:  # Telnyx does not say in words that we know whether anything played
            _log.log(level, "call %s: its ringing was not stopped: %s", caller, exc)

    async def _connect(self, agent: str, asked: _Asked, caller: str, consultation: Consultation) -> None:
        if consultation.connected:
            return
        await self.consultations.connected(caller)
        await self._stop_ringing(caller)
        try:
            await self.calls.bridge(caller, asked.call)
        except CallLost as exc:
            _log.warning("call %s could not be connected to whoever was there: %s", caller, exc)
            await self.consultations.begin(caller, consultation.announcement)
            await self.calls.hang_up(asked.call)
            # Whoever has hung up by themselves was told of while they passed for connected: no more is told of them.
            await self._take_back(agent, asked, caller)

    async def _take_back(self, agent: str, asked: _Asked, caller: str) -> None:
        """Nobody has taken the caller: they are connected to us again, or told why not."""
        goes_on = await self._goes_on_once_let_go(agent, CallId(caller))
        consultation = await self.consultations.end(caller)  # not before: the end of our stream is no end of the call
        if consultation is None:
            return
        try:
            if goes_on:
                # What the webhook says of numbers is about the call that was placed.
                await self._stream(agent, caller, replace(asked, caller=None, called=None), {}, again=True)
                await self._stop_ringing(caller)
            else:
                _log.warning("call %s: nobody took the caller, and its time with us is over", caller)
                await self._stop_ringing(caller)  # what is said waits behind what plays
                await self.calls.speak(caller, await self.consultations.sorry_for(caller), client_state=LEAVING)
        except CallLost:
            await self.consultations.begin(caller, consultation.announcement)  # so that the next webhook leads back
            raise

    async def _goes_on_once_let_go(self, agent: str, call: CallId) -> bool:
        """Whether the call goes on: somebody who is busy is that before we have closed our end and noted the call."""
        until_ms = self.clock.now_ms() + _LET_GO_WITHIN_MS
        while not (goes_on := await self.may_go_on(agent, call)) and self.clock.now_ms() < until_ms:
            await self.clock.sleep(_LOOKED_EVERY_MS)
        return goes_on

    async def _caller_left(self, caller: str) -> None:
        """Nobody waits any more for whoever is being called."""
        consultation = await self.consultations.end(caller)
        if consultation is None or consultation.peer is None or await self.consultations.is_taken(caller, consultation):
            return
        await self.calls.hang_up(consultation.peer)

    # --- media -------------------------------------------------------------------------------------------------------

    async def _stream_ended(self, agent: str, asked: _Asked, parameters: Mapping[str, str]) -> None:
        # A caller for whom somebody is called waits for them, and not for us.
        if await self.consultations.of(asked.call) is not None or await self.has_left(asked.call):
            return
        if await self.may_go_on(agent, CallId(asked.call)):
            await self._stream(agent, asked.call, asked, parameters, again=True)
        else:  # without a stream nobody would be heard in it, and it would go on
            await self.calls.hang_up(asked.call)

    async def _has_newer(self, asked: _Asked) -> bool:
        return asked.stream is not None and await self.tokens.streams.is_old(asked.call, asked.stream)

    async def _stream(
        self, agent: str, call: str, asked: _Asked, parameters: Mapping[str, str], *, again: bool = False
    ) -> None:
        base = self.settings.media_base
        if base is None:
            raise CallLost("no public URL is configured for the media to connect to")
        # Who calls is who is on the other end, whoever has dialled.
        caller, called = (asked.called, asked.caller) if asked.outgoing else (asked.caller, asked.called)
        grant = CallGrant(agent, call, "telnyx", caller=caller, called=called, again=again, outbound=asked.outgoing)
        url = base + media_path("telnyx", agent, await self.tokens.mint(grant))
        once = _once(asked) if again else "stream"
        before = await self.tokens.streams.begins(call, url, command=once, again=again)
        try:
            await self.calls.start_stream(call, url, parameters, command_id=once, settings=self.settings)
        except CallLost:
            await self.tokens.streams.not_begun(call, before)
            raise


def _asks(announcement: Announcement | None) -> bool:
    return announcement is not None and announcement.accept is not None


def _once(asked: _Asked) -> str:
    """Return the id of the command that begins a stream anew: one for all webhooks that say the same."""
    return f"after {named_by(asked.stream)}" if asked.stream is not None else asked.id or "again"


def _read(body: bytes) -> _Asked | None:
    fields = read_object(body.decode("utf-8", "replace"))
    if isinstance(fields, Refused):
        return None
    told = as_mapping(fields.get("data")) or {}
    payload = as_mapping(told.get("payload")) or {}
    event, call = as_text(told.get("event_type")), as_text(payload.get("call_control_id"))
    if event is None or call is None:
        return None
    return _Asked(
        as_text(told.get("id")),
        event,
        call,
        caller=as_text(payload.get("from")),
        called=as_text(payload.get("to")),
        outgoing=payload.get("direction") == "outgoing" or payload.get("client_state") == PLACED,
        leaving=payload.get("client_state") == LEAVING,
        consulted_for=consulted_for(as_text(payload.get("client_state"))),
        found=as_text(payload.get("result")),
        heard_out=payload.get("status", "completed") == "completed",
        keys=as_text(payload.get("digits")),
        stream=as_text(payload.get("stream_url") or (as_mapping(payload.get("stream_params")) or {}).get("stream_url")),
    )
