"""The conversation as it happens, in the terminal: who speaks, which phase, what is fetched, how long it takes."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId

__all__ = ["LiveView"]


class LiveView:
    """Listens to a call as an observer and prints it, a line per thing that a person would want to know."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._zero_ms: int | None = None
        self._caller_ended_ms: int | None = None
        self._waiting_since_ms: int | None = None
        self._tools: dict[str, tuple[str, int]] = {}
        self._kinds: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._console.rule("[bold]a call to Harbour Bank")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._console.rule()

    def observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        """Print what this event and its effects mean."""
        if self._zero_ms is None:
            self._zero_ms = now_ms
        self._event(now_ms, event)
        for out in outgoing:
            self._effect(now_ms, out.effect)

    def _event(self, now_ms: int, event: ev.Event) -> None:
        match event:
            case ev.CallerPaused(at_ms=at_ms):
                self._caller_ended_ms = at_ms
            case ev.TranscriptFinal(text=text):
                self._line(now_ms, "caller", text or "(noise)", "bold cyan")
            case ev.DigitsPressed(digits=digits):
                self._caller_ended_ms = now_ms
                self._line(now_ms, "caller", f"presses {digits}", "bold cyan")
            case ev.PlayoutStarted(utterance, at_ms):
                self._heard(at_ms, utterance)
            case ev.PlayoutStopped(_, heard_ms, exact):
                how = "exactly" if exact else "about"
                self._line(now_ms, "", f"barge-in: the agent falls silent, {how} {heard_ms} ms were heard", "magenta")
            case ev.ToolFinished() | ev.ToolFailed() | ev.PrefetchFinished() | ev.PrefetchFailed():
                self._tool_ended(now_ms, event)
            case ev.CallEnded(reason):
                self._line(now_ms, "", f"the call has ended: {reason}", "dim")
            case _:
                pass

    def _heard(self, at_ms: int, utterance: str) -> None:
        if self._kinds.get(utterance) == "filler" and self._waiting_since_ms is not None:
            self._line(at_ms, "", f"filler heard {at_ms - self._waiting_since_ms} ms into the wait", "yellow")
        elif self._caller_ended_ms is not None:
            self._line(at_ms, "", f"answer heard {at_ms - self._caller_ended_ms} ms after the caller", "dim")
            self._caller_ended_ms = self._waiting_since_ms = None

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
            case fx.Speak(utterance=utterance, text=text, kind=kind) if text:
                self._kinds[utterance] = kind
                self._line(now_ms, "agent", text, "yellow" if kind == "filler" else "bold")
            case fx.AskModel():
                self._waiting_since_ms = self._waiting_since_ms or now_ms
            case fx.StartTool(call=call, tool=tool):
                self._tools[call] = (tool, now_ms)
                self._line(now_ms, "", f"{tool} is asked", "green")
            case fx.Fetch(fetch=fetch, tool=tool):
                self._tools[fetch] = (f"prefetch {tool}", now_ms)
                self._line(now_ms, "", f"prefetch {tool} starts", "green")
            case fx.ServeFromCache(how=how, saved_ms=saved_ms):
                word = "answered from memory" if how == "hit" else "joined the fetch under way"
                self._line(now_ms, "", f"{word}: {saved_ms} ms saved, no request", "bold green")
            case fx.ReportProblem(what, reason):
                self._line(now_ms, "", f"{what}: {reason}", "red")
            case _:
                pass

    def _line(self, at_ms: int, who: str, what: str, style: str) -> None:
        since_ms = at_ms - (self._zero_ms or 0)
        self._console.print(Text(f"{since_ms / 1_000:7.2f} {who:>7}  ", style="dim") + Text(what, style=style))
