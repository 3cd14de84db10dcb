"""Whose messages these are: found out without losing one."""

from __future__ import annotations

import json

import pytest

from tests.telephony.wire_examples import EXAMPLES, twilio_start
from voiceagent.telephony.codec import Ignored, Media, Refused, Started

FOUND = {"twilio": "twilio", "signalwire": "signalwire", "telnyx": "telnyx", "browser": "browser", "fonoster": "twilio"}


@pytest.mark.parametrize(("name", "found"), FOUND.items())
def test_a_call_is_the_same_as_if_its_dialect_had_been_known(name, found):
    messages = [*EXAMPLES[name].opening, *EXAMPLES[name].during]
    known, detecting = EXAMPLES[found].codec(), EXAMPLES["auto"].codec()
    expected = [event for message in messages for event in known.receive(message)]
    events = [event for message in messages for event in detecting.receive(message)]
    assert [event for event in events if event != Ignored("before the dialect was known")] == expected
    assert any(isinstance(event, Started) for event in events)
    assert any(isinstance(event, Media) for event in events)
    assert detecting.features.dialect == found


@pytest.mark.parametrize(
    "start", [{"event": "start"}, {"event": "start", "start": {}}, {"event": "start", "start": {"callId": "c"}}]
)
def test_a_start_that_nobody_sends_ends_the_connection(start):
    assert EXAMPLES["auto"].codec().receive(json.dumps(start)) == (Refused("no dialect that is known", fatal=True),)


def test_whoever_goes_on_without_a_start_is_not_listened_to_for_long():
    dialect = EXAMPLES["auto"].codec()
    for _ in range(4):
        dialect.receive('{"event":"connected"}')
    assert dialect.receive('{"event":"connected"}') == (Refused("no dialect that is known", fatal=True),)


def test_a_start_that_its_dialect_refuses_is_refused():
    assert EXAMPLES["auto"].codec().receive(twilio_start("audio/x-mulaw", 16000)) == [
        Refused("audio format not agreed", fatal=True)
    ]
