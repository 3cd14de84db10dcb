"""What SIP callers hear through a real Asterisk: how far off the agent's idea of it is, how soon there is silence."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop

from benchmarks.telephony.table import Row, row_of
from tests.peers.desk import DeskCall, open_desk
from tests.peers.exchange import Exchange
from tests.peers.phone import Phone, calling
from tests.peers.playout import EAR, Clears, Stream, listen_to_clears, listen_to_stream
from voiceagent.telephony.settings import AudioSocketLine

__all__ = ["EXCHANGE_METHODS", "exchange_rows"]

_OFF_GOAL_MS = 40
_SILENT_GOAL_MS = 60
_APART_S = 0.0537
"""Between two callers, so that their frames do not come at the same instants."""
_WEBSOCKET = {
    "ws-json-ulaw": "WebSocket, JSON × ulaw",
    "ws-json-slin16": "WebSocket, JSON × slin16",
    "ws-plain-ulaw": "WebSocket, words × ulaw",
    "ws-plain-slin16": "WebSocket, words × slin16",
}
_AUDIOSOCKET = {"as8": "AudioSocket, 8 kHz", "as16": "AudioSocket, 16 kHz"}
_WAYS = _WEBSOCKET | _AUDIOSOCKET
_STREAMS = {way: _WAYS[way] for way in ("as8", "as16", "ws-json-ulaw", "ws-plain-slin16")}


_OFF, _SILENT = "playout position is off by", "clear → silence at the ear"
_SENT, _HEARD = "gap between packets sent", "gap between packets heard"
_AHEAD = "ahead of the ear"
EXCHANGE_METHODS = {
    _OFF: (
        "what the agent was told less what was true, either way, at the ends of clauses and at clears; "
        f"{len(_WAYS)} calls at once through Asterisk; {EAR}"
    ),
    _SILENT: "in the same calls, from `leg.clear()` to the end of the last packet with speech in it",
    _SENT: f"between two writes to the connection, in one long sentence; {len(_STREAMS)} calls at once",
    _HEARD: "in the same calls, between two packets at the ear",
    _AHEAD: "in the same calls, what had been written and not heard when a packet reached the ear, that one included",
}


def exchange_rows(exchange: Exchange, *, rounds: int, stream_s: int) -> Iterator[Row]:
    """Measure sentences that are taken back on every way in at the same time, then long ones."""
    for way, clears in uvloop.run(_clears(exchange, rounds)).items():
        yield from _of_clears(way, clears)
    for way, stream in uvloop.run(_streams(exchange, stream_s)).items():
        yield from _of_stream(way, stream)


# --- measuring -------------------------------------------------------------------------------------------------------


async def _clears(exchange: Exchange, rounds: int) -> dict[str, Clears]:
    async with _calls(exchange, list(_WAYS), hold_s=10 + 2 * rounds) as calls, asyncio.TaskGroup() as listening:
        tasks = {way: listening.create_task(listen_to_clears(call, phone, rounds)) for way, call, phone in calls}
    return {way: task.result() for way, task in tasks.items()}


async def _streams(exchange: Exchange, stream_s: int) -> dict[str, Stream]:
    async with _calls(exchange, list(_STREAMS), hold_s=30 + stream_s) as calls, asyncio.TaskGroup() as listening:
        tasks = {
            way: listening.create_task(listen_to_stream(call, phone, stream_s * 1_000)) for way, call, phone in calls
        }
    return {way: task.result() for way, task in tasks.items()}


@asynccontextmanager
async def _calls(
    exchange: Exchange, ways: Sequence[str], *, hold_s: int
) -> AsyncGenerator[list[tuple[str, DeskCall, Phone]]]:
    """Have a caller on each of these ways in."""
    lines = (AudioSocketLine("desk", port=exchange.audiosocket_port),)
    with tempfile.TemporaryDirectory() as folder:
        async with open_desk(exchange.agent_port, audiosockets=lines) as desk, AsyncExitStack() as callers:
            calls: list[tuple[str, DeskCall, Phone]] = []
            for way in ways:
                caller = calling(exchange, way, Path(folder), hold_ms=hold_s * 1_000)
                phone = await callers.enter_async_context(caller)
                calls.append((way, await asyncio.wait_for(desk.calls.get(), 10), phone))
                await asyncio.sleep(_APART_S)
            yield calls


# --- as rows ---------------------------------------------------------------------------------------------------------


def _of_clears(way: str, clears: Clears) -> Iterator[Row]:
    yield row_of(_OFF, _WAYS[way], [abs(off) for off in clears.off_ms], goal=_OFF_GOAL_MS)
    yield row_of(_SILENT, _WAYS[way], clears.silent_ms, goal=_SILENT_GOAL_MS)


def _of_stream(way: str, stream: Stream) -> Iterator[Row]:
    if way in _AUDIOSOCKET:
        yield row_of(_SENT, _WAYS[way], stream.written_gaps_ms)
    yield row_of(_HEARD, _WAYS[way], stream.ear_gaps_ms)
    yield row_of(_AHEAD, _WAYS[way], stream.ahead_ms)
