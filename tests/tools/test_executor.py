"""Tools: whether they may run, and what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal, NoReturn

import pytest
from pydantic import BaseModel, Field, JsonValue, field_serializer

from voiceagent import (
    Facts,
    Flow,
    HangUpAfter,
    Limits,
    Phase,
    Prefetch,
    Sealed,
    Tool,
    ToolContext,
    ToolFailed,
    Transition,
    tool,
)
from voiceagent.core.authority import Authority
from voiceagent.core.effects import Fetch, StartTool
from voiceagent.core.events import PrefetchFailed, PrefetchFinished, ToolFinished
from voiceagent.core.events import ToolFailed as ToolCallFailed
from voiceagent.core.ids import CallId, Epoch, FetchId, ToolCallId
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.credentials import NoCredentials, StaticCredential
from voiceagent.tools.executor import CallTools, ToolExecutor
from voiceagent.tools.in_time import UNWIND_WITHIN_MS
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.vault import Vault

_NOW = Epoch(2)


class _Known(Facts):
    customer_id: str | None = None


class _Call:
    """A call in the middle: its live authority and facts, and tools that can be run in it."""

    def __init__(self, *tools: Tool, service_url: str = "", limits: Limits | None = None, broker=None) -> None:
        reads = [Prefetch(tool=each) for each in tools if each.effect == "read" and not each.sealed]
        self.flow = Flow(
            name="test",
            initial="now",
            facts=_Known,
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
            epoch=_NOW,
            swapping=False,
            grants=("account",),
            known_facts=("customer_id",),
            tool_calls=1,
            ended=False,
        )
        self.pool = ConnectionPool()
        self.executor = ToolExecutor(
            clock=self.clock, broker=broker or NoCredentials(), pool=self.pool, service_url=service_url
        )
        self.tools = CallTools(
            self.executor,
            call=CallId("call-1"),
            flow=self.flow,
            vault=self.vault,
            authority=lambda: self.authority,
            facts=lambda: self.facts,
        )

    def becomes(self, **changes: object) -> None:
        self.authority = dataclasses.replace(self.authority, **changes)  # pyright: ignore[reportArgumentType]

    def run(
        self, of: Tool, arguments: Mapping[str, JsonValue] | None = None, *, key: str | None = None
    ) -> Awaitable[ToolFinished | ToolCallFailed]:
        return self.tools.run(StartTool(ToolCallId("t1"), of.name, arguments or {}, key), _NOW)


def _run(of: Tool, arguments: Mapping[str, JsonValue] | None = None, **call: object) -> ToolFinished | ToolCallFailed:
    async def main() -> ToolFinished | ToolCallFailed:
        return await _Call(of, **call).run(of, arguments)

    return asyncio.run(main())


def _failed(outcome: object, kind: str) -> str:
    assert isinstance(outcome, ToolCallFailed)
    assert outcome.kind == kind
    return outcome.reason


# --- what it is given and what it returns ----------------------------------------------------------------------------


class _Account(BaseModel):
    name: str
    balance: Decimal
    opened: date


@tool
async def account(opened: date, at_least: Decimal = Decimal("0.00")) -> list[_Account]:
    """An account."""
    return [_Account(name="Giro", balance=at_least + 1, opened=opened)]


def test_arguments_arrive_as_what_they_were_declared_and_the_result_is_json() -> None:
    outcome = _run(account, {"opened": "2020-02-29", "at_least": "10.50"})
    assert outcome == ToolFinished(ToolCallId("t1"), [{"name": "Giro", "balance": "11.50", "opened": "2020-02-29"}])


@tool
async def told(ctx: ToolContext) -> dict[str, object]:
    """What the context says."""
    return {
        "call": ctx.call,
        "tool": ctx.tool,
        "now": ctx.now_ms,
        "deadline": ctx.deadline_ms,
        "key": ctx.idempotency_key,
        "facts": ctx.facts,
    }


def test_the_context_says_where_and_until_when() -> None:
    outcome = _run(told)
    assert outcome == ToolFinished(
        ToolCallId("t1"),
        {
            "call": "call-1",
            "tool": "told",
            "now": 1_000,
            "deadline": 11_000,
            "key": None,
            "facts": {"customer_id": "c1"},
        },
    )


@tool
async def shout(length: int) -> str:
    """Many letters."""
    return "x" * length


def test_a_result_that_is_too_long_fails_the_tool() -> None:
    limits = Limits(max_result_bytes=300)
    assert isinstance(_run(shout, {"length": 298}, limits=limits), ToolFinished)
    assert "too long" in _failed(_run(shout, {"length": 299}, limits=limits), "too_large")


@dataclasses.dataclass
class _Page:
    number: int
    lines: Sequence[object]


class _Book(BaseModel):
    pages: list[_Page]
    scans: list[bytes] = Field(default=[], exclude=True)


class _Unwilling(dict[str, object]):
    """Something that must not be put into words."""

    def items(self) -> NoReturn:
        raise AssertionError("it was put into words")


@pytest.mark.parametrize(
    "large",
    [
        ["x"] * 1_000,
        {str(number): number for number in range(1_000)},
        _Book(pages=[_Page(1, ["line"] * 50)] * 10),
        ("x" * 200, {"a": frozenset(range(200))}),
    ],
)
def test_a_result_that_is_plainly_too_long_is_not_put_into_words(large: object) -> None:
    @tool
    async def tell() -> object:
        """Tell."""
        return [large, _Unwilling()]

    assert "too long" in _failed(_run(tell, limits=Limits(max_result_bytes=300)), "too_large")


def test_what_is_left_out_of_a_result_does_not_count() -> None:
    @tool
    async def tell() -> _Book:
        """Tell."""
        return _Book(pages=[_Page(1, [])], scans=[b"x" * 1_000])

    outcome = _run(tell, limits=Limits(max_result_bytes=300))
    assert outcome == ToolFinished(ToolCallId("t1"), {"pages": [{"number": 1, "lines": []}]})


class _Watched(BaseModel):
    threads: ClassVar[list[int]] = []
    text: str

    @field_serializer("text")
    def seen(self, text: str) -> str:
        self.threads.append(threading.get_ident())
        return text


@tool
async def watched(length: int) -> _Watched:
    """Tell."""
    return _Watched(text="x" * length)


def test_a_long_result_that_is_allowed_is_put_into_words_beside_the_event_loop() -> None:
    _Watched.threads.clear()
    for length in (100, 50_000):
        assert _run(watched, {"length": length}) == ToolFinished(ToolCallId("t1"), {"text": "x" * length})
    assert _Watched.threads[0] == threading.get_ident() != _Watched.threads[1]


@tool
async def odd(what: Literal["nan", "object", "half"]) -> object:
    """Something that JSON does not know."""
    return {"nan": float("nan"), "object": object(), "half": "a\ud800"}[what]


def test_a_result_that_is_not_json_fails_the_tool() -> None:
    assert "cannot be read" in _failed(_run(odd, {"what": "object"}), "crashed")


def test_what_json_has_no_sign_for_is_replaced() -> None:
    assert _run(odd, {"what": "nan"}) == ToolFinished(ToolCallId("t1"), None)
    assert _run(odd, {"what": "half"}) == ToolFinished(ToolCallId("t1"), "a?")


# --- whether it may run ----------------------------------------------------------------------------------------------


@tool(requires="account", binds=("customer_id",))
async def balance(customer_id: str) -> dict[str, str]:
    """The balance."""
    return {"of": customer_id}


def test_it_is_asked_again_at_the_last_moment_whether_a_tool_may_run() -> None:
    async def main() -> None:
        call = _Call(balance)
        arguments = {"customer_id": "c1"}
        assert isinstance(await call.run(balance, arguments), ToolFinished)
        for change in ({"epoch": Epoch(3)}, {"swapping": True}, {"grants": ()}, {"ended": True}, {"phase": "over"}):
            before = call.authority
            call.becomes(**change)
            _failed(await call.run(balance, arguments), "refused")
            call.authority = before

    asyncio.run(main())


def test_the_last_permitted_call_is_permitted_and_the_next_is_not() -> None:
    async def main() -> None:
        call = _Call(balance, limits=Limits(max_tool_calls=3))
        call.becomes(tool_calls=3)
        assert isinstance(await call.run(balance, {"customer_id": "c1"}), ToolFinished)
        call.becomes(tool_calls=4)
        assert "no more" in _failed(await call.run(balance, {"customer_id": "c1"}), "refused")

    asyncio.run(main())


def test_a_tool_does_not_run_for_somebody_who_is_no_longer_the_caller() -> None:
    async def main() -> None:
        call = _Call(balance)
        call.facts = {"customer_id": "c2"}
        assert "somebody else" in _failed(await call.run(balance, {"customer_id": "c1"}), "refused")

    asyncio.run(main())


# --- secrets ---------------------------------------------------------------------------------------------------------


@tool
async def verify(account: str, pin: Sealed) -> dict[str, object]:
    """Check who is calling."""
    if pin != "4519":
        raise ToolFailed(f"{pin} is wrong")
    return {"account": account, "echo": f"got {pin}"}


def test_only_a_sealed_parameter_receives_the_digits_and_they_do_not_come_back() -> None:
    async def main() -> None:
        call = _Call(verify)
        call.vault.append("pin#1", "4519")
        outcome = await call.run(verify, {"account": "12", "pin": "⟨pin#1: 4 digits⟩"})
        assert outcome == ToolFinished(ToolCallId("t1"), {"account": "12", "echo": "got ⟨pin#1: 4 digits⟩"})

    asyncio.run(main())


def test_a_reason_does_not_repeat_a_secret() -> None:
    async def main() -> None:
        call = _Call(verify)
        call.vault.append("pin#1", "9999")
        outcome = await call.run(verify, {"account": "12", "pin": "pin#1"})
        assert _failed(outcome, "failed") == "⟨pin#1: 4 digits⟩ is wrong"

    asyncio.run(main())


@pytest.mark.parametrize(
    "arguments",
    [
        {"account": "pin#1", "pin": "pin#1"},
        {"account": "the pin is 4519", "pin": "pin#1"},
        {"account": "12", "pin": "4519"},
        {"account": "12", "pin": "pin#2"},
    ],
)
def test_a_secret_in_the_wrong_place_is_refused(arguments: dict[str, JsonValue]) -> None:
    async def main() -> None:
        call = _Call(verify)
        call.vault.append("pin#1", "4519")
        assert "4519" not in _failed(await call.run(verify, arguments), "refused")

    asyncio.run(main())


# --- when it goes wrong ----------------------------------------------------------------------------------------------


@tool
async def crash(secret: str) -> None:
    """Break."""
    raise KeyError(secret)


def test_a_crash_is_told_in_neutral_words_and_logged_without_the_arguments(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        reason = _failed(_run(crash, {"secret": "hunter2"}), "crashed")
    assert "hunter2" not in reason
    assert "hunter2" not in caplog.text
    assert "tool crash crashed: KeyError at" in caplog.text
    assert __file__ in caplog.text


@tool
async def cancelled_inside() -> None:
    """Await something that somebody else gave up."""
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


def test_a_cancellation_from_inside_a_tool_is_a_crash_not_a_silence() -> None:
    _failed(_run(cancelled_inside), "crashed")


@pytest.mark.parametrize("way_out", [SystemExit(3), BaseExceptionGroup("", [SystemExit()]), BaseException()])
def test_a_tool_that_wants_to_end_the_program_has_crashed(way_out: BaseException) -> None:
    @tool
    async def leave() -> None:
        """Leave."""
        raise way_out

    _failed(_run(leave), "crashed")


def test_whoever_runs_the_server_is_told_of_a_tool_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    @tool
    async def look() -> None:
        """Look."""
        raise ToolFailed("the bank cannot be reached")

    _failed(_run(look), "failed")
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert line.getMessage() == "call call-1: tool look: failed: the bank cannot be reached"


class _Stubborn:
    """Work that catches every cancellation."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.over = False

    async def work(self) -> None:
        self.started.set()
        try:
            while not self.go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.go_on.wait()
        finally:
            self.over = True


@pytest.mark.parametrize(("effect", "kind"), [("read", "timed_out"), ("write", "unknown")])
@pytest.mark.parametrize("gives_in", [True, False])
def test_a_tool_that_does_not_let_itself_be_stopped_is_out_of_time_all_the_same(
    effect: Literal["read", "write"], kind: str, gives_in: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        stubborn = _Stubborn()

        @tool(timeout_ms=5_000, effect=effect)
        async def look() -> None:
            """Look."""
            await stubborn.work()

        call = _Call(look)
        running = asyncio.ensure_future(call.run(look))
        await stubborn.started.wait()
        call.clock.advance(5_000)
        for _ in range(5):
            await asyncio.sleep(0)
        call.clock.advance(UNWIND_WITHIN_MS)
        _failed(await running, kind)
        assert call.executor.running.left_running == 1
        assert not stubborn.over
        if gives_in:
            stubborn.go_on.set()
            await asyncio.sleep(0)
        await call.executor.close()
        assert stubborn.over
        assert call.executor.running.left_running == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert "tool look does not let itself be stopped" in caplog.text


class _Slow:
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


def _slow_tools() -> tuple[_Slow, Tool, Tool, Tool]:
    slow = _Slow()

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


@pytest.mark.parametrize(("which", "kind"), [(0, "timed_out"), (1, "unknown"), (2, "unknown")])
def test_a_read_out_of_time_has_failed_and_of_a_write_nobody_knows(which: int, kind: str) -> None:
    async def main() -> None:
        slow, *tools = _slow_tools()
        call = _Call(*tools)
        running = asyncio.ensure_future(call.run(tools[which]))
        await slow.started.wait()
        call.clock.advance(4_999)
        assert not slow.ended
        call.clock.advance(1)
        _failed(await running, kind)
        assert slow.ended == ["cancelled"]
        assert call.clock.next_ms is None

    asyncio.run(main())


def test_a_cancelled_read_stops() -> None:
    async def main() -> None:
        slow, *tools = _slow_tools()
        call = _Call(*tools)
        running = asyncio.ensure_future(call.run(tools[0]))
        await slow.started.wait()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert slow.ended == ["cancelled"]
        assert call.clock.next_ms is None

    asyncio.run(main())


@pytest.mark.parametrize("which", [1, 2])
def test_a_cancelled_write_goes_on_to_its_end_and_says_what_came_of_it(which: int) -> None:
    async def main() -> None:
        slow, *tools = _slow_tools()
        call = _Call(*tools)
        running = asyncio.ensure_future(call.run(tools[which]))
        await slow.started.wait()
        for _ in range(3):
            running.cancel()
            await asyncio.sleep(0)
        slow.go_on.set()
        assert await running == ToolFinished(ToolCallId("t1"), "done")
        assert slow.ended == ["finished"]

    asyncio.run(main())


def test_of_a_write_that_crashes_nobody_knows_what_it_has_done() -> None:
    @tool(effect="write")
    async def pay() -> None:
        """Pay."""
        raise KeyError("receipt")

    assert "not known" in _failed(_run(pay), "unknown")


# --- retries ---------------------------------------------------------------------------------------------------------


def _flaky(failures: int, error: Callable[[], Exception], retries: int) -> tuple[list[int], Tool]:
    attempts: list[int] = []

    @tool(retries=retries)
    async def flaky(ctx: ToolContext) -> str:
        """Fail a few times."""
        attempts.append(ctx.now_ms)
        if len(attempts) <= failures:
            raise error()
        return "ok"

    return attempts, flaky


def test_a_read_is_tried_again_after_a_growing_pause() -> None:
    async def main() -> None:
        attempts, flaky = _flaky(2, lambda: KeyError("x"), retries=2)
        call = _Call(flaky)
        running = asyncio.ensure_future(call.run(flaky))
        for pause_ms in (200, 400):
            await call.clock.until_waiting(2)  # its deadline and its pause
            call.clock.advance(pause_ms)
        assert await running == ToolFinished(ToolCallId("t1"), "ok")
        assert attempts == [1_000, 1_200, 1_600]

    asyncio.run(main())


def test_a_tool_that_said_no_is_not_asked_again() -> None:
    attempts, flaky = _flaky(1, lambda: ToolFailed("there is no such account"), retries=3)
    assert _failed(_run(flaky), "failed") == "there is no such account"
    assert len(attempts) == 1


def test_all_attempts_share_one_deadline() -> None:
    async def main() -> None:
        attempts, flaky = _flaky(99, lambda: KeyError("x"), retries=9)
        call = _Call(flaky)
        running = asyncio.ensure_future(call.run(flaky))
        while not running.done():
            await call.clock.until_waiting(2)
            call.clock.advance((call.clock.next_ms or 0) - call.clock.now_ms())
            if call.clock.now_ms() == 11_000:
                break
        _failed(await running, "timed_out")
        assert len(attempts) == 6

    asyncio.run(main())


# --- the service -----------------------------------------------------------------------------------------------------


@tool(scopes="accounts:read", retries=1)
async def from_service(ctx: ToolContext) -> JsonValue:
    """Ask the service."""
    return (await ctx.http.get("/accounts")).json()


@tool(effect="write", scopes="transfers:write")
async def to_service(ctx: ToolContext) -> JsonValue:
    """Tell the service."""
    return (await ctx.http.post("/transfers", headers={"Idempotency-Key": ctx.idempotency_key or ""})).json()


def test_a_tool_asks_its_service_with_the_credential_of_its_scopes(serve) -> None:
    async def answer(request):
        return 200, {"authorization": request.headers["authorization"]}

    async def main() -> None:
        async with serve(answer) as service:
            call = _Call(from_service, service_url=service.url, broker=StaticCredential({"Authorization": "Bearer t"}))
            outcome = await call.run(from_service)
            assert outcome == ToolFinished(ToolCallId("t1"), {"authorization": "Bearer t"})
            await call.pool.close()

    asyncio.run(main())


def test_a_read_whose_service_hung_up_is_tried_again_and_a_write_is_unknown(serve) -> None:
    async def answer(request):
        return None

    async def main() -> None:
        async with serve(answer) as service:
            call = _Call(from_service, to_service, service_url=service.url)
            reading = asyncio.ensure_future(call.run(from_service))
            await call.clock.until_waiting(2)
            call.clock.advance(200)
            assert "cannot be reached" in _failed(await reading, "failed")
            assert len(service.seen) == 2
            assert "not known" in _failed(await call.run(to_service, key="call-1:t1"), "unknown")
            assert len(service.seen) == 3
            assert service.seen[2].headers["idempotency-key"] == "call-1:t1"
        assert "cannot be reached" in _failed(await call.run(to_service, key="call-1:t1"), "failed")
        await call.pool.close()

    asyncio.run(main())


def test_a_request_under_way_ends_with_the_run(serve) -> None:
    async def main() -> None:
        arrived = asyncio.Event()

        async def never(request):
            arrived.set()
            await asyncio.get_running_loop().create_future()

        async with serve(never) as service:
            call = _Call(from_service, service_url=service.url)
            running = asyncio.ensure_future(call.run(from_service))
            await arrived.wait()
            call.clock.advance(10_000)
            _failed(await running, "timed_out")
            await call.pool.close()

    asyncio.run(main())


# --- fetching ahead --------------------------------------------------------------------------------------------------


def _fetch(of: str, arguments: dict[str, JsonValue], deadline_ms: int = 4_000) -> Fetch:
    return Fetch(FetchId("f1"), of, arguments, deadline_ms)


def test_what_a_transition_names_is_fetched_even_between_phases() -> None:
    async def main() -> None:
        call = _Call(balance)
        call.becomes(swapping=True, epoch=Epoch(3), phase="over")
        fetched = await call.tools.fetch(_fetch("balance", {"customer_id": "c1"}))
        assert fetched == PrefetchFinished(FetchId("f1"), {"of": "c1"})

    asyncio.run(main())


def test_without_its_grant_or_for_somebody_else_nothing_is_fetched() -> None:
    async def main() -> None:
        call = _Call(balance, to_service)
        for change in ({"grants": ()}, {"ended": True}):
            before = call.authority
            call.becomes(**change)
            assert isinstance(await call.tools.fetch(_fetch("balance", {"customer_id": "c1"})), PrefetchFailed)
            call.authority = before
        assert isinstance(await call.tools.fetch(_fetch("balance", {"customer_id": "c2"})), PrefetchFailed)
        assert isinstance(await call.tools.fetch(_fetch("to_service", {})), PrefetchFailed)

    asyncio.run(main())


def test_a_fetch_is_given_up_at_its_deadline() -> None:
    async def main() -> None:
        slow, *tools = _slow_tools()
        call = _Call(*tools)
        fetching = asyncio.ensure_future(call.tools.fetch(_fetch("look", {}, deadline_ms=1_500)))
        await slow.started.wait()
        call.clock.advance(500)
        fetched = await fetching
        assert isinstance(fetched, PrefetchFailed)
        assert fetched.reason.startswith("timed_out")

    asyncio.run(main())
