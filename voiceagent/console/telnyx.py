"""Telnyx' webhooks: there is no document to answer with; every step is a command that we send.

A call that rings is answered; one that was answered has its media connected to us, or, where whoever placed it wants to
know whether a person has answered, once that is known. A stream that broke off is begun anew where the call goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from voiceagent.console.webhooks import refused
from voiceagent.core.ids import CallId
from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.codec import Refused
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.telnyx_calls import DETECTING, PLACED, TelnyxCalls
from voiceagent.telephony.wire_json import as_mapping, as_text, read_object

__all__ = ["TelnyxDesk"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    id: str | None
    """The same for a webhook that is sent once more."""
    event: str
    call: str
    caller: str | None
    called: str | None
    outgoing: bool
    detecting: bool
    found: str | None
    """What answered a call that we placed: `human`, `machine` or `not_sure`."""


@dataclass(frozen=True, slots=True)
class TelnyxDesk:
    """Answers Telnyx' webhooks."""

    settings: TelephonySettings
    calls: TelnyxCalls
    tokens: CallTokens
    why_not: Callable[[str], str | None]
    """Why no new call is taken for this agent."""
    over: Callable[[str, str | None], Awaitable[str | None]]
    """(call, caller) → why this caller may not begin another call."""
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
        match asked.event:
            case "call.initiated" if not asked.outgoing:
                over = await self.over(asked.call, asked.caller)
                if over is not None:
                    _log.warning("call %s is told that it is busy: %s", asked.call, over)
                    await self.calls.reject(asked.call)
                else:
                    await self.calls.answer(asked.call)
            case "call.answered" if not asked.detecting:
                await self._stream(agent, asked, parameters)
            case "call.machine.detection.ended":
                await self._stream(agent, asked, {**parameters, "answered_by": asked.found or "not_sure"})
            case "streaming.failed" | "streaming.stopped" if await self.may_go_on(agent, CallId(asked.call)):
                await self._stream(agent, asked, parameters, again=True)
            case _:  # many more are sent, and none of them asks for anything
                pass

    async def _stream(self, agent: str, asked: _Asked, parameters: Mapping[str, str], *, again: bool = False) -> None:
        base = self.settings.media_base
        if base is None:
            raise CallLost("no public URL is configured for the media to connect to")
        # Who calls is who is on the other end, whoever has dialled.
        caller, called = (asked.called, asked.caller) if asked.outgoing else (asked.caller, asked.called)
        grant = CallGrant(agent, asked.call, "telnyx", caller=caller, called=called, again=again)
        url = base + media_path("telnyx", agent, await self.tokens.mint(grant))
        once = asked.id or "again" if again else "stream"
        await self.calls.start_stream(asked.call, url, parameters, command_id=once, settings=self.settings)


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
        outgoing=payload.get("direction") == "outgoing" or payload.get("client_state") in (PLACED, DETECTING),
        detecting=payload.get("client_state") == DETECTING,
        found=as_text(payload.get("result")),
    )
