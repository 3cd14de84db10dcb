"""Fault 2: the first words are late, or the model hangs in mid-stream: fillers, an apology, one more attempt."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults.engines import GREETING, TO_A_PERSON, VOICE_TO_HUMAN, Silences, desk
from tests.runtime.desk_calls import asks, lines
from voiceagent.core.effects import ReportProblem, Speak
from voiceagent.ports import ReplyDone, ReplyPiece, SentText
from voiceagent.testing import say

FIRST, SECOND = "Your balance is fifty dollars.", "The last entry was on Friday."
NEVER_MS = 10_000_000


def placed(exchange: Any, *replies: Any, for_ms: int = 40_000) -> tuple[Any, Silences, list[Any]]:
    silences = Silences()
    exchange.observers.append(silences)
    requests: list[Any] = []
    fillers: list[int] = []

    def seen(call: Any, now_ms: int, event: Any, outgoing: Any) -> None:
        del call, event
        said = [out.effect for out in outgoing if isinstance(out.effect, Speak) and out.effect.kind == "filler"]
        fillers.extend(now_ms for effect in said if not effect.clause)

    exchange.observers.append(seen)
    model = lines(*replies)

    def asked(request: Any) -> Any:
        requests.append(request)
        return model(request)

    async def scenario(line: Any) -> None:
        line.leg.targets = ("support",)
        await asks(line)
        await line.waits(for_ms)

    (line,) = exchange.serve(scenario, desk(VOICE_TO_HUMAN), lines=asked, heard=["what is my balance"])
    line.fillers_ms = fillers
    return line, silences, requests


def reply(exchange: Any, *, first_after_ms: int = 0, gap_ms: int = 0) -> Any:
    """Return what makes a reply whose first words, or whose second sentence, come that late."""

    async def pieces() -> AsyncIterator[ReplyPiece]:
        await exchange.clock.sleep(first_after_ms)
        yield SentText(f"{FIRST} ")
        await exchange.clock.sleep(gap_ms)
        yield SentText(SECOND)
        yield ReplyDone()

    return pieces


def own(line: Any) -> list[str]:
    """Return what the agent said, fillers left out."""
    return [effect.text for effect in line.all(Speak) if effect.text and effect.kind != "filler"]


@pytest.mark.parametrize(("gap_ms", "fillers"), [(500, False), (3_000, True)])
def test_first_words_that_are_late_are_covered_by_a_filler(exchange: Any, gap_ms: int, fillers: bool) -> None:
    line, silences, requests = placed(exchange, reply(exchange, first_after_ms=gap_ms), for_ms=5_000)
    assert own(line) == [GREETING, FIRST, SECOND]
    assert bool(line.fillers_ms) is fillers
    assert len(requests) == 1
    assert silences.longest_ms <= 5_000


@pytest.mark.parametrize("gap_ms", [500, 3_000])
def test_a_gap_in_mid_stream_is_borne_and_nothing_is_said_twice(exchange: Any, gap_ms: int) -> None:
    line, silences, requests = placed(exchange, reply(exchange, gap_ms=gap_ms), for_ms=7_500)
    assert own(line) == [GREETING, FIRST, SECOND]
    assert len(requests) == 1
    assert silences.longest_ms <= 5_000


@pytest.mark.parametrize("where", ["first_after_ms", "gap_ms"])
def test_a_model_that_hangs_is_asked_once_more_after_an_apology(exchange: Any, where: str) -> None:
    hanging = reply(exchange, **{where: 30_000})
    line, silences, requests = placed(exchange, hanging, say(SECOND), for_ms=24_000)
    before = [FIRST] if where == "gap_ms" else []
    assert own(line)[: 3 + len(before)] == [GREETING, *before, line.flow.phrases.apology, SECOND]
    assert len(requests) == 2
    assert line.all(ReportProblem)[0].reason == "the model did not answer in time"
    told = [message.text for message in requests[1].history if message.role == "agent"]
    assert told == [GREETING, *before, line.flow.phrases.apology], "it knows what was heard, and need not repeat it"
    assert silences.longest_ms <= 5_000


def test_fillers_keep_their_distance(exchange: Any) -> None:
    line, _, _ = placed(exchange, reply(exchange, first_after_ms=14_000), for_ms=15_000)
    assert len(line.fillers_ms) >= 3
    again_ms = line.flow.filler.again_ms
    assert all(later - earlier >= again_ms for earlier, later in itertools.pairwise(line.fillers_ms))


def test_a_model_that_hangs_again_is_given_up_and_a_person_takes_over(exchange: Any) -> None:
    hanging = reply(exchange, first_after_ms=NEVER_MS)
    line, silences, requests = placed(exchange, hanging, for_ms=40_000)
    assert own(line) == [GREETING, line.flow.phrases.apology, TO_A_PERSON]
    assert len(requests) == 2
    assert silences.longest_ms <= 5_000
