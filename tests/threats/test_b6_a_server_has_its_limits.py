"""B6: a thousand calls at once, a number that calls all the time: refused before anything is spent on them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.threats.served import RawCarrier, media, serving, signature, until
from voiceagent.cli.agent_server import AgentServer


async def everybody_calls(server: AgentServer, number: int) -> list[RawCarrier]:
    """Ask for so many media sockets at once, each with the carrier's signature."""
    return await asyncio.gather(*(RawCarrier.asks(server.port, signed=signature()) for _ in range(number)))


async def taken(opened: Counter[str], number: int) -> None:
    """Return once so many calls have their engines."""
    await until(lambda: opened["LLM"] >= number)


@pytest.mark.figures
def test_of_a_thousand_calls_at_once_fifty_are_taken_and_the_others_cost_nothing(
    tmp_path: Path,
    opened: Counter[str],
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    async def scenario() -> Counter[int]:
        async with serving(tmp_path, max_calls=50) as server:
            carriers = await everybody_calls(server, 1_000)
            for number, carrier in enumerate(carriers):
                if carrier.status == 101:
                    carrier.starts(f"CA{number}")
            await taken(opened, 50)
            assert server.live_calls == 50
            for carrier in carriers:
                carrier.breaks()
            assert await server.drain(at_most_s=20)
            return Counter(carrier.status for carrier in carriers)

    statuses = asyncio.run(scenario())
    assert statuses == {101: 50, 503: 950}
    record_property("calls refused (503) of 1,000 at once, with a limit of 50", statuses[503])
    assert opened == {"VAD": 50, "STT": 50, "LLM": 50, "TTS": 50}
    assert len(list(tmp_path.iterdir())) == 50, "one record for each call, none for who was refused"
    assert "refused a media socket: 50 are open" in caplog.text


def test_an_agent_has_its_share_of_the_calls(
    tmp_path: Path, opened: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[int]:
        async with serving(tmp_path, max_calls_per_agent=2) as server:
            carriers = [await RawCarrier.asks(server.port, signed=signature()) for _ in range(3)]
            statuses = [carrier.status for carrier in carriers]
            carriers[0].breaks()
            await until(lambda: server.live_calls < 2)
            again = await RawCarrier.asks(server.port, signed=signature())
            for carrier in (*carriers, again):
                carrier.breaks()
            return [*statuses, again.status]

    assert asyncio.run(scenario()) == [101, 101, 503, 101]
    assert not opened
    assert "desk has 2 calls" in caplog.text


def test_the_twenty_first_call_of_a_minute_from_one_number_is_not_begun(
    tmp_path: Path, opened: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[int | None]:
        codes: list[int | None] = []
        async with serving(tmp_path, max_caller_calls_per_minute=20) as server:
            for number in range(21):
                carrier = await RawCarrier.asks(server.port, signed=signature())
                carrier.starts(f"CA{number}", caller="+15550100")
                if number < 20:
                    await taken(opened, number + 1)
                    carrier.breaks()
                    await until(lambda: not server.live_calls)
                else:
                    codes.append(await carrier.close_code())
            other = await RawCarrier.asks(server.port, signed=signature())
            other.starts("CA99", caller="+15550101")
            await taken(opened, 21)
            other.breaks()
            assert await server.drain(at_most_s=20)
        return codes

    assert asyncio.run(scenario()) == [1008]
    assert opened["STT"] == opened["LLM"] == opened["TTS"] == 21, "twenty of one number, and one of another"
    assert "its caller has begun 20 calls within a minute" in caplog.text
    assert "+15550100" not in caplog.text


def test_whoever_leaves_behind_messages_that_nobody_reads_gives_the_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiceagent.telephony.port._CLOSE_S", 60)
    monkeypatch.setattr("voiceagent.telephony.websocket.CLOSE_DEADLINE_MS", 60_000)

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, signed=signature())
            carrier.starts("CA0")
            carrier.sends('{"event":"stop","streamSid":"MZ-CA0"}')
            for _ in range(2_000):
                carrier.sends(media("CA0"))
            assert await carrier.close_code() == 1000
            carrier.breaks()
            await until(lambda: not server.live_calls)

    asyncio.run(scenario())


def test_a_number_has_so_many_calls_at_a_time_and_those_without_a_number_are_many(
    tmp_path: Path, opened: Counter[str]
) -> None:
    async def scenario() -> int | None:
        async with serving(tmp_path, max_calls_per_caller=2, max_calls=20) as server:
            carriers = [await RawCarrier.asks(server.port, signed=signature()) for _ in range(9)]
            for number, carrier in enumerate(carriers[:-1]):
                carrier.starts(f"CA{number}", caller="+15550100" if number < 2 else "+266696687")
            await taken(opened, 8)
            carriers[-1].starts("CA9", caller="+1 (555) 0100")
            code = await carriers[-1].close_code()
            for carrier in carriers:
                carrier.breaks()
            assert await server.drain(at_most_s=20)
            return code

    assert asyncio.run(scenario()) == 1008
    assert opened["LLM"] == 8
