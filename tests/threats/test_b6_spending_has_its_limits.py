"""B6: what calls cost is bounded: one that has cost enough ends in words, and who has cost enough begins no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.desk_calls import GREETING, asks, desk, greeted, lines
from tests.threats.served import RawCarrier, serving, signature, until
from voiceagent import Phase, Say, TransferTo
from voiceagent.cli.spend_options import max_spend_from, prices_from
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.budget import Usage
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId, ReplyId
from voiceagent.core.state import Inherited
from voiceagent.ports import ReplyDone, SentText
from voiceagent.runtime.resume import fold
from voiceagent.runtime.spending import Prices, Spending, SpendLimits
from voiceagent.testing import ask_for
from voiceagent.testing.manual_clock import ManualClock

LAST_WORDS = "We have reached the time limit of this call. Please call again. Goodbye."
CALLER, OTHER = "+15550100", "+15550101"
PRICES = Prices(
    input=Decimal("2.5"), cached=Decimal("0.5"), output=Decimal(10), characters=Decimal(15), minute=Decimal("0.06")
)
A_DOLLAR_A_CHARACTER = Prices(characters=Decimal(1_000_000))
A_DOLLAR_A_MINUTE = Prices(minute=Decimal(1))
HOUR_MS = 3_600_000


def dollars(amount: int | str) -> Decimal:
    return Decimal(amount)


# --- what a call costs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "cost"),
    [
        (Usage(), "0"),
        (Usage(input_tokens=1_000_000), "2.5"),
        (Usage(input_tokens=1_000_000, cached_tokens=1_000_000), "0.5"),
        (Usage(output_tokens=1_000_000), "10"),
        (Usage(spoken_characters=1_000_000), "15"),
        (Usage(lasted_ms=60_000), "0.06"),
        (Usage(9_000, 8_000, 300, 2_000, 90_000), "0.1295"),
    ],
)
def test_prices_add_up(used: Usage, cost: str) -> None:
    assert PRICES.of(used) == dollars(cost)


def test_prices_and_limits_are_what_the_operator_writes() -> None:
    limits = "call=1,caller=5,agent=100,process=200.50"
    prices = "input=2.5,cached=0.5,output=10, characters=15,minute=0.06"
    assert prices_from(prices, max_spend=limits) == PRICES
    assert max_spend_from(limits) == SpendLimits(dollars(1), dollars(5), dollars(100), dollars("200.5"))
    assert (prices_from(None, max_spend=None), max_spend_from(None)) == (None, SpendLimits())


def test_cached_input_costs_as_much_as_other_input_where_it_has_no_price_of_its_own() -> None:
    assert Prices(input=dollars(2)).of(Usage(input_tokens=1_000_000, cached_tokens=400_000)) == 2


def test_what_a_call_has_used_is_what_was_reported_and_said(exchange: Any) -> None:
    answer = "It is ten."
    reply = [SentText(answer), ReplyDone(input_tokens=900, output_tokens=30, cached_tokens=500)]

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(2_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(reply), heard=["what time is it"])
    used = fold(line.journal, line.flow).conversation.usage
    lasted_ms = line.journal.entries[-1].at_ms - line.journal.entries[0].at_ms
    assert used == Usage(900, 500, 30, len(GREETING) + len(answer), lasted_ms)


_tokens = st.integers(-10, 10_000)
_happens = st.one_of(
    st.builds(ev.ReplyFinished, st.just(ReplyId("r1")), st.none(), _tokens, _tokens, st.booleans(), _tokens),
    st.just(ev.DigitsPressed("1")),
    st.just(ev.TimePassed()),
)


@given(st.lists(st.tuples(_happens, st.integers(-50, 90_000)), max_size=30))
def test_spending_never_goes_down_and_an_hour_has_what_its_calls_have(steps: list[tuple[ev.Event, int]]) -> None:
    clock = ManualClock()
    spending = Spending(PRICES, SpendLimits(process=dollars(1_000_000)), clock=clock)
    conversation = Conversation(desk(), Inherited(CallId("call-1")))
    conversation.handle(ev.CallStarted("en-US", "UTC", 0), 0)
    conversation.handle(ev.LegAttached(LegId("l1"), "script"), 0)
    meter = spending.meter(agent="desk", caller=CALLER, used=conversation.usage)
    now_ms, before = 0, meter.spent
    begun_at = before
    for event, ms in steps:
        now_ms += ms
        conversation.handle(event, now_ms)
        meter.limit_reached(conversation.usage)
        assert meter.spent >= before
        before = meter.spent
    assert spending.within_the_hour("process") == meter.spent - begun_at


# --- a call that has cost enough -------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["call", "caller", "agent", "process"])
def test_a_call_over_its_spend_ends_in_words_and_its_record_says_why(
    exchange: Any, caplog: pytest.LogCaptureFixture, whose: str
) -> None:
    enough = SpendLimits(**{whose: dollars(len(GREETING) + 5)})
    exchange.spending = Spending(A_DOLLAR_A_CHARACTER, enough, clock=exchange.clock)

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(12_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines([SentText("It is ten."), ReplyDone()]), heard=["the time?"])
    reason = f"spend limit of the {whose}"
    assert " ".join(line.spoken).endswith(LAST_WORDS)
    assert line.ended == reason
    assert line.all(ev.LimitReached) == [ev.LimitReached(reason)], "it is told once"
    assert line.all(fx.ReportProblem) == [fx.ReportProblem("limit reached", reason)]
    assert line.leg.hang_ups[0] == "drained"
    assert f"the {reason} is reached" in caplog.text
    assert CALLER not in caplog.text


def test_a_caller_who_is_being_put_through_is_put_through(exchange: Any) -> None:
    flow = desk()
    human = Phase(name="end", on_enter=Say(text="I put you through."), ends=TransferTo(target="support"))
    flow = flow.model_copy(update={"phases": (flow.phases[0], human)})
    exchange.spending = Spending(
        A_DOLLAR_A_CHARACTER, SpendLimits(call=dollars(len(GREETING) + 5)), clock=exchange.clock
    )

    async def scenario(line: Any) -> None:
        line.leg.targets = ("support",)
        await asks(line)
        await line.waits(5_000)
        await line.over()

    (line,) = exchange.serve(scenario, flow, lines=lines(ask_for("finish")), heard="a person, please")
    assert line.spoken == [GREETING, "I put you through."]
    assert line.all(fx.Transfer) == [fx.Transfer("support")]
    assert line.ended == "transferred to support"
    assert line.all(fx.ReportProblem) == [fx.ReportProblem("limit reached", "spend limit of the call")]


def test_a_call_that_only_lasts_costs_too(exchange: Any) -> None:
    exchange.spending = Spending(A_DOLLAR_A_MINUTE, SpendLimits(call=dollars("0.05")), clock=exchange.clock)

    async def scenario(line: Any) -> None:
        await line.waits(20_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(()))
    assert line.ended == "spend limit of the call"


def test_a_call_below_its_spend_is_left_alone(exchange: Any) -> None:
    exchange.spending = Spending(
        A_DOLLAR_A_CHARACTER, SpendLimits(call=dollars(len(GREETING) + 1)), clock=exchange.clock
    )
    (line,) = exchange.serve(greeted, desk(), lines=lines(()))
    assert line.ended == "caller hung up"
    assert exchange.spending.over(agent="desk", caller=CALLER) is None


def test_what_a_call_has_cost_before_it_was_broken_off_is_counted_once() -> None:
    spending = Spending(PRICES, SpendLimits(call=dollars(1), process=dollars(100)), clock=ManualClock())
    before = Usage(output_tokens=90_000)
    spending.meter(agent="desk", caller=CALLER, used=Usage()).limit_reached(before)
    again = spending.meter(agent="desk", caller=CALLER, used=before)
    assert again.limit_reached(Usage(output_tokens=99_999)) is None
    assert spending.within_the_hour("process") == dollars("0.99999")
    assert again.limit_reached(Usage(output_tokens=100_000)) == "spend limit of the call"
    assert again.limit_reached(Usage(output_tokens=200_000)) is None, "it is told once"


# --- the next call ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whose", "why"),
    [("agent", "agent desk has spent 6 US dollars within an hour"), ("process", "this process has spent 6 US dollars")],
)
def test_no_call_is_begun_for_an_agent_or_a_process_over_its_hour(
    tmp_path: Path, opened: Counter[str], caplog: pytest.LogCaptureFixture, whose: str, why: str
) -> None:
    async def scenario() -> int:
        limits = SpendLimits(**{whose: dollars(6)})
        async with serving(tmp_path, prices=A_DOLLAR_A_CHARACTER, max_spend=limits) as server:
            first = await RawCarrier.asks(server.port, signed=signature())
            first.starts("CA0", caller=CALLER)
            await until(lambda: f"the spend limit of the {whose} is reached" in caplog.text)
            return (await RawCarrier.asks(server.port, signed=signature())).status

    assert asyncio.run(scenario()) == 503
    assert opened == {"VAD": 1, "STT": 1, "LLM": 1, "TTS": 1}
    assert f"refused a media socket: {why}" in caplog.text


def test_no_call_is_begun_for_a_caller_over_their_hour_and_others_are_taken(
    tmp_path: Path, opened: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> int | None:
        limits = SpendLimits(caller=dollars(6))
        async with serving(tmp_path, prices=A_DOLLAR_A_CHARACTER, max_spend=limits) as server:
            first = await RawCarrier.asks(server.port, signed=signature())
            first.starts("CA0", caller=CALLER)
            await until(lambda: "the spend limit of the caller is reached" in caplog.text)
            second = await RawCarrier.asks(server.port, signed=signature())
            second.starts("CA1", caller="+1 (555) 0100")
            code = await second.close_code()
            other = await RawCarrier.asks(server.port, signed=signature())
            other.starts("CA2", caller=OTHER)
            await until(lambda: opened["LLM"] == 2)
            return code

    assert asyncio.run(scenario()) == 1008
    assert opened["VAD"] == opened["STT"] == opened["TTS"] == 2, "one of each caller"
    assert "its caller has spent 6 US dollars within an hour" in caplog.text
    assert "555" not in caplog.text


def test_after_an_hour_they_may_call_again() -> None:
    clock = ManualClock()
    limits = SpendLimits(caller=dollars(5), agent=dollars(7), process=dollars(9))
    spending = Spending(A_DOLLAR_A_CHARACTER, limits, clock=clock)

    def spends(characters: int, *, agent: str, caller: str) -> None:
        spending.meter(agent=agent, caller=caller, used=Usage()).limit_reached(Usage(spoken_characters=characters))

    spends(5, agent="desk", caller=CALLER)
    assert spending.over(caller=CALLER) == "its caller has spent 5 US dollars within an hour"
    assert spending.over(agent="desk", caller=OTHER) is None
    clock.advance(HOUR_MS // 2)
    spends(2, agent="desk", caller="anonymous")
    assert spending.over(agent="desk") == "agent desk has spent 7 US dollars within an hour"
    assert spending.over(agent="shop", caller=OTHER) is None
    spends(2, agent="shop", caller="anonymous")
    assert spending.over() == "this process has spent 9 US dollars within an hour"
    assert spending.over(caller="anonymous") is not None, "the process is over, whoever calls"
    clock.advance(HOUR_MS // 2)
    assert spending.over(caller=CALLER) is not None, "what was spent an hour ago is forgotten with its minute"
    clock.advance(60_000)
    assert spending.over(agent="desk", caller=CALLER) is None


def test_callers_who_do_not_show_their_number_are_not_one() -> None:
    spending = Spending(A_DOLLAR_A_CHARACTER, SpendLimits(caller=dollars(5)), clock=ManualClock())
    for caller in (None, "anonymous", "+266696687"):
        spending.meter(agent="desk", caller=caller, used=Usage()).limit_reached(Usage(spoken_characters=9))
        assert spending.over(agent="desk", caller=caller) is None
