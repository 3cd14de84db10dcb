"""What the terminal shows of a call: each sentence when it is heard, and lines that do not fit below themselves."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from voiceagent.cli.call_lines import CallLines
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Effect, ModelRequest, Outgoing, SpeechKind
from voiceagent.core.ids import CallId, Epoch, FetchId, LegId, ReplyId, ToolCallId, TurnId, UtteranceId

AGENT = UtteranceId("a1")


class Terminal:
    """A terminal of 80 columns on which a call is shown."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._view = CallLines(Console())
        self._capsys = capsys

    def sees(self, at_ms: int, event: ev.Event, *effects: Effect) -> None:
        outgoing = tuple(Outgoing(number, Epoch(1), TurnId(1), effect) for number, effect in enumerate(effects))
        self._view.observe(CallId("c"), at_ms, event, outgoing)

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._capsys.readouterr().out.splitlines()]

    def times(self) -> list[tuple[str, str]]:
        return re.findall(r"^ *([\d.]+) +agent (.*?)$", "\n".join(self.lines()), flags=re.MULTILINE)


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    return Terminal(capsys)


def speaks(*clauses: str, kind: SpeechKind = "reply") -> tuple[fx.Speak, ...]:
    return tuple(
        fx.Speak(AGENT, number, text, kind, last=number == len(clauses) - 1) for number, text in enumerate(clauses)
    )


def test_a_sentence_is_shown_when_it_begins_to_be_heard(terminal: Terminal) -> None:
    terminal.sees(0, ev.TimePassed(), *speaks("One.", "Two.", "Three."))
    terminal.sees(250, ev.PlayoutStarted(AGENT, 250))
    terminal.sees(1_000, ev.PlayoutReached(AGENT, 0, 750, finished=False))
    terminal.sees(2_500, ev.PlayoutReached(AGENT, 1, 2_250, finished=False))
    assert terminal.times() == [("0.25", "One."), ("1.00", "Two."), ("2.50", "Three.")]


def test_a_sentence_that_comes_late_is_shown_when_it_comes(terminal: Terminal) -> None:
    terminal.sees(0, ev.TimePassed(), fx.Speak(AGENT, 0, "One.", "reply", last=False))
    terminal.sees(0, ev.PlayoutStarted(AGENT, 0))
    terminal.sees(1_000, ev.PlayoutReached(AGENT, 0, 1_000, finished=False))
    terminal.sees(3_000, ev.TimePassed(), fx.Speak(AGENT, 1, "Two.", "reply", last=True))
    assert terminal.times() == [("0.00", "One."), ("3.00", "Two.")]


def test_a_sentence_that_was_never_heard_is_not_shown(terminal: Terminal) -> None:
    terminal.sees(0, ev.TimePassed(), *speaks("One.", "Two."))
    terminal.sees(0, ev.PlayoutStarted(AGENT, 0))
    terminal.sees(500, ev.PlayoutStopped(AGENT, 500, exact=True))
    assert terminal.times() == [("0.00", "One.")]


def test_what_does_not_fit_goes_on_below_its_own_beginning(terminal: Terminal) -> None:
    terminal.sees(0, ev.TimePassed(), *speaks("word " * 30))
    terminal.sees(0, ev.PlayoutStarted(AGENT, 0))
    first, *others = terminal.lines()
    column = first.index("word")
    assert others
    assert all(line.index("word") == column and len(line) <= 80 for line in others)


def test_a_prefetch_is_told_from_the_next_by_its_arguments(terminal: Terminal) -> None:
    fetches = [
        fx.Fetch(FetchId(f"f{number}"), "recent_transactions", {"of": account}, 9_000)
        for number, account in enumerate(("checking", "savings"))
    ]
    terminal.sees(0, ev.TimePassed(), *fetches)
    terminal.sees(700, ev.PrefetchFinished(FetchId("f1"), {}))
    assert [line.split(maxsplit=1)[1] for line in terminal.lines()] == [
        "prefetch recent_transactions starts (of checking)",
        "prefetch recent_transactions starts (of savings)",
        "prefetch recent_transactions (of savings) is there after 700 ms",
    ]


@pytest.mark.parametrize("work", [fx.StartTool(ToolCallId("t1"), "transfer", {}, None), None])
def test_a_filler_is_no_answer_whatever_it_covers(terminal: Terminal, work: Effect | None) -> None:
    request = ModelRequest("help", Epoch(1), "", "", (), (), {}, 0)
    terminal.sees(0, ev.CallerPaused(UtteranceId("c1"), 0))
    terminal.sees(100, ev.TimePassed(), work or fx.AskModel(ReplyId("r1"), request))
    terminal.sees(900, ev.TimePassed(), *speaks("One moment.", kind="filler"))
    terminal.sees(900, ev.PlayoutStarted(AGENT, 900))
    said = [line.split(maxsplit=1)[1] for line in terminal.lines()]
    assert said[-2:] == ["a filler, 800 ms into the wait", "agent One moment."]


def test_a_call_that_breaks_off_is_no_barge_in(terminal: Terminal) -> None:
    terminal.sees(0, ev.TimePassed(), *speaks("One."))
    terminal.sees(0, ev.PlayoutStarted(AGENT, 0))
    terminal.sees(500, ev.LegLost(LegId("l1"), "gone"))
    terminal.sees(510, ev.PlayoutStopped(AGENT, 500, exact=False))
    assert not any("barge-in" in line for line in terminal.lines())
