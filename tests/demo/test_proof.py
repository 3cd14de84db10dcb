"""What the demo proves: a claim is broken where the recording says otherwise."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import proof
import pytest
from proof import Claim, Evidence

from voiceagent.audio import mulaw_to_pcm16, write_stereo_wav
from voiceagent.runtime.call_summary import CallSummary, FillerSeen, PhaseSeen, TurnSeen
from voiceagent.runtime.journal_file import Journal
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import BargeIn, CallReport
from voiceagent.testing.lateness import Lateness
from voiceagent.testing.timeline import AgentSpeechStarted, ClearReceived, Closed, TimelineEvent

BANK = Path(__file__).resolve().parents[2] / "phases" / "bank"
SUMMARY = CallSummary(
    call="c",
    flow="bank",
    flow_sha256="",
    duration_ms=0,
    ended=None,
    phases=[PhaseSeen("greeting", 0, [])],
    floor=[],
    turns=[TurnSeen("Hello.", 1_000, 600, 600)],
    tools=[],
    served=[],
    fillers=[FillerSeen("One moment.", 5_800, 800)],
    barge_ins=[],
    problems=[],
    longest_dead_air_ms=0,
    response_ms={},
    tokens=[],
)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    timeline: tuple[TimelineEvent, ...] = (AgentSpeechStarted(100), AgentSpeechStarted(5_840))
    closed = Closed(9_000, "agent", 1000, "")
    report = CallReport("s", timeline, (), (), closed, True, None, Lateness(0, 0), 0, 0, None)
    return Evidence(
        report=report,
        summary=SUMMARY,
        journal=Journal(header=None, entries=(), torn=False),  # type: ignore[arg-type] - nobody reads it
        requests=(),
        balances={"checking": Decimal("12.50"), "savings": Decimal("407.00")},
        flow=load_flow(BANK),
        agent=BANK,
        folder=tmp_path,
    )


def test_each_balance_is_heard_behind_the_name_of_its_own_account(evidence: Evidence) -> None:
    right = ["Your checking account holds 12 dollars and 50 cents.", "Your savings account holds 407 dollars."]
    swapped = ["Your checking account holds 407 dollars.", "Your savings account holds 12 dollars and 50 cents."]
    assert proof._balance_spoken(evidence, [" ".join(right)]).kept
    assert proof._balance_spoken(evidence, right).kept
    assert not proof._balance_spoken(evidence, [" ".join(swapped)]).kept
    assert not proof._balance_spoken(evidence, right[:1]).kept


def test_a_name_that_lost_its_last_letter_by_ear_is_still_that_account(evidence: Evidence) -> None:
    heard = "You're checking account holds 12 dollars and 50 cents. You're saving. Account holds 407 dollars."
    swapped = "You're checking account holds 407 dollars. You're saving. Account holds 12 dollars and 50 cents."
    assert proof._balance_spoken(evidence, [heard]).kept
    assert not proof._balance_spoken(evidence, [swapped]).kept


def broken(evidence: Evidence) -> list[str]:
    return [claim.promise for claim in proof._fillers(evidence) if not claim.kept]


def test_a_filler_in_time_by_the_journal_and_by_ear_keeps_every_promise(evidence: Evidence) -> None:
    assert broken(evidence) == []


def test_a_filler_that_is_late_in_the_recording_alone_breaks_one(evidence: Evidence) -> None:
    report = replace(evidence.report, timeline=(AgentSpeechStarted(100), AgentSpeechStarted(6_700)))
    assert broken(replace(evidence, report=report)) == ["and so it does in the recording"]


def test_a_filler_in_a_short_wait_breaks_a_promise(evidence: Evidence) -> None:
    summary = replace(SUMMARY, fillers=[*SUMMARY.fillers, FillerSeen("Hm.", 7_000, 300)])
    assert "a short wait has none" in broken(replace(evidence, summary=summary))


def cut(evidence: Evidence, agent: bytes) -> list[Claim]:
    """Interrupt the agent at 400 ms; its next sentence begins at 1000 ms."""
    silence = b"\xff" * len(agent)
    write_stereo_wav(evidence.recording, mulaw_to_pcm16(silence), mulaw_to_pcm16(agent), rate_hz=8_000)
    report = replace(evidence.report, barge_ins=(BargeIn("stop.wav", 200, 200),))
    return list(proof._silence_by_ear(replace(evidence, report=report), [ClearReceived(400, 900)], [1_000]))


def test_silence_after_the_cut_is_looked_for_in_the_recording(evidence: Evidence) -> None:
    loud, quiet = b"\x20" * 8, b"\xff" * 8
    assert all(claim.kept for claim in cut(evidence, loud * 400 + quiet * 600 + loud * 500))
    assert [claim.promise for claim in cut(evidence, loud * 400 + quiet * 300 + loud * 800) if not claim.kept] == [
        "the recording is silent from then to the answer"
    ]
