"""No scripted call of an example agent is silent for more than five seconds while its caller waits, whatever fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Limits
from voiceagent.spec.verify import verify
from voiceagent.testing.call_file import CallFiles
from voiceagent.testing.call_script import CallScript, CallTurn, Presses, Says, Waits
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
        if is_answered and isinstance(turn.act, Says | Presses)
        else turn
        for turn, is_answered in zip(turns, [*answered, True], strict=True)
    )


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
