"""`voiceagent report`: a call as a page that can be looked at and listened to."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.console.call_report import CallReport, report_page
from voiceagent.console.call_sound import MOST_EMBEDDED_BYTES, read_sound, source_of
from voiceagent.errors import OperatorError, PhaseError
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.timeline import Timeline, timeline_of
from voiceagent.spec.graph import flow_graph
from voiceagent.spec.graph_svg import as_svg

__all__ = ["report", "write_report"]


def report(
    journal: Annotated[Path, typer.Argument(help="A call's journal, *.jsonl.")],
    recording: Annotated[
        Path | None,
        typer.Option(help="Its sound, a stereo wav. Default: call.wav, or the journal's name with .wav, beside it."),
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="The agent it was a call to, to draw its flow. Default: the one of that name.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The page. Default: report.html beside the journal.")] = None,
) -> None:
    """Write one page that shows a call: waveforms, phases, turns, tools, fillers, marks and silences, with a player.

    The page needs no network. What was said stands in it: it is as confidential as the journal.

    Exit code 0: the page is written, and its path printed. 1: it cannot be, or there is no journal.

    Example, after `make demo`: voiceagent report demo-output/<call>/journal.jsonl
    """
    typer.echo(write_report(journal, recording=recording, agent=agent, output=output))


def write_report(journal: Path, *, recording: Path | None, agent: str | None, output: Path | None) -> Path:
    """Write the report of a call and return where it is. Raises JournalError and OperatorError."""
    read = read_journal(journal)
    page = output or journal.with_name("report.html")
    notices = [] if read.complete else ["The journal breaks off: the call is shown as far as it goes."]
    timeline = timeline_of(read)
    if recording is None:
        recording = next(
            (path for path in (journal.with_name("call.wav"), journal.with_suffix(".wav")) if path.exists()), None
        )
    sound, source = None, ""
    if recording is None:
        notices.append("There is no recording: serve --record makes them, and --recording names one.")
    else:
        sound, source = read_sound(recording, timeline), source_of(recording, page)
        if recording.stat().st_size > MOST_EMBEDDED_BYTES:
            notices.append(f"The recording is too long to stand in this page: it is played from {source}, beside it.")
    graph, said = _graph(read, agent, timeline)
    made = CallReport(read, inspect_journal(read), timeline, sound, source, graph, [*notices, *said])
    try:
        page.write_text(report_page(made), encoding="utf-8")
    except OSError as exc:
        raise OperatorError(f"{page} cannot be written: {exc.strerror}") from exc
    return page


def _graph(read: Journal, agent: str | None, timeline: Timeline) -> tuple[str, list[str]]:
    """Return the flow as a picture, with the path of the call; only of one that was named must it be there."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # an author's module may print; our output is a path
            flow = load_flow(agent or read.header.flow)
    except PhaseError:
        if agent is not None:
            raise
        return "", []
    taken = [span.text for span in timeline.spans if span.track == "phase"]
    changed = flow.sha256 != read.header.flow_sha256
    notice = f"The flow {flow.name!r} has changed since this call: it is drawn as it is now."
    return as_svg(flow_graph(flow), taken=taken), [notice] if changed else []
