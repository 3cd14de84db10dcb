"""What a tool is given, and what it returns."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal, NoReturn

import pytest
from pydantic import BaseModel, Field, field_serializer

from tests.tools.tool_runs import failed, run
from voiceagent import (
    Limits,
    ToolContext,
    tool,
)
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import ToolCallId


class _Account(BaseModel):
    name: str
    balance: Decimal
    opened: date


@tool
async def account(opened: date, at_least: Decimal = Decimal("0.00")) -> list[_Account]:
    """An account."""
    return [_Account(name="Giro", balance=at_least + 1, opened=opened)]


def test_arguments_arrive_as_what_they_were_declared_and_the_result_is_json() -> None:
    outcome = run(account, {"opened": "2020-02-29", "at_least": "10.50"})
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
    outcome = run(told)
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
    assert isinstance(run(shout, {"length": 298}, limits=limits), ToolFinished)
    assert "too long" in failed(run(shout, {"length": 299}, limits=limits), "too_large")


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

    assert "too long" in failed(run(tell, limits=Limits(max_result_bytes=300)), "too_large")


def test_what_is_left_out_of_a_result_does_not_count() -> None:
    @tool
    async def tell() -> _Book:
        """Tell."""
        return _Book(pages=[_Page(1, [])], scans=[b"x" * 1_000])

    outcome = run(tell, limits=Limits(max_result_bytes=300))
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
        assert run(watched, {"length": length}) == ToolFinished(ToolCallId("t1"), {"text": "x" * length})
    assert _Watched.threads[0] == threading.get_ident() != _Watched.threads[1]


@tool
async def odd(what: Literal["nan", "object", "half"]) -> object:
    """Something that JSON does not know."""
    return {"nan": float("nan"), "object": object(), "half": "a\ud800"}[what]


def test_a_result_that_is_not_json_fails_the_tool() -> None:
    assert "cannot be read" in failed(run(odd, {"what": "object"}), "crashed")


def test_what_json_has_no_sign_for_is_replaced() -> None:
    assert run(odd, {"what": "nan"}) == ToolFinished(ToolCallId("t1"), None)
    assert run(odd, {"what": "half"}) == ToolFinished(ToolCallId("t1"), "a?")
