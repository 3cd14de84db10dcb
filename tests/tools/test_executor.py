"""Tools: whether they may run, in a phase and ahead of it, and what they are not told."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import JsonValue

from tests.tools.tool_runs import Call, failed, slow_tools, to_service
from voiceagent import (
    Limits,
    Sealed,
    ToolFailed,
    tool,
)
from voiceagent.core.effects import Fetch
from voiceagent.core.events import PrefetchFailed, PrefetchFinished, ToolFinished
from voiceagent.core.ids import Epoch, FetchId, ToolCallId

# --- whether it may run -----------------------------------------------------------------------------------------------


@tool(requires="account", binds=("customer_id",))
async def balance(customer_id: str) -> dict[str, str]:
    """The balance."""
    return {"of": customer_id}


def test_it_is_asked_again_at_the_last_moment_whether_a_tool_may_run() -> None:
    async def main() -> None:
        call = Call(balance)
        arguments = {"customer_id": "c1"}
        assert isinstance(await call.run(balance, arguments), ToolFinished)
        for change in ({"epoch": Epoch(3)}, {"swapping": True}, {"grants": ()}, {"ended": True}, {"phase": "over"}):
            before = call.authority
            call.becomes(**change)
            failed(await call.run(balance, arguments), "refused")
            call.authority = before

    asyncio.run(main())


@tool(requires="account", binds=("customer_id",))
async def limit(customer_id: str) -> dict[str, str]:
    """The limit."""
    return {"of": customer_id}


def test_what_a_phase_offers_is_asked_of_the_agent_as_it_is_now() -> None:
    async def main() -> None:
        call, changed = Call(balance), Call(limit)
        failed(await call.run(limit, {"customer_id": "c1"}), "refused")
        call.flow = changed.flow
        assert isinstance(await call.run(limit, {"customer_id": "c1"}), ToolFinished)
        failed(await call.run(balance, {"customer_id": "c1"}), "refused")
        fetched = await call.tools.fetch(Fetch(FetchId("f1"), "limit", {"customer_id": "c1"}, 9_000))
        assert isinstance(fetched, PrefetchFinished)

    asyncio.run(main())


def test_the_last_permitted_call_is_permitted_and_the_next_is_not() -> None:
    async def main() -> None:
        call = Call(balance, limits=Limits(max_tool_calls=3))
        call.becomes(tool_calls=3)
        assert isinstance(await call.run(balance, {"customer_id": "c1"}), ToolFinished)
        call.becomes(tool_calls=4)
        assert "no more" in failed(await call.run(balance, {"customer_id": "c1"}), "refused")

    asyncio.run(main())


def test_a_tool_does_not_run_for_somebody_who_is_no_longer_the_caller() -> None:
    async def main() -> None:
        call = Call(balance)
        call.facts = {"customer_id": "c2"}
        assert "somebody else" in failed(await call.run(balance, {"customer_id": "c1"}), "refused")

    asyncio.run(main())


# --- secrets ----------------------------------------------------------------------------------------------------------


@tool
async def verify(account: str, pin: Sealed) -> dict[str, object]:
    """Check who is calling."""
    if pin != "4519":
        raise ToolFailed(f"{pin} is wrong")
    return {"account": account, "echo": f"got {pin}"}


def test_only_a_sealed_parameter_receives_the_digits_and_they_do_not_come_back() -> None:
    async def main() -> None:
        call = Call(verify)
        call.vault.append("pin#1", "4519")
        outcome = await call.run(verify, {"account": "12", "pin": "⟨pin#1: 4 digits⟩"})
        assert outcome == ToolFinished(ToolCallId("t1"), {"account": "12", "echo": "got ⟨pin#1: 4 digits⟩"})

    asyncio.run(main())


def test_a_reason_does_not_repeat_a_secret() -> None:
    async def main() -> None:
        call = Call(verify)
        call.vault.append("pin#1", "9999")
        outcome = await call.run(verify, {"account": "12", "pin": "pin#1"})
        assert failed(outcome, "failed") == "⟨pin#1: 4 digits⟩ is wrong"

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
        call = Call(verify)
        call.vault.append("pin#1", "4519")
        assert "4519" not in failed(await call.run(verify, arguments), "refused")

    asyncio.run(main())


# --- fetching ahead ---------------------------------------------------------------------------------------------------


def _fetch(of: str, arguments: dict[str, JsonValue], deadline_ms: int = 4_000) -> Fetch:
    return Fetch(FetchId("f1"), of, arguments, deadline_ms)


def test_what_a_transition_names_is_fetched_even_between_phases() -> None:
    async def main() -> None:
        call = Call(balance)
        call.becomes(swapping=True, epoch=Epoch(3), phase="over")
        fetched = await call.tools.fetch(_fetch("balance", {"customer_id": "c1"}))
        assert fetched == PrefetchFinished(FetchId("f1"), {"of": "c1"})

    asyncio.run(main())


def test_without_its_grant_or_for_somebody_else_nothing_is_fetched() -> None:
    async def main() -> None:
        call = Call(balance, to_service)
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
        slow, *tools = slow_tools()
        call = Call(*tools)
        fetching = asyncio.ensure_future(call.tools.fetch(_fetch("look", {}, deadline_ms=1_500)))
        await slow.started.wait()
        call.clock.advance(500)
        fetched = await fetching
        assert isinstance(fetched, PrefetchFailed)
        assert fetched.reason.startswith("timed_out")

    asyncio.run(main())
