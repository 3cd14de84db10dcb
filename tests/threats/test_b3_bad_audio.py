"""B3: audio that is none, or too much of it: it is refused and counted, and the call goes on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.threats.served import PATH, RawCarrier, digit, media, serving, signature, start


def with_payload(payload: object) -> str:
    return json.dumps({"event": "media", "streamSid": "MZ-CA0", "media": {"track": "inbound", "payload": payload}})


BAD = {
    "no base64": with_payload("%%%%"),
    "half of a base64": with_payload("AAA"),
    "empty": with_payload(""),
    "no text": with_payload(7),
    "five seconds in one message": media("CA0", b"\x11" * 8 * 5_000),
}


@pytest.mark.parametrize("message", BAD.values(), ids=BAD)
def test_it_is_refused_and_counted_and_the_call_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, message: str
) -> None:
    async def scenario() -> int | None:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, signed=signature())
            carrier.starts("CA0")
            for _ in range(3):
                carrier.sends(message)
            carrier.sends(digit("CA0", "9"))
            return await carrier.close_code()

    with caplog.at_level("INFO"):
        assert asyncio.run(scenario()) == 1000, "it said goodbye and hung up"
    (line,) = [record.getMessage() for record in caplog.records if " over (" in record.getMessage()]
    assert "'refused': 3" in line


def test_half_a_minute_in_one_message_is_too_long_a_message(tmp_path: Path) -> None:
    async def scenario() -> int | None:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, signed=signature())
            carrier.starts("CA0")
            carrier.sends(media("CA0", b"\x11" * 8 * 30_000))
            return await carrier.close_code()

    assert asyncio.run(scenario()) == 1009


@pytest.mark.parametrize(
    "audio",
    [
        {"encoding": "audio/x-mulaw", "sampleRate": 16_000, "channels": 1},
        {"encoding": "audio/l16", "sampleRate": 8_000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 2},
    ],
    ids=["16 kHz", "PCM", "stereo"],
)
def test_a_start_with_other_audio_than_the_route_speaks_is_refused(
    tmp_path: Path, opened: Counter[str], audio: dict[str, object]
) -> None:
    async def scenario() -> int | None:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, path=PATH, signed=signature())
            carrier.sends(start("CA0", mediaFormat=audio))
            return await carrier.close_code()

    assert asyncio.run(scenario()) == 1008
    assert not opened
    assert list(tmp_path.iterdir()) == []
