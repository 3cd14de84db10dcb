"""One recorded call as the pages show it, read on for as long as it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from pydantic import JsonValue

from voiceagent.console.call_report import shown_call
from voiceagent.console.masking import HIDDEN, Mask
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.errors import JournalError, PhaseError, VoiceAgentError
from voiceagent.language import language_for
from voiceagent.runtime.inspection import Inspection
from voiceagent.runtime.journal_file import Entry, JournalHeader, JournalReading, decode_effect
from voiceagent.runtime.replay import require_same_flow
from voiceagent.runtime.timeline import Drawing, Point, Span, Timeline, drawing_of
from voiceagent.spec.flow import Flow
from voiceagent.spec.graph import flow_graph
from voiceagent.spec.graph_svg import as_svg

__all__ = ["DAMAGE", "CallFile", "Resting"]

DAMAGE = (ValueError, ArithmeticError, LookupError, RecursionError)
"""What a record in which something is damaged makes of reading it: it is that record's, and no other's."""

_AT_ONCE_BYTES = 1_000_000
_AT_ONCE_LINES = 3_000
"""A third of a second: then others have their turn."""
_WORKS_S = 0.004


class Resting:
    """Lets calls go on while something long is read: Python runs one thread at a time."""

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    def __call__(self) -> None:
        """Rest for as long as was worked since the last time, once that is long enough."""
        worked_s = time.perf_counter() - self._since_s
        if worked_s >= _WORKS_S:
            time.sleep(worked_s)
            self._since_s = time.perf_counter()


@dataclass(frozen=True, slots=True)
class _Began:
    """What is known of a call once its first event is there."""

    drawing: Drawing
    inspection: Inspection


class CallFile:
    """Reads a journal and keeps what is shown of it. It belongs to one thread at a time."""

    def __init__(self, path: Path, flows: Callable[[str], Flow | None]) -> None:
        """`flows` returns the flow of a name; None where no such one is served."""
        self.path = path
        self.over = False
        """The call has come to its end."""
        self.behind = False
        """There was more to be read than was read the last time."""
        self.wrong: str | None = None
        """Why nothing more is read of it."""
        self._flows = flows
        self._reading = JournalReading(path)
        self._began: _Began | None = None
        self._mask = Mask()
        self._flow: Flow | None = None
        self._conversation: Conversation | None = None
        self._no_facts = ""
        self._caller: str | None = None

    @property
    def header(self) -> JournalHeader | None:
        """None until it is there."""
        return self._reading.header

    @property
    def read_bytes(self) -> int:
        """How far it was read."""
        return self._reading.read_bytes

    def read_on(self) -> None:
        """Read what was written since, or as much of it as takes a moment: then it is `behind`. Raises OSError."""
        rest, lines = Resting(), 0
        with self.path.open("rb") as journal:
            if journal.seek(0, 2) < self._reading.read_bytes:
                self.wrong = "The journal has become shorter: somebody else has written it anew."
            while self.wrong is None and lines < _AT_ONCE_LINES and (written := self._piece(journal)):
                lines += self._take(written, _AT_ONCE_LINES - lines, rest)
            self.behind = lines >= _AT_ONCE_LINES

    def _piece(self, journal: BufferedReader) -> bytes:
        """Return whole lines that have not been read; nothing where the last one is not complete."""
        journal.seek(self._reading.read_bytes)
        piece = journal.read(_AT_ONCE_BYTES)
        while piece and b"\n" not in piece and (more := journal.read(_AT_ONCE_BYTES)):
            piece += more
        return piece[: piece.rfind(b"\n") + 1]

    def _take(self, written: bytes, at_most: int, rest: Callable[[], None]) -> int:
        """Take in so many lines at most; return how many."""
        lines = 0
        try:
            for entry in self._reading.read_on(written):
                self._note(entry)
                rest()
                lines += 1
                if lines >= at_most:
                    break
        except (JournalError, PhaseError) as exc:
            self.wrong = f"The journal cannot be read any further: {exc}"
        except DAMAGE as exc:
            self.wrong = (
                f"The journal cannot be read any further: what stands in it is no call's ({type(exc).__name__})"
            )
        return lines

    def _note(self, entry: Entry) -> None:
        began = self._began or self._begin(entry)
        if entry.effects:
            name, values = decode_effect(entry.effects[-1])
            began.drawing.effect(entry.at_ms, name, values)
            began.inspection.effect(entry.at_ms, name, values)
            if language := values.get("language"):
                self._mask.speak(language)
            return
        began.drawing.event(entry)
        began.inspection.event(entry)
        self._fold(entry)
        match entry.event:
            case ev.CallStarted(caller_number=number):
                self._caller = number
            case ev.CallEnded():
                self.over = True
            case ev.ToolFinished(_, result) | ev.PrefetchFinished(_, result):
                self._mask.learn(result)
            case _:
                pass

    def _begin(self, first: Entry) -> _Began:
        header = self._reading.header
        assert header is not None  # noqa: S101 - entries follow it
        self._began = _Began(drawing_of(header, first.at_ms), Inspection(first.at_ms, language_for(header.locale)))
        self._flow = self._flows(header.flow)
        self._mask = Mask.of(self._flow, header.locale)
        self._conversation = self._conversation_of(header)
        return self._began

    def _conversation_of(self, header: JournalHeader) -> Conversation | None:
        if self._flow is None:
            self._no_facts = f"The agent {header.flow!r} is not served here: it cannot say what was known."
            return None
        try:
            require_same_flow(header, self._flow)
        except JournalError:
            self._no_facts = "The agent has been changed since this call: it cannot say what was known."
            return None
        return Conversation(self._flow, header.inherited)

    def _fold(self, entry: Entry) -> None:
        if self._conversation is None:
            return
        try:
            self._conversation.handle(entry.event, entry.at_ms)
        except Exception:  # noqa: BLE001 - authors' guards run in there; what they did in the call is another question
            self._conversation = None
            self._no_facts = "What was known cannot be said: the agent's own code has failed on this record."

    # --- what is shown ---

    def timeline(self, *, shown: bool) -> Timeline:
        """Return the call drawn; its words are hidden unless they are to be shown."""
        began = self._began
        if began is None:
            return Timeline(0, (), (), ())
        timeline = began.drawing.timeline()
        secret, rest = self._sensitive(timeline), Resting()
        spans: list[Span] = []
        for span in timeline.spans:
            rest()
            spans.append(self._as_shown(span, secret, shown=shown))
        points: list[Point] = []
        for point in timeline.points:
            rest()
            text = self._point(point.kind, point.text, point.at_ms, secret, shown=shown)
            points.append(replace(point, text=text))
        return replace(timeline, spans=tuple(spans), points=tuple(points))

    def _sensitive(self, timeline: Timeline) -> list[Span]:
        """Return when a secret was asked for: no number of the caller's is shown from there, to nobody."""
        phases = self._flow.phases if self._flow is not None else ()
        names = {phase.name for phase in phases if phase.sensitive}
        return [span for span in timeline.spans if span.track == "phase" and span.text in names]

    def _as_shown(self, span: Span, secret: list[Span], *, shown: bool) -> Span:
        if span.track == "phase":
            return span
        if shown:
            hides = span.track == "caller" and _touches(span.from_ms, span.until_ms, secret)
            return replace(span, text=self._mask.numbers(span.text)) if hides else span
        if span.track in {"tool", "prefetch"}:
            return replace(span, note=self._mask.text(span.note)) if span.note not in {"finished", "open"} else span
        how, colon, unheard = span.note.partition(": ")
        words = self._mask.text(span.text, of_caller=span.track == "caller")
        return replace(span, text=words, note=f"{how}{colon}{self._mask.text(unheard)}")

    def _point(self, kind: str, text: str, at_ms: int, secret: list[Span], *, shown: bool) -> str:
        if kind == "key":
            return text if shown and not _touches(at_ms, at_ms, secret) else HIDDEN
        if shown or kind in {"mark", "cache"}:
            return text
        what, colon, why = text.partition(": ")
        return f"{what}{colon}{self._mask.text(why)}"

    def view(self, *, shown: bool, live: bool) -> dict[str, object]:
        """Return all that is shown of the call."""
        header, began = self._reading.header, self._began
        if header is None or began is None:
            return {"notices": [self.wrong or "The call has only just begun."], "shown": shown, "live": live}
        try:
            return self._view(header, began, shown=shown, live=live)
        except DAMAGE as exc:
            self.wrong = f"The call cannot be shown: what stands in its journal is no call's ({type(exc).__name__})"
            return {"notices": [self.wrong], "shown": shown, "live": live}

    def _view(self, header: JournalHeader, began: _Began, *, shown: bool, live: bool) -> dict[str, object]:
        timeline = self.timeline(shown=shown)
        return {
            **shown_call(header, began.inspection.summary(header), timeline),
            "notices": list(self._notices(live=live)),
            "shown": shown,
            "live": live,
            "behind": self.behind,
            "caller": (self._caller if shown else HIDDEN) if self._caller else "not told",
            "known": self._known(shown=shown),
            "graph": self._graph(timeline, live=live),
        }

    def _notices(self, *, live: bool) -> list[str]:
        notices = [self.wrong] if self.wrong is not None else []
        if self.behind:
            notices.append("The record is long: it is still being read.")
        elif not (live or self.over or notices):
            notices.append("The journal breaks off: the call is shown as far as it goes.")
        return notices

    def _known(self, *, shown: bool) -> dict[str, object]:
        if self._conversation is None:
            return {"why_not": self._no_facts, "facts": [], "grants": []}
        state = self._conversation.state
        facts = [[name, _fact(value, shown=shown)] for name, value in state.facts.known().items()]
        return {"why_not": "", "facts": facts, "grants": list(state.grants)}

    def _graph(self, timeline: Timeline, *, live: bool) -> str:
        if self._flow is None:
            return ""
        taken = [span.text for span in timeline.spans if span.track == "phase"]
        try:
            return as_svg(flow_graph(self._flow), taken=taken, now=taken[-1] if live and taken else None)
        except VoiceAgentError:  # a flow with a name that leads nowhere can be served, and not drawn
            return ""


def _touches(from_ms: int, until_ms: int, spans: list[Span]) -> bool:
    return any(from_ms <= span.until_ms and until_ms >= span.from_ms for span in spans)


def _fact(value: JsonValue, *, shown: bool) -> str:
    if value is None or isinstance(value, bool):
        return {None: "unknown", True: "yes", False: "no"}[value]
    return str(value) if shown else HIDDEN
