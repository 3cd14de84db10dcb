"""What every scripted conversation costs: events that the core handles and effects that follow, which are a line of its
journal each, the bytes of these lines, and the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.cost.counting import OTHER_PYTHONS, function_calls
from tests.cost.counts import Counts
from voiceagent.core.codec import encode_event, encode_outgoing
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow
from voiceagent.testing import CallFiles, CallPlayer, ScriptedCall
from voiceagent.testing.call_record import RecordEntry
from voiceagent.testing.call_script import CallScript
from voiceagent.testing.simulated_call import SimulatedCall

ROOT = Path(__file__).resolve().parents[2]
CONVERSATIONS = ROOT / "tests" / "conversations"
FILES = sorted(CONVERSATIONS.rglob("*.call.yaml"))


class RecordingPlayer(CallPlayer):
    """Keeps the call that it has played."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow)
        self._placed: SimulatedCall | None = None

    def place(self, *args: Any, **more: Any) -> SimulatedCall:
        self._placed = super().place(*args, **more)
        return self._placed

    def record(self, script: CallScript) -> Sequence[RecordEntry]:
        """Play a conversation once, in the order that it is written for; return all that has happened."""
        outcome = self.play(script)
        assert outcome.passed, outcome.failure
        assert self._placed is not None
        return self._placed.journal


@cache
def files() -> CallFiles:
    return CallFiles()


@cache
def player(agent: str) -> RecordingPlayer:
    """Return the player of an agent: what its guided model has learned of a phase is kept."""
    first = next(file for file in FILES if file.parent.name == agent)
    return RecordingPlayer(files().read(first).flow)


def costs(flow: Flow, record: Sequence[RecordEntry], inherited: Inherited) -> tuple[dict[str, int], dict[str, int]]:
    """Return what a record is made of, and how much it is to write down and to come to."""
    events = [encode_event(event, now_ms) for now_ms, event, _ in record]
    effects = [encode_outgoing(out) for _, _, outgoing in record for out in outgoing]
    again = Conversation(flow, inherited)

    def handle_all() -> None:
        for now_ms, event, _ in record:
            again.handle(event, now_ms)

    journal_bytes = sum(len(line) + 1 for line in (*events, *effects))
    made_of = {"events": len(events), "effects": len(effects)}
    return made_of, {"journal_bytes": journal_bytes, "function_calls": function_calls(handle_all)}


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(CONVERSATIONS)) for file in FILES])
def test_no_scripted_conversation_costs_more_than_before(file: Path, counts: Counts) -> None:
    agent = file.parent.name
    total = {"journal_bytes": 0, "function_calls": 0}
    for script in files().read(file).scripts:
        if script.persona is not None or script.xfail is not None:
            continue
        record = player(agent).record(script)
        counted, work = costs(player(agent).flow, record, Inherited(CallId("scripted")))
        counts.hold(f"{agent}/{file.name}", script.name, counted)
        total = {what: total[what] + count for what, count in work.items()}
    counts.hold(f"{agent}/{file.name}", "all of them", total, spare=OTHER_PYTHONS)


def test_no_call_of_the_load_test_costs_more_than_before(counts: Counts) -> None:
    flow = load_flow(ROOT / "phases" / "loadtest")
    call = ScriptedCall(flow, model=GuidedModels().open(flow, locale=flow.locale, time_zone="UTC")).start()
    for _ in range(5):
        call.says("Tell me the next thing please.")
    call.hangs_up()
    counted, work = costs(flow, call.journal, call.inherited)
    counts.hold("loadtest", "five turns", counted)
    counts.hold("loadtest", "five turns, all of them", work, spare=OTHER_PYTHONS)
