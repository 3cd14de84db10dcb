"""A tool run in the middle of a call, whose authority and facts a test can change."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Mapping

from pydantic import JsonValue

from voiceagent import (
    Facts,
    Flow,
    HangUpAfter,
    Limits,
    Phase,
    Prefetch,
    Tool,
    ToolContext,
    Transition,
    tool,
)
from voiceagent.core.authority import Authority
from voiceagent.core.confirmations import digest_of
from voiceagent.core.effects import StartTool
from voiceagent.core.events import ToolFailed as ToolCallFailed
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import CallId, Epoch, ToolCallId
from voiceagent.spec.egress import METHODS, SERVICE, Egress
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import CallTools, ToolExecutor
from voiceagent.tools.running import _FIRST_LOOK_MS
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.tool_http import ToolHttp
from voiceagent.tools.vault import Vault

NOW = Epoch(2)


class Known(Facts):
    customer_id: str | None = None


class Call:
    """A call in the middle: its live authority and facts, and tools that can be run in it."""

    def __init__(self, *tools: Tool, service_url: str = "", limits: Limits | None = None, broker=None) -> None:
        reads = [Prefetch(tool=each) for each in tools if each.effect == "read" and not each.sealed]
        self.flow = Flow(
            name="test",
            initial="now",
            facts=Known,
            limits=limits or Limits(),
            phases=(
                Phase(
                    name="now",
                    tools=tools,
                    transitions=(Transition(on=tools[0], to="over", prefetch=tuple(reads)),),
                ),
                Phase(name="over", ends=HangUpAfter()),
            ),
        )
        self.clock = ManualClock(1_000)
        self.vault = Vault()
        self.facts: dict[str, JsonValue] = {"customer_id": "c1"}
        self.authority = Authority(
            phase="now",
            epoch=NOW,
            swapping=False,
            grants=("account",),
            known_facts=("customer_id",),
            tool_calls=1,
            ended=False,
        )
        self.pool = ConnectionPool(internal=[service_url])
        self.executor = ToolExecutor(
            clock=self.clock, broker=broker or NoCredentials(), pool=self.pool, service_url=service_url
        )
        self.tools = CallTools(
            self.executor,
            call=CallId("call-1"),
            flow=lambda: self.flow,
            vault=self.vault,
            authority=lambda: self.authority,
            facts=lambda: self.facts,
        )

    def becomes(self, **changes: object) -> None:
        self.authority = dataclasses.replace(self.authority, **changes)  # pyright: ignore[reportArgumentType] - the changes are its fields

    def run(
        self, of: Tool, arguments: Mapping[str, JsonValue] | None = None, *, key: str | None = None
    ) -> Awaitable[ToolFinished | ToolCallFailed]:
        """Run it as a conversation would; what cannot be undone has its yes and its key."""
        confirmed = digest_of(of.name, arguments or {}) if of.effect == "irreversible" else None
        key = key or ("call-1:1" if confirmed else None)
        return self.tools.run(StartTool(ToolCallId("t1"), of.name, arguments or {}, key, confirmed), NOW)


def run(of: Tool, arguments: Mapping[str, JsonValue] | None = None, **call: object) -> ToolFinished | ToolCallFailed:
    async def main() -> ToolFinished | ToolCallFailed:
        return await Call(of, **call).run(of, arguments)

    return asyncio.run(main())


def failed(outcome: object, kind: str) -> str:
    assert isinstance(outcome, ToolCallFailed)
    assert outcome.kind == kind
    return outcome.reason


async def first_look(call: Call, asking: asyncio.Future[ToolFinished | ToolCallFailed]) -> None:
    """Let the pause pass before a service is asked what has become of a write, if there is one."""
    while call.clock.next_ms != call.clock.now_ms() + _FIRST_LOOK_MS and not asking.done():  # noqa: ASYNC110 - a pause
        await asyncio.sleep(0)
    call.clock.advance(_FIRST_LOOK_MS)


def http_to(url: str, pool: ConnectionPool, credential: Mapping[str, str] | None = None, *reach: str) -> ToolHttp:
    """What a tool is given that declares this reach; undeclared, its service in every way."""
    places = tuple(map(Egress.written, reach)) or (Egress(METHODS, SERVICE),)
    return ToolHttp(pool, url, credential or {}, reach=places, who="call c1: tool t")


class Slow:
    """Lets a test look into a tool that is running."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended: list[str] = []

    async def work(self) -> str:
        self.started.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("finished")
        return "done"


def slow_tools() -> tuple[Slow, Tool, Tool, Tool]:
    slow = Slow()

    @tool(timeout_ms=5_000)
    async def look() -> str:
        """Read slowly."""
        return await slow.work()

    @tool(timeout_ms=5_000, effect="write")
    async def change() -> str:
        """Write slowly."""
        return await slow.work()

    @tool(timeout_ms=5_000, effect="irreversible", confirm="Really?")
    async def burn() -> str:
        """Do slowly what cannot be undone."""
        return await slow.work()

    return slow, look, change, burn


@tool(effect="write", scopes="transfers:write")
async def to_service(ctx: ToolContext) -> JsonValue:
    """Tell the service."""
    return (await ctx.http.post("/transfers", headers={"Idempotency-Key": ctx.idempotency_key or ""})).json()
