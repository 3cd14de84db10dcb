"""TwiML: the documents in which Twilio and its relatives are told how a call goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from xml.sax.saxutils import escape, quoteattr

from starlette.responses import Response

from voiceagent.audio import ringing_tone_of
from voiceagent.ports import Announcement
from voiceagent.telephony.consultations import ACCEPT_WITHIN_S, RING_S

__all__ = ["ask", "connect", "dial", "dial_and_ask", "go_on", "say", "twiml"]

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def twiml(verbs: str) -> Response:
    """Return the document of these verbs."""
    document = f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'
    return Response(document, media_type="text/xml")


def connect(media: str, parameters: Mapping[str, str], *, attributes: Mapping[str, str], then: str) -> str:
    """Return the verbs that connect a call's media to us and ask us afterwards; `attributes` are the stream's own."""
    inside = "".join(
        f"<Parameter name={_attribute(name)} value={_attribute(value)}/>" for name, value in parameters.items()
    )
    given = "".join(f" {name}={_attribute(value)}" for name, value in ({"url": media} | dict(attributes)).items())
    return f"<Connect><Stream{given}>{inside}</Stream></Connect>{go_on(then)}"


def go_on(then: str) -> str:
    """Return the verb that asks us what comes next."""
    return f"<Redirect>{escape(then)}</Redirect>"


def dial(number: str) -> str:
    """Return the verb that connects the caller to a number."""
    return f"<Dial>{escape(number)}</Dial>"


def dial_and_ask(number: str, *, then: str, announced_at: str | None) -> str:
    """Return the verb that connects the caller to a number and asks us afterwards what came of it.

    Whoever answers is first told what stands in the document at `announced_at`; the caller hears it ring meanwhile. So
    they do before: without `ringTone` they hear what the other network sends, and some send nothing.
    """
    tone = ringing_tone_of(number).country
    asked = f"action={_attribute(then)} timeout={_attribute(str(RING_S))} ringTone={_attribute(tone)}"
    if announced_at is None:
        return f"<Dial {asked}>{escape(number)}</Dial>"
    noun = f"<Number url={_attribute(announced_at)}>{escape(number)}</Number>"
    return f'<Dial {asked} answerOnBridge="true">{noun}</Dial>'


def ask(said: Announcement, question: str, *, answered_at: str) -> str:
    """Return the verbs that say something and wait for a key; where none is pressed the call ends."""
    spoken = say(replace(said, text=f"{said.text} {question}"))
    within = f'numDigits="1" timeout={_attribute(str(ACCEPT_WITHIN_S))}'
    return f"<Gather action={_attribute(answered_at)} {within}>{spoken}</Gather><Hangup/>"


def say(said: Announcement) -> str:
    """Return the verb that has the carrier's own voice say something."""
    return f"<Say language={_attribute(said.locale)}>{escape(_NOT_IN_XML.sub('', said.text))}</Say>"


def _attribute(text: str) -> str:
    """Return text as an XML attribute with its quotes; characters that XML has no way to write are left out."""
    return quoteattr(_NOT_IN_XML.sub("", text))
