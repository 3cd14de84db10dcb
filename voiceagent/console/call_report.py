"""The call report: one page that shows a call and plays it, and needs nothing but a browser."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

from voiceagent.console.call_sound import CallSound
from voiceagent.runtime.call_summary import CallSummary
from voiceagent.runtime.journal_file import Journal, JournalHeader
from voiceagent.runtime.timeline import Point, Span, Stages, Timeline

__all__ = ["CallReport", "page_part", "report_page", "shown_call", "shown_sound"]

_SPAN, _POINT, _TURN = (tuple(each.name for each in fields(row)) for row in (Span, Point, Stages))
_SILENCE_MS = 1_000
"""A shorter one is a breath."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """All that is shown."""

    journal: Journal
    summary: CallSummary
    timeline: Timeline
    sound: CallSound | None
    """None where there is no recording."""
    sound_source: str = ""
    """Address of the recording, as `source_of` returns it."""
    graph: str = ""
    """The flow as SVG; empty where it is not at hand."""
    notices: Sequence[str] = ()
    """What whoever looks at the page should know first."""


def report_page(report: CallReport) -> str:
    """Return the page. Whatever a caller has said stands in it as text and is never taken for markup."""
    script = page_part("call_view.js") + page_part("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _filled(
        page_part("report.html"),
        {
            "title": escape(f"{report.summary.flow}: {report.summary.call}"),
            "style": page_part("call_view.css") + page_part("report.css"),
            "script": script,
            "script_hash": f"'sha256-{digest}'",
            # "<" is all that could end the element: in JSON it may be written otherwise.
            "data": json.dumps(_data(report), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        },
    )


def page_part(name: str) -> str:
    """Return a part of the pages. A call looks the same on all of them: `{{call_view}}` is what stands around it."""
    text = files("voiceagent.console").joinpath("static", name).read_text(encoding="utf-8")
    return text.replace("{{call_view}}", page_part("call_view.html")) if "{{call_view}}" in text else text


def _filled(page: str, parts: Mapping[str, str]) -> str:
    pieces: list[str] = []
    while "{{" in page:  # from front to back: what has been put in is not looked at again
        before, _, rest = page.partition("{{")
        name, _, page = rest.partition("}}")
        pieces += [before, parts[name]]
    return "".join([*pieces, page])


def _data(report: CallReport) -> dict[str, object]:
    shown = shown_call(report.journal.header, report.summary, report.timeline)
    return {
        **shown,
        "notices": list(report.notices),
        "graph": report.graph,
        "sound": report.sound and shown_sound(report.sound, report.sound_source),
    }


def shown_call(header: JournalHeader, summary: CallSummary, timeline: Timeline) -> dict[str, object]:
    """Return what `call_view.js` draws of a call."""
    return {
        "flow": summary.flow,
        "about": f"call {summary.call}, {_began(header.unix_ms)}, ended: {summary.ended or 'not told'}",
        "figures": list(_figures(summary)),
        "duration_ms": timeline.duration_ms,
        "spans": [_plain(span, _SPAN) for span in timeline.spans],
        "points": [_plain(point, _POINT) for point in timeline.points],
        "turns": [_plain(turn, _TURN) for turn in timeline.turns],
        "silences": list(_silences(timeline)),
        "tokens": [asdict(each) for each in summary.tokens],
    }


def _began(unix_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # no calendar has it
        return "begun nobody knows when"


def shown_sound(sound: CallSound, source: str) -> dict[str, object]:
    """Return what `call_view.js` plays, from `source`, and draws of it."""
    return {
        "src": source,
        "caller": list(sound.caller),
        "agent": list(sound.agent),
        "peaks_per_s": sound.peaks_per_s,
        "offset_ms": sound.offset_ms,
    }


def _plain(of: object, names: Sequence[str]) -> dict[str, object]:
    """Return the fields of a row: there are thousands of them in a long call."""
    return {name: getattr(of, name) for name in names}


def _figures(summary: CallSummary) -> Iterator[tuple[str, str]]:
    yield "Length", f"{summary.duration_ms / 1_000:.1f} s"
    for name, ms in summary.response_ms.items():
        yield f"First sound, {name}", f"{ms} ms"
    yield "Longest dead air", f"{summary.longest_dead_air_ms} ms"
    yield "Turns", str(len(summary.turns))
    yield "Phases entered", str(len(summary.phases))
    yield "Tools run", str(sum(not tool.prefetch for tool in summary.tools))
    yield "Answered by prefetch", str(len(summary.served))
    yield "Fillers", str(len(summary.fillers))
    yield "Barge-ins", str(len(summary.barge_ins))
    tokens = [(each.input, each.output) for each in summary.tokens if each.input or each.output]
    if tokens:
        yield "Tokens in / out", f"{sum(read for read, _ in tokens)} / {sum(written for _, written in tokens)}"
    if summary.problems:
        yield "Problems", str(len(summary.problems))


def _silences(timeline: Timeline) -> Iterator[tuple[int, int]]:
    """Yield where nobody was heard."""
    heard: list[Span] = [span for span in timeline.spans if span.track in {"caller", "agent", "filler"}]
    silent_from_ms = 0
    for span in heard:
        if span.from_ms - silent_from_ms >= _SILENCE_MS:
            yield silent_from_ms, span.from_ms
        silent_from_ms = max(silent_from_ms, span.until_ms)
    if timeline.duration_ms - silent_from_ms >= _SILENCE_MS:
        yield silent_from_ms, timeline.duration_ms
