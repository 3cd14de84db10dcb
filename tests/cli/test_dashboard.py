"""What `talk` shows below the call: where it stands, in lines that are never too long."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from voiceagent.cli.talking.dashboard import Dashboard, meter
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Effect, ModelRequest, Outgoing
from voiceagent.core.ids import CallId, Epoch, FetchId, ReplyId, TurnId, UtteranceId

CALLER, AGENT, ANSWER = UtteranceId("c1"), UtteranceId("a1"), UtteranceId("a2")
REQUEST = ModelRequest("greeting", Epoch(1), "", "", (), (), {}, 0)


@dataclass
class Silence:
    heard_dbfs: float = -96.0
    said_dbfs: float = -96.0


class Shown:
    """A dashboard, and the time."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.answered_ms: list[int] = []
        self.levels = Silence()
        self.board = Dashboard("bank", self.levels, "no echo", self.answered_ms, lambda: self.now_ms)

    def sees(self, at_ms: int, event: ev.Event, *effects: Effect) -> None:
        self.now_ms = at_ms
        outgoing = tuple(Outgoing(number, Epoch(1), TurnId(1), effect) for number, effect in enumerate(effects))
        self.board.observe(CallId("c"), at_ms, event, outgoing)

    def enters(self, phase: str, *tools: str) -> None:
        request = ModelRequest(phase, Epoch(1), "", "", tools, (), {}, 0)
        self.sees(self.now_ms, ev.TimePassed(), fx.SwapPhase(request, None))

    def lines(self, width: int = 80) -> list[str]:
        console = Console(width=width, file=io.StringIO(), record=True)
        console.print(self.board)
        return console.export_text().splitlines()

    def row(self, label: str) -> str:
        (line,) = [line for line in self.lines() if line.startswith(f"│ {label} ")]
        return line.strip("│ ").removeprefix(label).strip()


def test_before_anything_has_happened_it_says_so() -> None:
    shown = Shown()
    assert [shown.row(label) for label in ("phase", "tools", "now", "you", "agent", "answers")] == [
        "not begun",
        "none",
        "connecting",
        "────────────────────  silent",
        "────────────────────  silent",
        "none yet",
    ]


def test_who_has_the_floor_is_shown_and_what_is_being_said() -> None:
    shown = Shown()
    shown.enters("greeting", "finish")
    assert shown.row("now") == "your turn: speak"
    shown.sees(100, ev.CallerStartedSpeaking(CALLER, 100))
    assert shown.row("now") == "you are speaking"
    shown.sees(400, ev.TranscriptPartial(CALLER, "what is my"))
    assert shown.row("now") == "you: what is my…"
    shown.sees(900, ev.CallerPaused(CALLER, 900))
    shown.sees(950, ev.TimePassed(), fx.Fetch(FetchId("f"), "get_accounts", {}, 5_000))
    shown.now_ms = 1_150
    assert shown.row("now") == "your turn: speak  (under way: get_accounts 0.2 s)"
    shown.sees(1_200, ev.TimePassed(), fx.AskModel(ReplyId("r"), REQUEST))
    shown.now_ms = 2_150
    assert shown.row("now") == "waiting for get_accounts 1.2 s"
    shown.sees(2_200, ev.TimePassed(), fx.Speak(AGENT, 0, "One moment.", "filler", last=True))
    shown.sees(2_300, ev.PlayoutStarted(AGENT, 2_300))
    assert shown.row("now") == "a filler is heard  (under way: get_accounts 1.4 s)"
    shown.sees(3_000, ev.PlayoutReached(AGENT, 0, 700, finished=True))
    assert shown.row("now") == "waiting for get_accounts 2.0 s"
    shown.sees(3_000, ev.PrefetchFinished(FetchId("f"), {}))
    assert shown.row("now") == "thinking"
    shown.sees(3_400, ev.PlayoutStarted(ANSWER, 3_400))
    assert shown.row("now") == "the agent speaks"
    shown.sees(4_000, ev.PlayoutReached(ANSWER, 0, 600, finished=True))
    assert shown.row("now") == "your turn: speak"
    shown.answered_ms += [700, 1_300]
    assert shown.row("answers") == "after 1300 ms, median 1000 ms, 1 filler"


def test_the_way_through_the_phases_is_shown() -> None:
    shown = Shown()
    for phase in ("greeting", "authentication", "account_inquiry"):
        shown.enters(phase)
    assert shown.row("phase") == "account_inquiry ← authentication ← greeting"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_too_long_and_every_tool_is_named(width: int) -> None:
    shown = Shown()
    tools = [f"a_tool_with_a_long_name_{number}" for number in range(7)]
    shown.enters("a_phase_with_a_long_name" * 3, *tools)
    shown.sees(0, ev.CallerStartedSpeaking(CALLER, 0))
    shown.sees(0, ev.TranscriptPartial(CALLER, "word " * 60))
    lines = shown.lines(width)
    assert max(map(len, lines)) == width
    written = "".join(line.strip("│ ") for line in lines).replace(" ", "")
    assert all(tool in written for tool in tools)


@pytest.mark.parametrize(
    ("dbfs", "cells", "colour", "says"),
    [
        (-96, 0, "", "  silent"),
        (-50, 3, "dim", "  -50 dB"),
        (-20, 13, "green", "  -20 dB"),
        (-3, 19, "red", "   -3 dB"),
    ],
)
def test_a_meter_is_as_long_as_the_voice_is_loud(dbfs: float, cells: int, colour: str, says: str) -> None:
    bar = meter(dbfs)
    assert bar.plain == "━" * cells + "─" * (20 - cells) + says
    assert cells == 0 or str(bar.spans[0].style) == colour
