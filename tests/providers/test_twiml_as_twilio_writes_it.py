"""Twilio's own SDK writes the same documents as we do, for Twilio itself and for its relatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("twilio", reason="needs tests/providers/requirements.txt")

from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Connect, VoiceResponse

from tests.console.test_carriers_webhooks import PUBLIC, Desk, stream_of
from voiceagent.console.twiml import connect, dial, twiml

pytestmark = pytest.mark.providers

TEXTS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\ufffe\uffff", min_codepoint=32), max_size=20
)
STREAM = {"signalwire": {"codec": "L16@16000h", "authBearerToken": "b34rer"}}


def connected(url: str, parameters: Mapping[str, str], then: str, **attributes: str) -> VoiceResponse:
    """Return the document that connects a call, as the SDK builds it."""
    response, verb = VoiceResponse(), Connect()
    stream = verb.stream(url=url, **attributes)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    response.append(verb)
    response.redirect(then)
    return response


def same(ours: str | bytes | memoryview, theirs: Any) -> bool:
    """Whether two documents say the same."""
    text = ours if isinstance(ours, str) else bytes(ours).decode()
    return ET.canonicalize(text) == ET.canonicalize(str(theirs))


@pytest.mark.parametrize("name", ["twilio", "signalwire", "cloudonix"])
def test_a_call_is_connected(name: str) -> None:
    answer = Desk().form(name)
    url = stream_of(answer).get("url")
    assert answer.headers["content-type"].startswith("text/xml")
    assert same(answer.text, connected(str(url), {}, f"{PUBLIC}/{name}/bank/after", **STREAM.get(name, {})))


@given(parameters=st.dictionaries(TEXTS, TEXTS, max_size=4), url=TEXTS.filter(bool), then=TEXTS.filter(str.strip))
def test_whatever_is_passed_on_is_written_so_that_it_is_read_alike(
    parameters: dict[str, str], url: str, then: str
) -> None:
    ours = twiml(connect(url, parameters, attributes={}, then=then))
    assert same(ours.body, connected(url, parameters, then))


def test_the_other_documents() -> None:
    handed_over, ended, busy = VoiceResponse(), VoiceResponse(), VoiceResponse()
    handed_over.dial("+4911")
    ended.hangup()
    busy.reject(reason="busy")
    assert same(twiml(dial("+4911")).body, handed_over)
    assert same(twiml("<Hangup/>").body, ended)
    assert same(twiml('<Reject reason="busy"/>').body, busy)
