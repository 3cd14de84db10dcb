"""Twilio and SignalWire on this machine: they ask for documents, do what these say, and connect the media.

What they do with a document is what theirs say (Twilio's `voice/twiml/dial`, `number`, `gather`; SignalWire's
`cxml/voice/dial`): without `ringTone` the caller hears what the other network sends, which may be nothing; while a
document is done for whoever has answered, they hear it ring if `answerOnBridge` says so; SignalWire has no word of
whether two were connected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from xml.etree import ElementTree as ET

import httpx
from websockets.asyncio.client import connect

from tests.telephony.wire_examples import twilio_start
from voiceagent.console.lines import open_lines
from voiceagent.ports import Clock
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["Callee", "TwimlLine"]

_PUBLIC = "https://voice.example.com"


@dataclass(frozen=True, slots=True)
class Callee:
    """Somebody who is called for the caller."""

    does: Literal["answers", "is busy", "does not answer"] = "answers"
    presses: str | None = None
    """Once they are asked to."""
    hangs_up_while_told: bool = False


class _HungUp(Exception):
    pass


@dataclass
class TwimlLine:
    """One caller's call."""

    carrier: Literal["twilio", "signalwire"]
    callee: Callee
    clock: Clock
    heard: list[str] = field(default_factory=list)
    """By the caller, in order."""
    told: list[str] = field(default_factory=list)
    """To the callee, before they are connected."""
    over: bool = False
    """The agent has hung up: the call is not connected to it again."""
    _http: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    _port: int = 0

    async def carry(self, handler) -> None:
        """Call, and be on the line for as long as documents say what comes next."""

        async def goes_on(agent, call):
            return not self.over

        settings = TelephonySettings(
            agents=frozenset({"bank"}),
            public_url=_PUBLIC,
            insecure=True,
            transfer_targets={"support": "+4911"},
            port=0,
        )
        lines = open_lines(
            settings, handler=handler, healthy=lambda: True, clock=self.clock, controls={}, may_go_on=goes_on
        )
        async with self._http, lines as (_, self._port):
            await self._do(await self._ask(f"{_PUBLIC}/{self.carrier}/bank/answer"))

    async def _ask(self, url: str, call: str = "CA0", **said: str) -> ET.Element:
        form = {"CallSid": call, "From": "+4930", "To": "+4940", "Direction": "inbound"} | said
        answer = await self._http.post(url.replace(_PUBLIC, f"http://127.0.0.1:{self._port}"), data=form)
        assert answer.status_code == 200, answer.text
        return ET.fromstring(answer.text)  # noqa: S314 - written by ourselves

    # --- the caller's side -------------------------------------------------------------------------------------------

    async def _do(self, document: ET.Element) -> None:
        for verb in document:
            match verb.tag:
                case "Connect":
                    await self._connect(verb[0].get("url", ""))
                case "Redirect":
                    await self._do(await self._ask(verb.text or ""))
                    return
                case "Dial":
                    said = await self._dial(verb)
                    await self._do(await self._ask(verb.get("action", ""), **said))
                    return
                case "Say":
                    self._hears("carrier's voice")
                case _:
                    assert verb.tag == "Hangup"
                    return

    async def _connect(self, url: str) -> None:
        async with connect(url.replace("wss://voice.example.com", f"ws://127.0.0.1:{self._port}")) as socket:
            await socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
            await socket.send(twilio_start())
            self._hears("agent")
            await socket.wait_closed()

    async def _dial(self, verb: ET.Element) -> dict[str, str]:
        self._hears("ringing" if verb.get("ringTone") in {"de", "us", "uk"} else "nothing")
        if self.callee.does != "answers":
            return {"DialCallStatus": "busy" if self.callee.does == "is busy" else "no-answer"} | self._bridged(False)
        (number,) = [noun for noun in verb if noun.tag == "Number"] or [ET.Element("Number")]
        if (url := number.get("url")) is not None:
            if verb.get("answerOnBridge") != "true":
                self._hears("nothing")
            try:
                await self._do_to_callee(await self._ask(url, "CA-callee", Direction="outbound-dial"))
            except _HungUp:
                return {"DialCallStatus": "completed"} | self._bridged(False)
        self._hears("somebody")
        return {"DialCallStatus": "completed"} | self._bridged(True)

    def _bridged(self, yes: bool) -> dict[str, str]:
        return {"DialBridged": str(yes).lower()} if self.carrier == "twilio" else {}

    def _hears(self, what: str) -> None:
        if self.heard[-1:] != [what]:
            self.heard.append(what)

    # --- the callee's side -------------------------------------------------------------------------------------------

    async def _do_to_callee(self, document: ET.Element) -> None:
        for verb in document:
            match verb.tag:
                case "Say":
                    self._tell(verb)
                case "Gather":
                    self._tell(verb[0])
                    if self.callee.presses is not None:
                        pressed = {"Digits": self.callee.presses[: int(verb.get("numDigits", ""))]}
                        await self._do_to_callee(await self._ask(verb.get("action", ""), "CA-callee", **pressed))
                        return
                case "Redirect":
                    await self._do_to_callee(await self._ask(verb.text or "", "CA-callee"))
                    return
                case _:
                    assert verb.tag == "Hangup"
                    raise _HungUp

    def _tell(self, verb: ET.Element) -> None:
        assert verb.tag == "Say"
        self.told.append(verb.text or "")
        if self.callee.hangs_up_while_told:
            raise _HungUp
