"""A secret of the caller's stands in nothing that is written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.desk_calls import SlowWrite, asks, desk, greeted, lines
from voiceagent import (
    Sealed,
    Tool,
    ToolFailed,
    tool,
)
from voiceagent.core import events as ev
from voiceagent.testing import ask_for, say

PIN = "73914682"
SPOKEN_PIN = "seven three nine one four six eight two"
HANDLE = '{"pin": "⟨pin#1: 8 digits⟩"}'


@tool
async def check(pin: Sealed) -> dict[str, object]:
    """Check a PIN, and be careless with it."""
    return {"right": pin == PIN, "pin": pin, "number": int(pin)}


@tool
async def refuse(pin: Sealed) -> dict[str, object]:
    """Refuse a PIN, and be careless with it."""
    raise ToolFailed(f"{pin} is wrong")


def _nothing_of_the_secret_in(directory: Any) -> None:
    written = b"".join(file.read_bytes() for file in directory.iterdir())
    assert PIN.encode() not in written
    assert b"seven three" not in written
    assert "⟨pin#1: 8 digits⟩".encode() in written


@pytest.mark.parametrize("careless", [check, refuse])
def test_a_pin_that_is_spoken_is_never_written(exchange: Any, careless: Tool) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(2_000)

    model = lines(ask_for(careless.name, HANDLE), say("Thank you."))
    (line,) = exchange.serve(scenario, desk(careless, sensitive=True), lines=model, heard=[f"it is {SPOKEN_PIN}"])
    _nothing_of_the_secret_in(exchange.directory)
    results = line.all(ev.ToolFinished)
    assert not results or results[0].result["right"]
    assert PIN not in str(line.seen) + str(line.effects)


def test_a_pin_that_is_pressed_is_never_written(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.presses(PIN)
        await line.waits(5_000)

    model = lines(ask_for("check", HANDLE), say("Thank you."))
    (line,) = exchange.serve(scenario, desk(check, sensitive=True), lines=model)
    _nothing_of_the_secret_in(exchange.directory)
    assert line.all(ev.ToolFinished)[0].result["right"]


def test_a_pin_that_a_write_returns_after_the_call_is_never_written(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.hangs_up()
        await line.until(ev.CallEnded)
        write.go_on.set()
        await line.over()

    flow = desk(write.with_pin, sensitive=True)
    model = lines(ask_for("book_with_pin", HANDLE))
    (line,) = exchange.serve(scenario, flow, lines=model, heard=[f"it is {SPOKEN_PIN}"])
    _nothing_of_the_secret_in(exchange.directory)
    assert line.all(ev.ToolFinished)[0].result == {"booked_for": "⟨pin#1: 8 digits⟩"}
