"""Place one scripted call to an agent, as a telephone company would, and report how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from voiceagent.audio import mulaw_to_pcm16, write_stereo_wav
from voiceagent.errors import OperatorError
from voiceagent.ports import MULAW_8K, Clock
from voiceagent.testing.call_report import CallReport
from voiceagent.testing.caller import ScriptedCaller
from voiceagent.testing.caller_script import CallerScript
from voiceagent.testing.carrier import TwilioCarrier
from voiceagent.testing.timeline import TimelineEvent
from voiceagent.testing.twilio_stream import new_call
from voiceagent.testing.webhook import ask_where_to_connect, is_webhook

__all__ = ["place_call"]


async def place_call(
    url: str,
    script: CallerScript,
    *,
    auth_token: str | None = None,
    record_to: Path | None = None,
    on_event: Callable[[TimelineEvent], None] | None = None,
    clock: Clock | None = None,
) -> CallReport:
    """Call a media URL (`ws://…`, `wss://…`) and follow the script in real time.

    Of a webhook (`http://…/answer`, `https://…/answer`) the media URL is asked first: a server that is not open to
    everybody lets a call in only with the token that stands in its answer. With `auth_token` both are signed.
    `record_to` is written (stereo, 8 kHz, caller left, agent right) however the call ends. A call that is refused,
    breaks off or leaves the script is a report with a `failure`, not an error. Raises OperatorError before the call,
    for a URL that no carrier could call, a webhook that does not take it, and a recording that cannot be written;
    OSError where the disk fails afterwards.
    """
    caller = ScriptedCaller(script)
    call, parameters = new_call(), _parameters(script)
    if is_webhook(url):
        url, more = await ask_where_to_connect(
            url, call=call, caller_number=script.caller_number, auth_token=auth_token
        )
        parameters = {**parameters, **more}
    carrier = TwilioCarrier(
        url,
        caller=caller,
        call=call,
        auth_token=auth_token,
        parameters=parameters,
        clock=clock,
        on_event=on_event,
        keep_audio=record_to is not None,
    )
    if record_to is not None:
        await asyncio.to_thread(_make_room, record_to)
    try:
        carried = await carrier.carry()
    finally:
        if record_to is not None:
            await asyncio.to_thread(_record, carrier.heard, record_to)
    return CallReport.of(carried, script=script.name, failure=caller.failure, recording=record_to)


def _parameters(script: CallerScript) -> dict[str, str]:
    number = {"caller_number": script.caller_number} if script.caller_number else {}
    return {**number, **script.parameters}


def _make_room(path: Path) -> None:
    """Open the recording once: after the call it would be too late to find out that it cannot be written."""
    try:
        path.touch(mode=0o600)  # what callers say is nobody else's business
        with path.open("ab"):
            pass
    except OSError as exc:
        raise OperatorError(f"the recording cannot be written: {path}: {exc.strerror}") from exc


def _record(heard: tuple[bytes, bytes], path: Path) -> None:
    caller, agent = heard
    write_stereo_wav(path, mulaw_to_pcm16(caller), mulaw_to_pcm16(agent), rate_hz=MULAW_8K.rate_hz)
