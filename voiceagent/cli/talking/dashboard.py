"""The dashboard of a call: where it stands at this moment, in a few lines below what has happened so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId

__all__ = ["Dashboard", "Levels", "meter"]

_QUIETEST_DBFS, _LOUDEST_DBFS = -60.0, 0.0
_LOUD_DBFS, _SPEECH_DBFS = -9.0, -45.0
_METER_CELLS = 20
_LABEL_CELLS = 8
_PHASES_SHOWN = 3


class Levels(Protocol):
    """How loud both sides are."""

    @property
    def heard_dbfs(self) -> float:
        """The caller."""
        ...

    @property
    def said_dbfs(self) -> float:
        """The agent."""
        ...


@dataclass(slots=True)
class Dashboard:
    """Follows a call as an observer; Rich draws it as often as it likes, from a thread of its own."""

    agent: str
    levels: Levels
    echo: str
    """What is done about the agent's voice in the microphone."""
    answered_ms: list[int]
    """How long the caller waited for each answer; somebody else fills it."""
    now_ms: Callable[[], int]
    ending: bool = False
    """Whether the goodbye has been asked for."""
    _began_ms: int | None = None
    _phases: list[str] = field(default_factory=list[str])
    _tools: tuple[str, ...] = ()
    _running: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """What is looked up, and since when."""
    _asked: dict[str, None] = field(default_factory=dict[str, None])
    """Of these what somebody waits for."""
    _kinds: dict[str, str] = field(default_factory=dict[str, str])
    """Utterance → whether it is a filler."""
    _audible: dict[str, None] = field(default_factory=dict[str, None])
    _fillers: int = 0
    _words: str = ""
    """Of the caller, so far."""
    _caller_speaks: bool = False
    _thinking: bool = False

    # --- what happens ---

    def observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        """Take note of it."""
        del call
        self._began_ms = now_ms if self._began_ms is None else self._began_ms
        match event:
            case ev.CallerStartedSpeaking():
                self._caller_speaks, self._thinking, self._words = True, False, ""
            case ev.TranscriptPartial(_, text) | ev.TranscriptFinal(_, text):
                self._words = text
            case ev.CallerPaused():
                self._caller_speaks = False
            case ev.PlayoutStarted(utterance):
                self._audible[utterance] = None
                filler = self._kinds.get(utterance) == "filler"
                self._thinking = self._thinking and filler
                self._fillers += filler
            case ev.PlayoutReached(utterance, finished=True) | ev.PlayoutStopped(utterance):
                self._audible.pop(utterance, None)
            case ev.ToolFinished(key) | ev.ToolFailed(key) | ev.PrefetchFinished(key) | ev.PrefetchFailed(key):
                self._running.pop(key, None)
                self._asked.pop(key, None)
            case _:
                pass
        for out in outgoing:
            self._effect(now_ms, out.effect)

    def _effect(self, now_ms: int, effect: fx.Effect) -> None:
        match effect:
            case fx.SwapPhase(phase=phase, tools=tools):
                self._phases.append(phase)
                self._tools = tuple(tools)
            case fx.Speak(utterance=utterance, kind=kind):
                self._kinds[utterance] = kind
            case fx.AskModel(ahead=False):
                self._thinking = True
            case fx.StartTool(call=key, tool=tool):
                self._running[key] = (tool, now_ms)
                self._asked[key] = None
            case fx.Fetch(fetch=key, tool=tool):
                self._running[key] = (tool, now_ms)
            case _:
                pass

    # --- what is seen ---

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it, as wide as the terminal."""
        rows = Table.grid(padding=(0, 1), expand=True)
        rows.add_column(width=_LABEL_CELLS, style="dim", no_wrap=True)
        rows.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
        rows.add_row("phase", self._phase())
        rows.add_row("tools", Text(", ".join(self._tools) or "none", no_wrap=False, overflow="fold"))
        rows.add_row("now", self._now())
        rows.add_row("you", meter(self.levels.heard_dbfs))
        rows.add_row("agent", meter(self.levels.said_dbfs))
        rows.add_row("answers", self._answers())
        rows.add_row("sound", Text(self.echo, style="dim"))
        end = "saying goodbye; Ctrl-C again hangs up" if self.ending else "Ctrl-C ends the call"
        yield Panel(
            rows,
            title=Text.assemble((self.agent, "bold"), f"  {self._lasted()}"),
            title_align="left",
            subtitle=Text(end, style="dim"),
            subtitle_align="right",
            border_style="blue",
        )

    def _lasted(self) -> str:
        seconds = 0 if self._began_ms is None else (self.now_ms() - self._began_ms) // 1_000
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _phase(self) -> Text:
        if not self._phases:
            return Text("not begun", style="dim")
        before = [*self._phases[-_PHASES_SHOWN - 1 : -1]]
        return Text.assemble(
            (self._phases[-1], "bold magenta"), *((f" ← {phase}", "dim") for phase in reversed(before))
        )

    def _now(self) -> Text:
        if self._caller_speaks:
            return Text(f"you: {self._words}…" if self._words else "you are speaking", style="bold cyan")
        running = ", ".join(
            f"{tool} {(self.now_ms() - since_ms) / 1_000:.1f} s" for tool, since_ms in tuple(self._running.values())
        )
        meanwhile = (f"  (under way: {running})" if running else "", "yellow")
        if self._audible:
            filler = any(self._kinds.get(utterance) == "filler" for utterance in tuple(self._audible))
            return Text.assemble(("a filler is heard" if filler else "the agent speaks", "green"), meanwhile)
        if running and (self._asked or self._thinking):
            return Text(f"waiting for {running}", style="yellow")
        if self._thinking:
            return Text("thinking", style="yellow")
        return Text.assemble(("your turn: speak" if self._phases else "connecting", "dim"), meanwhile)

    def _answers(self) -> Text:
        if not self.answered_ms:
            return Text("none yet", style="dim")
        fillers = f", {self._fillers} filler{'s' * (self._fillers != 1)}" if self._fillers else ""
        return Text(f"after {self.answered_ms[-1]} ms, median {median(self.answered_ms):.0f} ms{fillers}")


def meter(dbfs: float) -> Text:
    """Return a level as a bar: green for speech, red for what is too loud."""
    share = (dbfs - _QUIETEST_DBFS) / (_LOUDEST_DBFS - _QUIETEST_DBFS)
    cells = round(min(1.0, max(0.0, share)) * _METER_CELLS)
    colour = "red" if dbfs > _LOUD_DBFS else "green" if dbfs > _SPEECH_DBFS else "dim"
    level = f" {dbfs:4.0f} dB" if dbfs > _QUIETEST_DBFS else "  silent"
    return Text.assemble(("━" * cells, colour), ("─" * (_METER_CELLS - cells), "dim"), (level, "dim"))
