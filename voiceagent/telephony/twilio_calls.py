"""Twilio's REST interface, and SignalWire's, which is the same at another address: calls are ended, recorded, placed.

Facts from Twilio's documentation (`voice/api/call-resource`, `voice/api/recording`) and SignalWire's (its compatibility
API: the overview, and "Update a Recording"): Basic authentication by account and token, bodies are forms; 404 with code
20404 is a call that is over; a recording that is paused with `PauseBehavior=silence` keeps its length. At Twilio
`Twilio.CURRENT` is the recording that is under way.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

import httpx

from voiceagent.errors import CallLost
from voiceagent.telephony.call_control import Dialled
from voiceagent.telephony.rest import REST_DEADLINE_S, Rest
from voiceagent.telephony.wire_json import as_mapping

__all__ = ["TwilioCalls", "signalwire_calls"]

_API = "https://api.twilio.com"
_OVER = "20404"


class TwilioCalls:
    """Fulfils `CallControl`."""

    def __init__(self, *, account: str, auth_token: str, api: str = _API, provider: str = "Twilio") -> None:
        client = httpx.AsyncClient(
            base_url=f"{api}/2010-04-01/Accounts/{account}",
            auth=(account, auth_token),
            timeout=REST_DEADLINE_S,
            trust_env=False,
        )
        self._rest = Rest(client, provider=provider, code_of=_code)
        self._provider = provider

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
        """There is no command for it."""
        del call, dialled
        raise CallLost(f"{self._provider} announces by its documents")

    async def send_digits(self, call: str, digits: str) -> None:
        """Keys are pressed only while it dials, or in place of the stream."""
        del call, digits
        raise CallLost(f"{self._provider} presses no keys during a media stream by REST")

    async def start_recording(self, call: str) -> str:
        """Record both sides apart."""
        answer = await self._rest.post(f"/Calls/{call}/Recordings.json", data={"RecordingChannels": "dual"})
        return str(answer.get("sid", ""))

    async def pause_recording(self, call: str, recording: str) -> None:
        """Record silence."""
        await self._record(call, recording, Status="paused", PauseBehavior="silence")

    async def resume_recording(self, call: str, recording: str) -> None:
        """Record sound again."""
        await self._record(call, recording, Status="in-progress")

    async def stop_recording(self, call: str, recording: str) -> None:
        """Stop the recording."""
        await self._record(call, recording, Status="stopped")

    async def _record(self, call: str, recording: str, **form: str) -> None:
        path = f"/Calls/{call}/Recordings/{recording or 'Twilio.CURRENT'}.json"
        await self._rest.post(path, ended=_OVER, data=form)

    async def dial(self, dialled: Dialled) -> str:
        """Place a call; detection goes on beside it, and tells of a machine when that takes down a message."""
        form = {"To": dialled.to, "From": dialled.caller, "Url": dialled.webhook}
        if dialled.detect_machine:
            form |= {
                "MachineDetection": "DetectMessageEnd",
                "AsyncAmd": "true",
                "AsyncAmdStatusCallback": dialled.detected_at,
                "AsyncAmdStatusCallbackMethod": "POST",
            }
        answer = await self._rest.post("/Calls.json", data=form)
        call = answer.get("sid")
        if not isinstance(call, str):
            raise CallLost(f"{self._provider} has placed a call and not said which")
        return call

    async def close(self) -> None:
        """Release connections."""
        await self._rest.close()


def signalwire_calls(*, space: str, project: str, token: str, api: str | None = None) -> TwilioCalls:
    """Return the same for SignalWire's Compatibility API; `space` is `example` of `example.signalwire.com`."""
    api = api or f"https://{space.removesuffix('.signalwire.com')}.signalwire.com"
    return TwilioCalls(account=project, auth_token=token, api=f"{api}/api/laml", provider="SignalWire")


def _code(fields: object) -> str:
    return str((as_mapping(fields) or {}).get("code", ""))
