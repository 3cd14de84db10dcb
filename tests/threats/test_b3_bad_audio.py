"""B3: audio that is none, or too much of it: it is refused and counted, and the call goes on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.telephony.wire_examples import packet
from tests.threats.every_dialect import CODECS, SPEAKERS, ending_of, open_desk
from tests.threats.served import PATH, RawCarrier, media, serving, signature, start

BINARY: dict[str, list[bytes]] = {
    "browser": [b"", bytes(321), bytes(16_000)],
    "asterisk": [b"", bytes(16_000)],
    "audiosocket": [packet(0x10), packet(0x10, bytes(321)), packet(0x10, bytes(65_535)), packet(0x12, bytes(640))],
}
"""Nothing, half a sample, more at a time than anybody sends, another rate."""


def bad_audio(name: str) -> Sequence[str | bytes]:
    """Return messages whose audio is none, or five seconds at once."""
    if name in BINARY:
        return BINARY[name]
    speaker = SPEAKERS[name]
    whole = json.loads(speaker.media("CA0", b"\x11"))
    payloads = ("%%%%", "AAA", "", 7)
    bad = [json.dumps(whole | {"media": whole["media"] | {"payload": payload}}) for payload in payloads]
    return [*bad, speaker.media("CA0", b"\x11" * 8 * 5_000)]


@pytest.mark.parametrize("name", CODECS)
def test_it_is_refused_and_counted_and_the_call_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    messages = bad_audio(name)

    async def scenario() -> object:
        async with open_desk(name, tmp_path) as desk:
            carrier = await desk.called("CA0")
            for message in messages:
                carrier.sends(message)
            carrier.sends(desk.speaker.digit("CA0", "9"))
            return await ending_of(carrier)

    with caplog.at_level("INFO"):
        assert asyncio.run(scenario()) == "in good order", "it said goodbye and hung up"
    (line,) = [record.getMessage() for record in caplog.records if " over (" in record.getMessage()]
    assert f"'refused': {len(messages)}" in line


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
