"""The same scripted call to the bank on every protocol: real SDKs, real HTTP, a scripted mind at the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.models.bank_mind import Mind, bank_mind, handles_in
from tests.models.dialects import CHAT, DIALECTS, MESSAGES, Asks, Dialect, Question
from tests.models.provider_server import Answer, Body, provider_elsewhere, refuses, streams
from tests.models.the_usual_call import Trace, balance_calls, trace_of
from voiceagent.models.choose import ProviderAccess, model_from
from voiceagent.testing import CallPlayer, LiveModels
from voiceagent.testing.manual_clock import ManualClock


@contextmanager
def at_work(dialect: Dialect, mind: Mind) -> Iterator[LiveModels]:
    def answer(body: Body) -> Answer:
        return streams(dialect.says(mind(dialect.asked(body))))

    with (
        provider_elsewhere(answer) as server,
        LiveModels(dialect.engine("m", base_url=server.url + dialect.path)) as live,
    ):
        yield live


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_the_scripted_call_goes_as_it_is_written(dialect: Dialect) -> None:
    file = balance_calls()
    with at_work(dialect, bank_mind) as live:
        failure = CallPlayer(file.flow, live=live).play(file.scripts[0]).failure
    assert failure is None


def test_every_provider_takes_the_call_the_same_way_as_the_guided_model() -> None:
    traces: dict[str, Trace] = {"guided": trace_of(None)}
    for dialect in DIALECTS:
        with at_work(dialect, bank_mind) as live:
            traces[dialect.name] = trace_of(live)
    assert traces["guided"].phases == ["greeting", "authentication", "account_inquiry", "goodbye"]
    assert traces == dict.fromkeys(traces, traces["guided"])


# --- providers that go down in mid-call ------------------------------------------------------------------------------


def goes_down_after(replies: int, dialect: Dialect) -> Callable[[Body], Answer]:
    """Work at the bank for so many replies; then there is no server any more, only its load balancer."""
    left = iter(range(replies))

    def answer(body: Body) -> Answer:
        if next(left, None) is None:
            return refuses(503)
        return streams(dialect.says(bank_mind(dialect.asked(body))))

    return answer


@pytest.mark.parametrize(("first", "second"), [(0, 9), (1, 9), (2, 9), (3, 9), (4, 9), (1, 1), (2, 1), (0, 0)])
def test_whoever_stands_in_goes_on_where_the_others_stopped(first: int, second: int) -> None:
    with (
        provider_elsewhere(goes_down_after(first, CHAT)) as openai,
        provider_elsewhere(goes_down_after(second, MESSAGES)) as anthropic,
    ):
        access = ProviderAccess(openai_base_url=openai.url + CHAT.path, anthropic_base_url=anthropic.url)
        with LiveModels(model_from("openai:a,anthropic:b", clock=ManualClock(), access=access)) as live:
            trace = trace_of(live)
    assert trace == trace_of(None)
    assert len(openai.bodies) > first
    assert anthropic.bodies


# --- arguments that do not validate ----------------------------------------------------------------------------------

NOT_JSON = '{"account_number": '
NO_OBJECT = "[1]"
NOT_ALL = '{"pin": "⟨pin#2: 4 digits⟩"}'


class Clumsy:
    """Works at the bank, but asks for the caller's check with arguments that do not fit, so many times."""

    def __init__(self, arguments: str, times: int) -> None:
        self.told: list[str] = []
        """What it was told about its requests."""
        self._arguments = arguments
        self._times = times

    def __call__(self, asked: Question) -> str | Asks:
        if "verify_caller" not in asked.tools:
            return bank_mind(asked)
        errors = [result for result in asked.results if "the arguments do not fit" in result]
        self.told = errors
        if "⟨pin#" in asked.newest or (errors and len(errors) < self._times):
            return Asks(f"b{len(errors)}", "verify_caller", (self._arguments,))
        return Asks("c", "verify_caller", tuple(handles_in(asked.words))) if errors else bank_mind(asked)


@pytest.mark.parametrize("arguments", [NOT_JSON, NO_OBJECT, NOT_ALL], ids=["no JSON", "no object", "one is missing"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_arguments_that_do_not_fit_are_told_to_the_model_twice_and_then_a_person_takes_over(
    dialect: Dialect, arguments: str
) -> None:
    mind = Clumsy(arguments, times=3)
    with at_work(dialect, mind) as live:
        trace = trace_of(live)
    assert trace.phases == ["greeting", "authentication", "human"]
    assert len(mind.told) == 2
    assert trace.tools == []


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_model_that_mends_its_arguments_goes_on_with_the_call(dialect: Dialect) -> None:
    mind = Clumsy(NOT_JSON, times=2)
    with at_work(dialect, mind) as live:
        trace = trace_of(live)
    assert len(mind.told) == 2
    assert trace == trace_of(None)
