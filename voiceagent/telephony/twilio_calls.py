"""Twilio's REST interface: calls are ended, handed over, recorded and placed there.

Facts from Twilio's documentation (`voice/api/call-resource`, `voice/api/recording`): Basic authentication by account
and token, bodies are forms; 404 with code 20404 is a call that is over.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

import httpx

from voiceagent.errors import CallLost
from voiceagent.telephony.call_control import Dialled
from voiceagent.telephony.rest import REST_DEADLINE_S, Rest
from voiceagent.telephony.wire_json import as_mapping

__all__ = ["TwilioCalls"]

_API = "https://api.twilio.com"
_OVER = "20404"


class TwilioCalls:
    """Fulfils `CallControl`."""

    def __init__(self, *, account: str, auth_token: str, api: str = _API) -> None:
        client = httpx.AsyncClient(
            base_url=f"{api}/2010-04-01/Accounts/{account}",
            auth=(account, auth_token),
            timeout=REST_DEADLINE_S,
            trust_env=False,
        )
        self._rest = Rest(client, provider="Twilio", code_of=_code)

    async def hang_up(self, call: str) -> None:
        """End the call."""
        await self._rest.post(f"/Calls/{call}.json", ended=_OVER, data={"Status": "completed"})

    async def transfer(self, call: str, number: str) -> None:
        """Replace what the call does by a `<Dial>`: the media stream ends."""
        twiml = f"<Response><Dial>{escape(number)}</Dial></Response>"
        await self._rest.post(f"/Calls/{call}.json", data={"Twiml": twiml})

    @property
    def consults(self) -> bool:
        """What is announced there, the document that dials has announced."""
        return False

    async def consult(self, call: str, dialled: Dialled) -> str:
        """Twilio has no command for it."""
        del call, dialled
        raise CallLost("Twilio announces by its documents")

    async def send_digits(self, call: str, digits: str) -> None:
        """Twilio presses keys only while it dials, or in place of the stream."""
        del call, digits
        raise CallLost("Twilio presses no keys during a media stream")

    async def start_recording(self, call: str) -> None:
        """Record both sides apart."""
        await self._rest.post(f"/Calls/{call}/Recordings.json", data={"RecordingChannels": "dual"})

    async def stop_recording(self, call: str) -> None:
        """Stop the recording that is under way."""
        path = f"/Calls/{call}/Recordings/Twilio.CURRENT.json"
        await self._rest.post(path, ended=_OVER, data={"Status": "stopped"})

    async def dial(self, dialled: Dialled) -> str:
        """Place a call; with detection the webhook is asked with `AnsweredBy`."""
        form = {"To": dialled.to, "From": dialled.caller, "Url": dialled.webhook}
        if dialled.detect_machine:
            form["MachineDetection"] = "Enable"
        answer = await self._rest.post("/Calls.json", data=form)
        call = answer.get("sid")
        if not isinstance(call, str):
            raise CallLost("Twilio has placed a call and not said which")
        return call

    async def close(self) -> None:
        """Release connections."""
        await self._rest.close()


def _code(fields: object) -> str:
    return str((as_mapping(fields) or {}).get("code", ""))
