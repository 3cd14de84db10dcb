"""The end of a call: in bounded time, in good order, and no write left behind."""

from __future__ import annotations

from typing import Any

from tests.runtime.desk_calls import Never, SlowWrite, asks, desk, lines
from voiceagent.core import events as ev
from voiceagent.core.effects import HangUp
from voiceagent.testing import ask_for, say


def test_a_write_that_outlives_the_call_is_waited_for_and_recorded(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.hangs_up()
        await line.until(ev.CallEnded)
        assert not line.running.done()
        write.go_on.set()
        await line.over()

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book it"])
    assert line.outcome[-2:] == ["CallEnded", "ToolFinished"]


def test_a_write_under_way_is_waited_for_when_the_server_stops(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.running.cancel()
        await line.until(ev.CallEnded)
        assert not line.running.done()
        write.go_on.set()
        await line.over()

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book it"])
    assert line.running.cancelled()
    assert line.ended == "cancelled"
    assert line.outcome[-2:] == ["CallEnded", "ToolFinished"]


def test_a_write_that_cannot_be_stopped_does_not_keep_the_call_from_being_over(exchange: Any) -> None:
    write = SlowWrite(stubborn=True)

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        line.hangs_up()
        await line.until(ev.CallEnded)
        await line.waits(70_000)
        await line.over()
        write.go_on.set()
        await line.settle()

    (line,) = exchange.serve(scenario, desk(write.tool), lines=lines(ask_for("book")), heard=["book it"])
    assert line.outcome[-2:] == ["CallEnded", "ToolFailed"]
    assert line.all(ev.ToolFailed)[0].kind == "unknown"


def test_a_leg_that_does_not_hang_up_does_not_keep_the_call_from_being_over(exchange: Any) -> None:
    stuck = Never()

    async def scenario(line: Any) -> None:
        line.leg.hang_up = stuck
        await asks(line)
        line.leg.hang_ups.append("never")
        await line.waits(25_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(ask_for("finish")), heard="that is all")
    assert stuck.asked == 2
    assert line.ended == "phase end"


def test_a_server_that_stops_ends_its_calls_in_good_order(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        line.running.cancel()
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")))
    assert line.running.cancelled()
    assert line.ended == "cancelled"
    assert line.leg.hang_ups == ["at once"]


def test_more_events_than_can_be_handled_end_the_call(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(1_000)
        for _ in range(3_000):
            line.leg.tell(ev.DigitsPressed("1"))
        await line.waits(12_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")))
    assert line.ended == "too many events"
    assert line.leg.hang_ups[0] == "drained"
    assert not line.all(HangUp)
