"""Asterisk's REST interface (ARI): we have its dial plan press keys, hand callers over and place calls.

Facts from Asterisk's source (`res/ari/resource_channels.c`) and from version 22.10.1 itself: `/dtmf`, `/continue` and
`/redirect` refuse a channel that is in no Stasis application (409), and a caller who is connected to us by `Dial` is in
none. What the dial plan's own `SendDTMF` and `ChannelRedirect` do to another channel they do to any. So a channel is
originated for each request, and does it; it is told what by variables.
"""

from __future__ import annotations

from urllib.parse import quote

import httpx

from voiceagent.errors import CallLost
from voiceagent.telephony.call_control import Dialled
from voiceagent.telephony.rest import REST_DEADLINE_S, Rest
from voiceagent.telephony.wire_json import as_mapping

__all__ = ["AriCalls"]

_OVER = "Channel not found"
_HUNG_UP = "h"
"""The extension in which a channel is whose caller has hung up, until the dial plan has done with it."""
_AGENTS, _NUMBERS, _DOINGS = "voiceagent", "voiceagent-numbers", "voiceagent-do"
"""Contexts of the dial plan: an extension for each agent, one for every number, and what is done to a call."""


class AriCalls:
    """Fulfils `CallControl` and `KnowsWhere`; a call is the id of the caller's channel."""

    def __init__(self, *, url: str, user: str, password: str) -> None:
        """`url` is where ARI begins: `http://10.0.0.2:8088/ari`."""
        client = httpx.AsyncClient(
            base_url=url.rstrip("/"), auth=(user, password), timeout=REST_DEADLINE_S, trust_env=False
        )
        self._rest = Rest(client, provider="Asterisk", code_of=_code)

    async def hang_up(self, call: str) -> None:
        """End the call."""
        await self._rest.delete(f"/channels/{_id(call)}", ended=_OVER)

    async def transfer(self, call: str, number: str) -> None:
        """Have the caller's channel go on where the dial plan reaches a number; the connection to us ends."""
        await self._do("transfer", call, VOICEAGENT_NUMBER=number)

    async def place_of(self, call: str) -> str | None:
        """Return where in the dial plan a channel is; it is there from the moment at which it is redirected."""
        channel = await self._rest.get(f"/channels/{_id(call)}", ended=_OVER)
        plan = as_mapping(channel.get("dialplan")) or {}
        if not channel or plan.get("exten") == _HUNG_UP:
            return None
        return f"{plan.get('exten')}@{plan.get('context')}"

    @property
    def consults(self) -> bool:
        """The dial plan may announce whom it likes."""
        return False

    async def consult(self, call: str, dialled: Dialled) -> str:
        """There is nothing that would tell us what comes next."""
        del call, dialled
        raise CallLost("Asterisk is not asked to announce anybody")

    async def send_digits(self, call: str, digits: str) -> None:
        """Press keys towards the caller."""
        await self._do("digits", call, VOICEAGENT_DIGITS=digits)

    async def start_recording(self, call: str) -> str:
        """A caller who is in no Stasis application is recorded by the dial plan, or not."""
        raise CallLost(f"Asterisk is not asked to record {call}")

    async def pause_recording(self, call: str, recording: str) -> None:
        """See above."""
        await self._nothing_recorded(call, recording)

    async def resume_recording(self, call: str, recording: str) -> None:
        """See above."""
        await self._nothing_recorded(call, recording)

    async def stop_recording(self, call: str, recording: str) -> None:
        """See above."""
        await self._nothing_recorded(call, recording)

    async def _nothing_recorded(self, call: str, recording: str) -> None:
        raise CallLost(f"Asterisk has no recording {recording!r} of {call}")

    async def dial(self, dialled: Dialled) -> str:
        """Have the dial plan reach a number and connect whoever answers to the agent."""
        if dialled.detect_machine:
            raise CallLost("Asterisk is not asked to find out who answers")
        return await self._originate(
            f"{dialled.to}@{_NUMBERS}",
            context=_AGENTS,
            extension=dialled.agent,
            callerId=dialled.caller,
            variables={"VOICEAGENT_CALLER": dialled.caller, "VOICEAGENT_CALLED": dialled.to},
        )

    async def close(self) -> None:
        """Release connections."""
        await self._rest.close()

    async def _do(self, what: str, call: str, **variables: str) -> None:
        # What the dial plan does comes to nothing without a word where there is no such channel.
        await self._rest.get(f"/channels/{_id(call)}")
        await self._originate(
            f"{what}@{_DOINGS}",
            context=_DOINGS,
            extension="done",
            variables={"VOICEAGENT_CALL": call, **variables},
        )

    async def _originate(self, to: str, **body: object) -> str:
        answer = await self._rest.post("/channels", json={"endpoint": f"Local/{to}/n", "priority": 1} | body)
        channel = answer.get("id")
        if not isinstance(channel, str):
            raise CallLost("Asterisk has made a channel and not said which")
        return channel


def _id(call: str) -> str:
    return quote(call, safe="")


def _code(fields: object) -> str:
    return str((as_mapping(fields) or {}).get("message", ""))
