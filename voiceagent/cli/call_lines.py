"""The conversation as it happens, in the terminal: who speaks, which phase, what is fetched, how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from voiceagent.cli.saved import saved_lines
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.runtime.reloading import Saved

__all__ = ["CallLines"]


@dataclass(slots=True)
class _Utterance:
    """Something the agent says, clause by clause, each shown when its first sound is heard."""

    kind: str
    clauses: list[str] = field(default_factory=list[str])
    begun: int = 0
    """How many clauses have begun to be heard, or will as soon as they are there."""
    shown: int = 0


class CallLines:
    """Listens to a call as an observer and prints it, a line per thing that a person would want to know."""

    def __init__(self, console: Console) -> None:
        self.answered_ms: list[int] = []
        """How long the caller waited for each answer."""
        self._console = console
        self._zero_ms: int | None = None
        self._caller_ended_ms: int | None = None
        self._waiting_since_ms: int | None = None
        self._tools: dict[str, tuple[str, int]] = {}
        self._said: dict[str, _Utterance] = {}
        self._hung_up = False

    def observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        """Print what this event and its effects mean."""
        if self._zero_ms is None:
            self._zero_ms = now_ms
        self._event(now_ms, event)
        for out in outgoing:
            self._effect(now_ms, out.effect)

    def saved(self, saved: Saved) -> None:
        """Print what somebody has saved of the agent meanwhile."""
        for label, text in saved_lines(saved):
            self._row("", label, text, "magenta")

    def _event(self, now_ms: int, event: ev.Event) -> None:
        match event:
            case ev.CallerStartedSpeaking():
                self._waiting_since_ms = None
            case ev.CallerPaused(at_ms=at_ms):
                self._caller_ended_ms = at_ms
            case ev.TranscriptFinal(text=text):
                self._line(now_ms, "caller", text or "(noise)", "bold cyan")
            case ev.DigitsPressed(digits=digits):
                self._caller_ended_ms = now_ms
                self._line(now_ms, "caller", f"presses {digits}", "bold cyan")
            case ev.PlayoutStarted(utterance, at_ms):
                self._heard(at_ms, utterance)
            case ev.PlayoutReached(utterance, clause):
                self._begin(now_ms, utterance, clause + 1)
            case ev.LegLost():
                self._hung_up = True
            case ev.PlayoutStopped(_, heard_ms, exact) if not self._hung_up:
                how = "exactly" if exact else "about"
                self._line(
                    now_ms, "", f"barge-in: the agent falls silent, {how} {heard_ms} ms of that were heard", "magenta"
                )
            case ev.ToolFinished() | ev.ToolFailed() | ev.PrefetchFinished() | ev.PrefetchFailed():
                self._tool_ended(now_ms, event)
            case ev.CallEnded(reason):
                self._hung_up = True
                self._line(now_ms, "", f"the call has ended: {reason}", "dim")
            case _:
                pass

    def _heard(self, at_ms: int, utterance: str) -> None:
        said = self._said.get(utterance)
        if said is not None and said.kind == "filler" and self._waiting_since_ms is not None:
            self._line(at_ms, "", f"a filler, {at_ms - self._waiting_since_ms} ms into the wait", "yellow")
        elif self._caller_ended_ms is not None:
            self.answered_ms.append(at_ms - self._caller_ended_ms)
            self._line(at_ms, "", f"the answer, {self.answered_ms[-1]} ms after the caller", "dim")
            self._caller_ended_ms = self._waiting_since_ms = None
        self._begin(at_ms, utterance, 0)

    def _begin(self, at_ms: int, utterance: str, clause: int) -> None:
        """Note that everything before this clause has been heard."""
        said = self._said.get(utterance)
        if said is not None:
            said.begun = clause + 1
            self._show(at_ms, said)

    def _show(self, at_ms: int, said: _Utterance) -> None:
        while said.shown < min(said.begun, len(said.clauses)):
            text = said.clauses[said.shown]
            said.shown += 1
            if text:
                self._line(at_ms, "agent", text, "yellow" if said.kind == "filler" else "bold")

    def _tool_ended(
        self, now_ms: int, event: ev.ToolFinished | ev.ToolFailed | ev.PrefetchFinished | ev.PrefetchFailed
    ) -> None:
        key = event.fetch if isinstance(event, ev.PrefetchFinished | ev.PrefetchFailed) else event.call
        name, began_ms = self._tools.get(key, ("?", now_ms))
        failed = isinstance(event, ev.ToolFailed | ev.PrefetchFailed)
        word = f"failed ({event.reason})" if failed else "is there"
        self._line(now_ms, "", f"{name} {word} after {now_ms - began_ms} ms", "red" if failed else "green")

    def _effect(self, now_ms: int, effect: fx.Effect) -> None:
        match effect:
            case fx.SwapPhase(phase=phase, tools=tools):
                self._line(
                    now_ms, "", f"phase {phase}; the model may use: {', '.join(tools) or 'nothing'}", "bold blue"
                )
            case fx.Speak(utterance=utterance, text=text, kind=kind):
                said = self._said.setdefault(utterance, _Utterance(kind))
                said.clauses.append(text)
                self._show(now_ms, said)
            case fx.AskModel(ahead=False):
                self._waits(now_ms)
            case fx.StartTool(call=call, tool=tool, arguments=arguments):
                self._waits(now_ms)
                self._tools[call] = (tool, now_ms)
                self._line(now_ms, "", f"{tool} starts{_shown(arguments)}", "green")
            case fx.Fetch(fetch=fetch, tool=tool, arguments=arguments):
                self._tools[fetch] = (f"prefetch {tool}{_shown(arguments)}", now_ms)
                self._line(now_ms, "", f"prefetch {tool} starts{_shown(arguments)}", "green")
            case fx.ServeFromCache(how=how, saved_ms=saved_ms):
                word = "answered from memory" if how == "hit" else "joined the fetch under way"
                self._line(now_ms, "", f"{word}: {saved_ms} ms saved, no request", "bold green")
            case fx.ReportProblem(what, reason):
                self._line(now_ms, "", f"{what}: {reason}", "red")
            case _:
                pass

    def _waits(self, now_ms: int) -> None:
        if self._waiting_since_ms is None:
            self._waiting_since_ms = now_ms

    def _line(self, at_ms: int, who: str, what: str, style: str) -> None:
        self._row(f"{(at_ms - (self._zero_ms or 0)) / 1_000:.2f}", who, what, style)

    def _row(self, since: str, who: str, what: str, style: str) -> None:
        line = Table.grid(padding=(0, 1))  # words that do not fit go on below their own beginning
        line.add_column(width=7, justify="right", style="dim")
        line.add_column(width=7, justify="right", style="dim")
        line.add_column(style=style, overflow="fold")
        line.add_row(since, who, Text(what))
        self._console.print(line, highlight=False)


def _shown(arguments: Mapping[str, object]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in arguments.items())})" if arguments else ""
