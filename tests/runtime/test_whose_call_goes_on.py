"""A call that was broken off goes on with its own caller, and with nobody who merely knows what it is called."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.runtime.test_served_call import LONG_WINDED, until
from voiceagent.cli.agent_server import AgentServer, ServerSettings, agent_server
from voiceagent.core.events import CallResumed
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings
from voiceagent.testing.twilio_stream import TwilioStream, new_call

SECRET = "s3cret"
VICTIM, ANOTHER = {"caller": "+493011111"}, {"caller": "+493099999"}
START = (
    "MEDIA_START connection_id:bot channel:WebSocket/bot/0x1 channel_id:179.2 format:ulaw optimal_frame_size:160 "
    "ptime:20"
)


async def breaks_off(server: AgentServer, url: str, stream: TwilioStream, said: dict[str, str]) -> None:
    """A caller hears the agent's first word, and their connection breaks."""
    async with connect(url, compression=None) as connection:
        await connection.send(stream.connected())
        await connection.send(stream.start(said))
        await connection.recv()
        connection.transport.abort()
    await until(lambda: not server.live_calls)


def records(directory: Path) -> dict[str, Journal]:
    return {file.stem: read_journal(file) for file in sorted(directory.glob("*.jsonl"))}


def resumed(journal: Journal) -> int:
    return sum(isinstance(entry.event, CallResumed) for entry in journal.entries)


def served(directory: Path, **settings: Any) -> ServerSettings:
    telephony = TelephonySettings(agents=frozenset({"desk"}), port=0, **settings)
    return ServerSettings(telephony=telephony, journals=directory, engines="null")


def test_a_call_does_not_go_on_with_another_caller_and_is_there_for_its_own_afterwards(tmp_path: Path) -> None:
    call = new_call()

    async def serving() -> None:
        async with agent_server(served(tmp_path, insecure=True), {"desk": LONG_WINDED}) as server:
            url = f"ws://127.0.0.1:{server.port}/media/twilio/desk"
            for said in (VICTIM, ANOTHER, VICTIM):
                await breaks_off(server, url, TwilioStream(call), said)

    asyncio.run(serving())
    assert sorted(resumed(journal) for journal in records(tmp_path).values()) == [0, 1]
    assert resumed(records(tmp_path)[call]) == 1


def test_a_call_does_not_go_on_by_another_dialect(tmp_path: Path) -> None:
    call = new_call()

    async def serving() -> None:
        settings = served(tmp_path, insecure=True)
        async with agent_server(settings, {"desk": LONG_WINDED}) as server:
            base = f"ws://127.0.0.1:{server.port}/media"
            url = f"{base}/asterisk/desk?call={call}&caller={VICTIM['caller']}"
            for _ in range(2):
                async with connect(url, subprotocols=["media"], compression=None) as connection:  # type: ignore[list-item] - `Subprotocol` is a str
                    await connection.send(START)
                    await connection.recv()
                    connection.transport.abort()
                await until(lambda: not server.live_calls)
            await breaks_off(server, f"{base}/twilio/desk", TwilioStream(call), VICTIM)

    asyncio.run(serving())
    assert sorted(resumed(journal) for journal in records(tmp_path).values()) == [0, 1]
    assert resumed(records(tmp_path)[call]) == 1, "by its own it does"


def test_a_connection_that_names_its_call_itself_goes_on_with_none_and_leaves_them_as_they_are(tmp_path: Path) -> None:
    settings = served(tmp_path, keys=CarrierKeys(auto_secret=SECRET), public_url="http://127.0.0.1", insecure=False)
    call = new_call()

    async def serving() -> None:
        shown = {"Authorization": f"Bearer {SECRET}"}
        async with (
            agent_server(settings, {"desk": LONG_WINDED}) as server,
            httpx.AsyncClient(headers=shown, trust_env=False) as page,
        ):
            here = f"127.0.0.1:{server.port}"
            for named in ({"call": call}, {}, {}, {"call": call}):
                answer = await page.post(f"http://{here}/auto/desk/answer", data=named)
                path = answer.json()["url"].partition("127.0.0.1")[2]
                await breaks_off(server, f"ws://{here}{path}", TwilioStream(call), {})

    asyncio.run(serving())
    there = records(tmp_path)
    assert resumed(there.pop(call)) == 1
    assert [resumed(journal) for journal in there.values()] == [0, 0]
