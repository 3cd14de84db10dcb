"""A small bank, requests of it as a call makes them, and ways to ask a model at a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import strategies as st

from tests.models.dialects import Dialect
from tests.models.provider_server import Answer, ProviderServer, provider_server
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import VoiceFailed
from voiceagent.models.asking import Patience
from voiceagent.ports import ReplyModel, ReplyPiece
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase, Requested, Transition
from voiceagent.spec.tool import tool


@tool
async def get_balance(account: str) -> dict[str, str]:
    """Look up the balance of an account."""
    return {"account": account, "balance": "12.00"}


@tool
async def list_accounts() -> list[str]:
    """List the caller's accounts."""
    return []


FLOW = Flow(
    name="bank",
    initial="inquiry",
    phases=(
        Phase(
            name="inquiry",
            tools=(get_balance, list_accounts),
            transitions=(
                Transition(on=Requested(name="say_goodbye", description="The caller is done."), to="goodbye"),
            ),
        ),
        Phase(name="goodbye"),
    ),
)
ALL_OFFERED = ("get_balance", "list_accounts", "say_goodbye")
CALLER_ASKS = Message(1, "caller", "What is my balance?", Epoch(1))
NOON = 1_796_126_400_000
"""1 December 2026, 12:00 UTC."""


def asked(
    *history: Message, tools: tuple[str, ...] = ALL_OFFERED, late_facts: str = "", unix_ms: int = NOON
) -> ModelRequest:
    return ModelRequest(
        phase="inquiry",
        epoch=Epoch(1),
        prompt="You work for a bank.",
        late_facts=late_facts,
        tools=tools,
        history=history or (CALLER_ASKS,),
        facts={},
        unix_ms=unix_ms,
    )


# --- asking ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def model_at(
    dialect: Dialect, server: str, *, api_key: str | None = None, time_zone: str = "UTC", **patience: int
) -> AsyncGenerator[ReplyModel]:
    """Return a handle of the model at a server; the patience is the usual one, but for what is given."""
    # In a thread, as a server does it: loading the SDK blocks.
    models = await asyncio.to_thread(
        dialect.engine, "m", base_url=server + dialect.path, api_key=api_key, patience=Patience(**patience)
    )
    try:
        yield models.open(FLOW, locale="en-US", time_zone=time_zone)
    finally:
        await models.close()


def reply_of(
    dialect: Dialect, *answers: Answer, request: ModelRequest | None = None, **settings: Any
) -> tuple[list[ReplyPiece], ProviderServer]:
    async def ask() -> tuple[list[ReplyPiece], ProviderServer]:
        async with provider_server(*answers) as server, model_at(dialect, server.url, **settings) as model:
            return [piece async for piece in model.reply(request or asked())], server

    return asyncio.run(ask())


def failure_of(
    dialect: Dialect, *answers: Answer, **settings: Any
) -> tuple[VoiceFailed, ProviderServer, list[ReplyPiece]]:
    """Return how a reply failed, the server, and the pieces that came before."""

    async def ask() -> tuple[VoiceFailed, ProviderServer, list[ReplyPiece]]:
        pieces: list[ReplyPiece] = []
        async with provider_server(*answers) as server, model_at(dialect, server.url, **settings) as model:
            try:
                async for piece in model.reply(asked()):
                    pieces.append(piece)  # noqa: PERF401 - they count although the loop fails
            except VoiceFailed as failure:
                return failure, server, pieces
        raise AssertionError("it answered")

    return asyncio.run(ask())


# --- histories -------------------------------------------------------------------------------------------------------


def histories() -> st.SearchStrategy[tuple[Message, ...]]:
    """Return windows of calls, in any order and with anything missing."""
    entry = st.tuples(
        st.sampled_from(["caller", "agent", "tool_request", "tool_result", "note"]),
        st.sampled_from(["", " ", "Hello.", "{}", '{"account": "7"}', "{not json", "[1]", "NaN"]),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([*ALL_OFFERED, "left_behind"]),
        st.booleans(),
    )
    return st.lists(entry, max_size=12).map(lambda entries: tuple(_numbered(entries)))


def _numbered(entries: Sequence[tuple[Any, str, str | None, str, bool]]) -> Iterator[Message]:
    for number, (role, text, request, name, failed) in enumerate(entries, start=40):
        if role in ("tool_request", "tool_result"):
            yield Message(number, role, text, Epoch(1), request, name, failed)
        else:
            yield Message(number, role, text, Epoch(1))
