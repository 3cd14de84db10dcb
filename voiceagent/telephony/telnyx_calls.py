"""Telnyx' call control: every step of a call is a command, and the media stream is one of them.

Facts from the types and paths of Telnyx' SDK: Bearer authentication, bodies are JSON; a command with a `command_id`
that was seen before is passed over; 422 with code 90018 is a call that is over. What `playback_start` is given waits in
a queue behind what plays already; `early_media` passes the sound of a call that rings on to the caller, if its network
makes one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from typing import cast
from urllib.parse import quote

import httpx

from voiceagent.audio import RingingTone, ringing_tone_of, wav_bytes
from voiceagent.errors import CallLost
from voiceagent.ports import Announcement
from voiceagent.telephony.call_control import Dialled
from voiceagent.telephony.consultations import ACCEPT_WITHIN_S, RING_S
from voiceagent.telephony.rest import REST_DEADLINE_S, Rest
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.wire_json import as_mapping

__all__ = ["LEAVING", "PLACED", "TelnyxCalls", "consulted_for"]

_API = "https://api.telnyx.com"
_OVER = "90018"
PLACED = base64.b64encode(b"placed").decode()
"""What every webhook of a call that we have placed brings back (`client_state`): few of them say who has dialled."""
LEAVING = base64.b64encode(b"leaving").decode()
"""The same of a caller who is told goodbye by Telnyx' own voice."""
_CONSULTED_FOR = "consulted for "
_RINGS_FOR_MS = 90_000
"""Longer than anybody is called and told something; a server that is lost meanwhile leaves no tone that never ends."""
_RINGING_HZ = 8_000


def consulted_for(client_state: str | None) -> str | None:
    """Return the caller's call on whose behalf a call was placed, as its webhooks bring it back; None for others."""
    try:
        state = base64.b64decode(client_state or "", validate=True).decode()
    except ValueError:
        return None
    return state.removeprefix(_CONSULTED_FOR) if state.startswith(_CONSULTED_FOR) else None


def _state_for(caller: str) -> str:
    return base64.b64encode(f"{_CONSULTED_FOR}{caller}".encode()).decode()


class TelnyxCalls:
    """Fulfils `CallControl` and `Rings`, and answers calls."""

    def __init__(self, *, api_key: str, connection: str = "", api: str = _API) -> None:
        """`connection` is the Call Control application that places calls; answering and transfers need none."""
        client = httpx.AsyncClient(
            base_url=f"{api}/v2",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=REST_DEADLINE_S,
            trust_env=False,
        )
        self._rest = Rest(client, provider="Telnyx", code_of=_code)
        self._connection = connection

    # --- answering ---------------------------------------------------------------------------------------------------

    async def answer(self, call: str) -> None:
        """Take a call that rings."""
        await self._command(call, "answer", command_id="answer")

    async def reject(self, call: str) -> None:
        """Let a call that rings hear that it is busy."""
        await self._command(call, "reject", ended=_OVER, cause="USER_BUSY")

    async def start_stream(
        self, call: str, url: str, parameters: Mapping[str, str], *, command_id: str, settings: TelephonySettings
    ) -> None:
        """Have the call's media connect to us, in both directions; once for each `command_id`."""
        await self._command(
            call,
            "streaming_start",
            command_id=command_id,
            stream_url=url,
            stream_track="inbound_track",
            stream_codec=settings.telnyx_codec,  # else it is the call's, which may be one that is not spoken here
            stream_bidirectional_mode="rtp",  # left to itself it is mp3, and what we send is dropped without a word
            stream_bidirectional_codec=settings.telnyx_codec,
            stream_bidirectional_sampling_rate=settings.telnyx_rate_hz,
            stream_bidirectional_target_legs="self",
            custom_parameters=[{"name": name, "value": value} for name, value in parameters.items()],
        )

    # --- a call ------------------------------------------------------------------------------------------------------

    async def hang_up(self, call: str) -> None:
        """End the call."""
        await self._command(call, "hangup", ended=_OVER)

    async def transfer(self, call: str, number: str) -> None:
        """Connect the caller to a number; what comes of it is told by webhooks that name the caller's call."""
        await self._command(
            call,
            "transfer",
            to=number,
            target_leg_client_state=_state_for(call),
            timeout_secs=RING_S,
            early_media=False,  # some networks make a sound and some do not: ours would be mixed with it
        )

    async def ring(self, call: str, number: str) -> None:
        """Play the tone in Telnyx itself: it goes on without us, whatever becomes of the connection."""
        tone = ringing_tone_of(number)
        await self._command(
            call,
            "playback_start",
            playback_content=_content_of(tone),
            audio_type="wav",
            loop=-(-_RINGS_FOR_MS // tone.lasts_ms),
            target_legs="self",
        )

    async def stop_ringing(self, call: str) -> None:
        """Stop whatever plays; tried twice, or people would hear it beneath each other for a minute and a half."""
        try:
            await self._command(call, "playback_stop", stop="all")
        except CallLost:
            await self._command(call, "playback_stop", stop="all")

    @property
    def consults(self) -> bool:
        """Where there is an application to place calls with."""
        return bool(self._connection)

    async def consult(self, call: str, dialled: Dialled) -> str:
        """Call somebody in the session of a caller who waits; every webhook about it names the caller's call."""
        return await self._dial(dialled, client_state=_state_for(call), link_to=call, timeout_secs=RING_S)

    async def speak(self, call: str, said: Announcement, *, client_state: str | None = None) -> None:
        """Say something in Telnyx' own voice, once to each; `call.speak.ended` follows."""
        state = {} if client_state is None else {"client_state": client_state}
        words = {"payload": said.text, "language": said.locale, "voice": "female"}
        await self._command(call, "speak", command_id="speak", **words, **state)

    async def ask(self, call: str, said: Announcement, question: str) -> None:
        """Say something, and wait for one key, once of each; `call.gather.ended` follows."""
        await self._command(
            call,
            "gather_using_speak",
            command_id="ask",
            payload=f"{said.text} {question}",
            language=said.locale,
            voice="female",
            minimum_digits=1,
            maximum_digits=1,
            maximum_tries=1,
            timeout_millis=ACCEPT_WITHIN_S * 1_000,
        )

    async def bridge(self, call: str, peer: str) -> None:
        """Connect two calls to each other."""
        await self._command(call, "bridge", call_control_id=peer)

    async def send_digits(self, call: str, digits: str) -> None:
        """Press keys towards the caller."""
        await self._command(call, "send_dtmf", digits=digits)

    async def start_recording(self, call: str) -> str:
        """Record both sides apart; a call has one recording at a time, which needs no name."""
        await self._command(call, "record_start", channels="dual", format="wav")
        return ""

    async def pause_recording(self, call: str, recording: str) -> None:
        """Record nothing."""
        del recording
        await self._command(call, "record_pause", ended=_OVER)

    async def resume_recording(self, call: str, recording: str) -> None:
        """Go on with it."""
        del recording
        await self._command(call, "record_resume", ended=_OVER)

    async def stop_recording(self, call: str, recording: str) -> None:
        """Stop that."""
        del recording
        await self._command(call, "record_stop", ended=_OVER)

    async def dial(self, dialled: Dialled) -> str:
        """Place a call; its stream begins when it is answered, and what detection finds follows by the same webhook."""
        detection = {"answering_machine_detection": "premium"} if dialled.detect_machine else {}
        return await self._dial(dialled, client_state=PLACED, **detection)

    async def _dial(self, dialled: Dialled, **body: object) -> str:
        numbers = {"to": dialled.to, "from": dialled.caller, "webhook_url": dialled.webhook}
        answer = await self._rest.post("/calls", json={"connection_id": self._connection, **numbers, **body})
        call = (as_mapping(answer.get("data")) or {}).get("call_control_id")
        if not isinstance(call, str):
            raise CallLost("Telnyx has placed a call and not said which")
        return call

    async def close(self) -> None:
        """Release connections."""
        await self._rest.close()

    async def _command(self, call: str, action: str, *, ended: str = "", **body: object) -> None:
        await self._rest.post(f"/calls/{quote(call, safe=':')}/actions/{action}", ended=ended, json=body)


@cache
def _content_of(tone: RingingTone) -> str:
    return base64.b64encode(wav_bytes(tone.once(_RINGING_HZ), rate_hz=_RINGING_HZ)).decode()


def _code(fields: object) -> str:
    errors = (as_mapping(fields) or {}).get("errors")
    first = cast("list[object]", errors)[0] if isinstance(errors, list) and errors else None
    return str((as_mapping(first) or {}).get("code", ""))
