"""Fault 23: media twice, out of order, with holes and stamps that go back: the caller's time goes on all the same."""

from __future__ import annotations

import base64
import json
from random import Random

import pytest

from voiceagent.ports import MULAW_8K
from voiceagent.telephony.codec import Media
from voiceagent.telephony.inbound import InboundLine
from voiceagent.telephony.twilio import TwilioDialect

FRAMES = 500
START = {
    "event": "start",
    "streamSid": "MZ0",
    "start": {
        "streamSid": "MZ0",
        "callSid": "CA0",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    },
}


def media(number: int, timestamp: object) -> str:
    payload = base64.b64encode(bytes([number % 256]) * 160).decode()
    body = {"track": "inbound", "chunk": str(number + 1), "timestamp": timestamp, "payload": payload}
    return json.dumps({"event": "media", "sequenceNumber": str(number + 2), "streamSid": "MZ0", "media": body})


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_doubled_and_missing_frames_cost_no_more_than_what_is_missing(seed: int) -> None:
    lot = Random(seed)  # noqa: S311 - a lottery of a test, no secret
    numbers = [number for number in range(FRAMES) if lot.random() > 0.1 for _ in range(1 + (lot.random() < 0.05))]
    for at in range(0, len(numbers) - 4, 4):
        if lot.random() < 0.3:
            numbers[at : at + 4] = lot.sample(numbers[at : at + 4], 4)
    dialect = TwilioDialect()
    dialect.receive(json.dumps(START))
    line = InboundLine(MULAW_8K, now_ms=0)
    handed_on_ms = lost_ms = 0
    queue = iter(numbers)
    for at_ms in range(0, FRAMES * 20, 20):
        if lot.random() < len(numbers) / FRAMES and (number := next(queue, None)) is not None:
            stamp = lot.choice([str(number * 20), str(-5), "no number", None, str(lot.randint(0, 10**6))])
            (event,) = dialect.receive(media(number, stamp))
            assert isinstance(event, Media)
            handed_on_ms += 20 if line.accept(event.audio, at_ms) else 0
        else:
            lost_ms += 20
        handed_on_ms += line.silence_due_ms(at_ms)
        assert -100 <= at_ms + 20 - handed_on_ms <= lost_ms + 100, "what is lost costs itself, and nothing else"


@pytest.mark.parametrize("stamp", ["0", "-1", "x", None, 7, "99999999999999999999"])
def test_a_stamp_of_any_kind_costs_no_audio(stamp: object) -> None:
    dialect = TwilioDialect()
    dialect.receive(json.dumps(START))
    (event,) = dialect.receive(media(0, stamp))
    assert isinstance(event, Media)
    assert len(event.audio) == 160
