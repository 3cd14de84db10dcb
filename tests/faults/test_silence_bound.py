"""No scripted call of an example agent is silent for more than five seconds while its caller waits, whatever fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from voiceagent.language import language_for
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Limits
from voiceagent.spec.verify import verify
from voiceagent.testing import Faults
from voiceagent.testing.call_file import CallFiles
from voiceagent.testing.call_script import CallScript, CallTurn, Expect, Presses, Says, Waits
from voiceagent.testing.playing import CallPlayer

AGENTS = ("bank", "clinic", "restaurant")
CONVERSATIONS = Path(__file__).parents[1] / "conversations"
BOUND_MS = 5_000


def _scripts(agent: str) -> Iterator[CallScript]:
    files = CallFiles()
    for path in sorted((CONVERSATIONS / agent).glob("*.call.yaml")):
        for script in files.read(path).scripts:
            if script.xfail is None and script.persona is None:
                yield script


def _bounded(turns: Sequence[CallTurn]) -> tuple[CallTurn, ...]:
    """Bound what follows each turn in which the caller wants something, and then lets the agent answer."""
    answered = [later.at is None and not isinstance(later.act, Waits) for later in turns[1:]]
    return tuple(
        replace(turn, expect=replace(turn.expect, longest_silence_ms=BOUND_MS))
        if is_answered and isinstance(turn.act, Says | Presses) and not _has_the_floor(turn.act)
        else turn
        for turn, is_answered in zip(turns, [*answered, True], strict=True)
    )


def _has_the_floor(act: Says | Presses) -> bool:
    """Whether they look for what they were asked for: nobody waits for an answer."""
    return isinstance(act, Says) and language_for("en").looks_for_it(act.text)


@pytest.mark.parametrize("agent", AGENTS)
def test_no_turn_of_a_scripted_call_is_answered_by_more_than_five_seconds_of_silence(agent: str) -> None:
    player = CallPlayer(load_flow(agent))
    too_long: list[str] = []
    played = 0
    for script in _scripts(agent):
        played += 1
        failure = player.play(replace(script, turns=_bounded(script.turns))).failure
        if failure is not None:
            too_long += [f"{script.name}, {failure.act}: {found.what} {found.got}" for found in failure.mismatches]
    assert played > 5
    assert too_long == []


@pytest.mark.parametrize("agent", AGENTS)
def test_the_verifier_proves_it_of_every_phase(agent: str) -> None:
    flow = load_flow(agent)
    assert flow.limits.max_silence_ms == Limits().max_silence_ms == BOUND_MS
    assert [finding for finding in verify(flow) if finding.code == "silence-too-long"] == []


FAULTS = {
    "the first words of a reply never come": Faults(model_stalls=(1, 3)),
    "a reply breaks off": Faults(model_breaks_off=(2, 3)),
    "a model fails": Faults(model_fails=(1, 4)),
    "the recognizer never answers": Faults(transcript_stalls=(1, 3)),
    "the recognizer fails": Faults(transcript_fails=(2, 3)),
    "clauses cannot be said": Faults(synthesis_fails=(1, 3)),  # none of them is a filler: those are kept as audio
    "nothing can be said any more": Faults(synthesis_fails=range(3, 500)),
    "a phase is not put in force": Faults(swap_fails=(2,)),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("agent", AGENTS)
def test_nor_under_any_fault(agent: str, fault: str) -> None:
    player = CallPlayer(load_flow(agent))
    too_long: list[str] = []
    played = 0
    for script in _scripts(agent):
        if any(turn.at is not None or not isinstance(turn.act, Says | Presses) for turn in script.turns):
            continue
        played += 1
        turns = tuple(CallTurn(turn.act, expect=Expect(longest_silence_ms=BOUND_MS)) for turn in script.turns)
        faulty = replace(script, turns=turns, in_the_end=Expect(), faults=FAULTS[fault], fault_lines={})
        failure = player.play(faulty).failure
        found = () if failure is None else failure.mismatches
        # A fault may well have ended the call before its script does.
        too_long += [f"{script.name}: {each.got}" for each in found if each.what == "longest_silence_ms"]
    assert played > 3
    assert too_long == []
