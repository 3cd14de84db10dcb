"""What the demo promises, checked against what was recorded: the caller's ear, the bank's log and the journal."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median

from bank_api import LoggedRequest
from ear import hears, what_the_agent_said
from rich.console import Console
from rich.table import Table

from voiceagent.audio import mulaw_energy, pcm16_to_mulaw, read_stereo_wav
from voiceagent.core import events as ev
from voiceagent.runtime.call_summary import CallSummary, FillerSeen
from voiceagent.runtime.journal_file import Journal
from voiceagent.spec.flow import Flow
from voiceagent.testing import CallReport
from voiceagent.testing.timeline import AgentSpeechStarted, ClearReceived
from voiceagent.testing.utterance import VOICED_ENERGY

__all__ = ["Evidence", "prove"]

_FILLER_LATE_MS = 500
_EARLY_MS = 100
"""By how much a sound may be heard before the journal says so: the call's two clocks start at other moments."""
_SILENT_WITHIN_MS = 1_000
"""An agent that goes on for longer after an interruption has not given way."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a run leaves behind."""

    report: CallReport
    summary: CallSummary
    journal: Journal
    requests: Sequence[LoggedRequest]
    balances: Mapping[str, Decimal]
    """As the database had them before the call."""
    flow: Flow
    agent: Path
    """Folder of the agent that took the call."""
    folder: Path
    """Where `call.wav` and `journal.jsonl` are."""

    @property
    def recording(self) -> Path:
        """The call as heard: caller left, agent right."""
        return self.folder / "call.wav"

    @property
    def journal_file(self) -> Path:
        """The call's journal."""
        return self.folder / "journal.jsonl"

    @property
    def page(self) -> Path:
        """The call's report."""
        return self.folder / "report.html"

    def patience_ms(self, filler: FillerSeen) -> int:
        """Return the patience of the phase in which a filler was said."""
        phase = [seen.phase for seen in self.summary.phases if seen.at_ms <= filler.at_ms][-1]
        return self.flow.filler_of(self.flow.phase(phase)).patience_ms


@dataclass(frozen=True, slots=True)
class Claim:
    """One promise, and whether it was kept."""

    promise: str
    kept: bool
    seen: str


def prove(evidence: Evidence) -> bool:
    """Print every promise and whether it was kept; True if all were."""
    claims = [*_claims(evidence)]
    table = Table(title="what was promised, and what was recorded", title_justify="left")
    for heading in ("", "promised", "seen"):
        table.add_column(heading, overflow="fold")
    for claim in claims:
        table.add_row("[green]kept[/]" if claim.kept else "[bold red]BROKEN[/]", claim.promise, claim.seen)
    console = Console()
    console.print(table)
    answers = [turn.answered_after_ms for turn in evidence.report.turns]
    waits = [ms for ms in answers if ms is not None and ms > 0]
    heard = f"p50 {median(waits):.0f} ms, max {max(waits)} ms" if waits else "never"
    console.print(f"first sound after the caller, as heard: {heard}")
    console.print(f"longest dead air while they waited: {evidence.summary.longest_dead_air_ms} ms")
    console.print(f"\nlisten to      {evidence.recording}   (caller left, agent right)", soft_wrap=True)
    console.print(f"look into it   {_voiceagent()} inspect {evidence.journal_file}", soft_wrap=True)
    console.print(f"look at it     {evidence.page}   (in a browser)", soft_wrap=True)
    return all(claim.kept for claim in claims)


def _claims(evidence: Evidence) -> Iterator[Claim]:
    report, summary = evidence.report, evidence.summary
    yield Claim("the script is followed to its end", report.ok, str(report.failure or "goodbye"))
    phases = [seen.phase for seen in summary.phases]
    way = ["greeting", "authentication", "account_inquiry", "transfer_money", "wrap_up", "goodbye"]
    yield Claim("every phase is passed, in order", phases == way, " → ".join(phases))
    said = asyncio.run(what_the_agent_said(evidence.recording))
    yield _balance_spoken(evidence, said)
    yield from _fillers(evidence)
    yield from _prefetch(evidence)
    yield from _barge_in(evidence)
    yield _replay(evidence)


def _voiceagent() -> str:
    """Return the command as it can be typed here."""
    command = Path(sys.executable).parent / "voiceagent"
    return str(command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command)


def _replay(evidence: Evidence) -> Claim:
    """Replay the call in a fresh process with another hash seed: nothing may depend on the order of a set."""
    journal, agent = str(evidence.journal_file), str(evidence.agent)
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "voiceagent.cli", "replay", journal, "--agent", agent],
        env={**os.environ, "PYTHONHASHSEED": "4519227"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    seen = (done.stdout or done.stderr).strip()
    return Claim("the call replays byte for byte in another process", done.returncode == 0, seen[-200:])


def _balance_spoken(evidence: Evidence, hearings: Sequence[str]) -> Claim:
    """Each balance has to be heard behind the name of its own account; an s before "account" is easily lost."""
    kinds = {kind.removesuffix("s"): kind for kind in evidence.balances}
    heard: dict[str, list[str]] = {kind: [] for kind in evidence.balances}
    for words in hearings:
        pieces = re.split(rf"\b({'|'.join(kinds)})s?\b", words.lower())
        for name, behind in zip(pieces[1::2], pieces[2::2], strict=True):
            heard[kinds[name]].append(behind)
    right = all(any(hears(balance, words) for words in heard[kind]) for kind, balance in evidence.balances.items())
    amounts = ", ".join(f"{kind} {balance}" for kind, balance in evidence.balances.items())
    return Claim("the balances of the database are in the recording, by ear", right, amounts)


def _fillers(evidence: Evidence) -> Iterator[Claim]:
    summary = evidence.summary
    first = [
        filler for filler in summary.fillers if filler.onset_ms < 2 * evidence.patience_ms(filler) + _FILLER_LATE_MS
    ]
    seen = ", ".join(f"{filler.text!r} after {filler.onset_ms} ms" for filler in first)
    yield Claim("a slow lookup is covered by a filler", bool(first), seen or "no filler")
    yield Claim(
        "it begins in time", all(_in_time(evidence, filler, filler.onset_ms) for filler in first), _bounds(evidence)
    )
    by_ear = [_onset_by_ear_ms(evidence, filler) for filler in first]
    in_time = all(ms is not None and _in_time(evidence, filler, ms) for filler, ms in zip(first, by_ear, strict=True))
    yield Claim("and so it does in the recording", in_time, ", ".join(f"after {ms} ms" for ms in by_ear))
    quick = [turn for turn in summary.turns if turn.answer_after_ms == turn.first_sound_after_ms]
    early = [filler for filler in summary.fillers if filler.onset_ms < evidence.patience_ms(filler)]
    yield Claim("a short wait has none", bool(quick) and not early, f"{len(quick)} answers came in time for themselves")


def _in_time(evidence: Evidence, filler: FillerSeen, onset_ms: int) -> bool:
    patience_ms = evidence.patience_ms(filler)
    return patience_ms <= onset_ms <= patience_ms + _FILLER_LATE_MS


def _bounds(evidence: Evidence) -> str:
    patience = sorted({evidence.patience_ms(filler) for filler in evidence.summary.fillers})
    return ", ".join(f"{ms} to {ms + _FILLER_LATE_MS} ms into the wait" for ms in patience)


def _onset_by_ear_ms(evidence: Evidence, filler: FillerSeen) -> int | None:
    """Return how long the caller had been waiting when the filler's first sound was heard on the line."""
    began_ms = filler.at_ms - filler.onset_ms
    heard = (
        moment.at_ms
        for moment in evidence.report.timeline
        if isinstance(moment, AgentSpeechStarted) and moment.at_ms >= filler.at_ms - _EARLY_MS
    )
    heard_ms = next(heard, None)
    return None if heard_ms is None else heard_ms - began_ms


def _prefetch(evidence: Evidence) -> Iterator[Claim]:
    served = evidence.summary.served
    hits = [seen for seen in served if seen.how == "hit"]
    yield Claim(
        "a question is answered from memory", bool(hits), ", ".join(f"{seen.how} {seen.saved_ms} ms" for seen in served)
    )
    fetched = sum(1 for tool in evidence.summary.tools if tool.prefetch and tool.tool == "get_accounts")
    asked = sum(1 for request in evidence.requests if request.method == "GET" and request.path.endswith("/accounts"))
    yield Claim("the prefetched answer needed no HTTP request", asked == fetched == 1, f"{asked} request for accounts")


def _barge_in(evidence: Evidence) -> Iterator[Claim]:
    summary = evidence.summary
    clears = [moment for moment in evidence.report.timeline if isinstance(moment, ClearReceived)]
    yield Claim("at the barge-in `clear` was sent", bool(clears), f"{len(clears)} clear")
    if not summary.barge_ins:
        yield Claim("the agent was interrupted", kept=False, seen="nobody was")
        return
    cut = summary.barge_ins[0]
    zero_ms = evidence.journal.entries[0].at_ms
    playouts = [
        (entry.at_ms - zero_ms, entry.event)
        for entry in evidence.journal.entries
        if entry.at_ms - zero_ms > cut.at_ms and isinstance(entry.event, ev.PlayoutStarted | ev.PlayoutReached)
    ]
    later = [event for _, event in playouts if event.utterance == cut.utterance]
    yield Claim("no audio of that sentence followed", not later, f"{len(later)} events")
    yield from _silence_by_ear(evidence, clears, [at_ms for at_ms, event in playouts if event not in later])
    yield Claim("the transcript is cut to what was heard", bool(cut.heard and cut.unheard), f"…{cut.heard[-40:]} ✂")
    after = [turn for turn in summary.turns if turn.ended_ms > cut.at_ms]
    answered = bool(after) and after[0].answer_after_ms is not None
    yield Claim("the new question was answered", answered, after[0].said if after else "")


def _silence_by_ear(
    evidence: Evidence, clears: Sequence[ClearReceived], next_heard_ms: Sequence[int]
) -> Iterator[Claim]:
    """The carrier's ear: the agent falls silent soon, and stays so up to its next sentence."""
    silent_after_ms = [cut.silent_after_ms for cut in evidence.report.barge_ins]
    soon = bool(silent_after_ms) and max(silent_after_ms) <= _SILENT_WITHIN_MS
    yield Claim(
        "the carrier heard it fall silent",
        soon,
        ", ".join(f"{ms} ms after the caller's voice" for ms in silent_after_ms),
    )
    if not clears or not next_heard_ms:
        yield Claim("the recording is silent after it", kept=False, seen="there is no answer to measure up to")
        return
    from_ms, until_ms = clears[0].at_ms, next_heard_ms[0]
    _, agent, _ = read_stereo_wav(evidence.recording)
    audio = pcm16_to_mulaw(agent)[from_ms * 8 : until_ms * 8]
    loud = sum(mulaw_energy(audio[at : at + 160]) >= VOICED_ENERGY for at in range(0, len(audio), 160))
    seen = f"{loud} loud frames in {until_ms - from_ms} ms"
    yield Claim("the recording is silent from then to the answer", until_ms > from_ms and not loud, seen)
