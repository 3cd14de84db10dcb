"""What the demo promises, checked against what was recorded: the caller's ear, the bank's log and the journal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bank_api import LoggedRequest
from rich.console import Console
from rich.table import Table

from voiceagent.audio import pcm16_to_mulaw, read_stereo_wav
from voiceagent.core import events as ev
from voiceagent.language import language_for
from voiceagent.ports import MULAW_8K, SpeechOff, SpeechOn
from voiceagent.runtime.inspection import CallSummary
from voiceagent.runtime.journal_file import Journal
from voiceagent.speech import open_engines
from voiceagent.testing import CallReport
from voiceagent.testing.timeline import ClearReceived

__all__ = ["Evidence", "prove", "what_the_agent_said"]

_FILLER_LATE_MS = 500


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a run leaves behind."""

    report: CallReport
    summary: CallSummary
    journal: Journal
    requests: Sequence[LoggedRequest]
    balances: Mapping[str, Decimal]
    """As the database had them before the call."""
    recording: Path
    journal_file: Path
    agent: Path
    """Folder of the agent that took the call."""
    patience_ms: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One promise, and whether it was kept."""

    promise: str
    kept: bool
    seen: str


def prove(evidence: Evidence, kept_in: Path) -> bool:
    """Print every promise and whether it was kept; True if all were."""
    claims = [*_claims(evidence)]
    table = Table(title=f"what was recorded in {kept_in}/", title_justify="left")
    for heading in ("", "promised", "seen"):
        table.add_column(heading, overflow="fold")
    for claim in claims:
        table.add_row("[green]kept[/]" if claim.kept else "[bold red]BROKEN[/]", claim.promise, claim.seen)
    console = Console()
    console.print(table)
    latency = ", ".join(f"{name} {ms} ms" for name, ms in evidence.summary.response_ms.items())
    console.print(
        f"first sound after the caller: {latency}; longest dead air {evidence.summary.longest_dead_air_ms} ms"
    )
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


def _balance_spoken(evidence: Evidence, said: Sequence[str]) -> Claim:
    language = language_for("en-US")
    spoken = language.digits(" ".join(said))
    wanted = [language.digits(language.spoken_amount(balance, "USD")) for balance in evidence.balances.values()]
    heard = all(number in spoken for number in wanted)
    amounts = ", ".join(f"{kind} {balance}" for kind, balance in evidence.balances.items())
    return Claim("the balances of the database are in the recording, by ear", heard, amounts)


def _fillers(evidence: Evidence) -> Iterator[Claim]:
    fillers = evidence.summary.fillers
    yield Claim("a slow lookup is covered by a filler", bool(fillers), f"{len(fillers)} fillers")
    latest_ms = evidence.patience_ms + _FILLER_LATE_MS
    first = [filler for filler in fillers if filler.onset_ms < 2 * evidence.patience_ms + latest_ms]
    onsets = ", ".join(f"{filler.text!r} after {filler.onset_ms} ms" for filler in first)
    on_time = all(evidence.patience_ms <= filler.onset_ms <= latest_ms for filler in first)
    yield Claim(f"it is heard {evidence.patience_ms} to {latest_ms} ms into the wait", on_time, onsets)


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
    later = [
        entry.event
        for entry in evidence.journal.entries
        if entry.at_ms - evidence.journal.entries[0].at_ms > cut.at_ms
        and isinstance(entry.event, ev.PlayoutStarted | ev.PlayoutReached)
        and entry.event.utterance == cut.utterance
    ]
    yield Claim("no audio of that sentence followed", not later, f"{len(later)} events")
    yield Claim("the transcript is cut to what was heard", bool(cut.heard and cut.unheard), f"…{cut.heard[-40:]} ✂")
    after = [turn for turn in summary.turns if turn.ended_ms > cut.at_ms]
    answered = bool(after) and after[0].answer_after_ms is not None
    yield Claim("the new question was answered", answered, after[0].said if after else "")
    silent = ", ".join(f"{cut.silent_after_ms} ms" for cut in evidence.report.barge_ins)
    yield Claim("the carrier saw the interruption", bool(evidence.report.barge_ins), f"silent after {silent}")


async def what_the_agent_said(recording: Path) -> list[str]:
    """Transcribe the agent's side of a recording, sentence by sentence, as anybody who listens to it would."""
    engines = await asyncio.to_thread(open_engines, "local")
    try:
        _, agent, _ = await asyncio.to_thread(read_stereo_wav, recording)
        audio = pcm16_to_mulaw(agent)
        recognizer = engines.recognizer.open(MULAW_8K, locale="en-US")
        said: list[str] = []
        began_ms = 0
        for change in engines.vad.open(MULAW_8K).feed(audio + b"\xff" * 8_000):
            match change:
                case SpeechOn(at_ms):
                    began_ms = max(0, at_ms - 300)
                case SpeechOff(at_ms):
                    heard = await recognizer.transcribe(audio[began_ms * 8 : (at_ms + 300) * 8])
                    said.append(heard.text)
        return said
    finally:
        await asyncio.to_thread(engines.close)
