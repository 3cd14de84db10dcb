"""What is printed and written about played conversations, and which of them are selected by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from voiceagent.errors import ScriptError
from voiceagent.testing import CallOutcome, CallResult, Summary
from voiceagent.testing.call_results import junit_xml
from voiceagent.testing.selecting import selector

Play = Callable[..., CallOutcome]
HOME = Path("calls/a.call.yaml")


@pytest.fixture
def results(play: Play) -> list[CallResult]:
    """One result of every status."""
    meets, misses = (
        "call: [{waits: , expect: {phase: hello}}]",
        'call: [{waits: , expect: {hears: "<&> bananas"}}]',
    )
    known = 'xfail: "not <mended>\\x01 yet"\n'
    return [CallResult.of(play(text), HOME) for text in (meets, misses, known + misses, known + meets)]


def test_every_outcome_has_its_status(results: list[CallResult]) -> None:
    assert [(result.status, result.ok) for result in results] == [
        ("passed", True),
        ("failed", False),
        ("known", True),
        ("mended", False),
    ]
    assert results[0].text == ""
    assert results[2].text == "not <mended>\x01 yet"
    assert results[3].text == "it passes: take out xfail (not <mended>\x01 yet)"


def test_a_summary_counts_calls_and_their_speed(results: list[CallResult]) -> None:
    summary = Summary.of(results, took_s=0.5)
    assert (summary.conversations, summary.passed, summary.failed, summary.known, summary.mended) == (4, 1, 1, 1, 1)
    assert summary.core.calls == 4
    assert summary.core.simulated_s_per_s == pytest.approx(summary.core.simulated_s / summary.core.took_s, rel=0.2)
    assert str(summary).startswith("4 conversations in 0.5 s: 1 passed, 1 known to fail, 1 failed, 1 passed although")
    assert "1 call on the core, " in str(Summary.of(results[:1], took_s=1))
    assert "through the runtime" not in str(summary)


def test_a_build_server_can_read_the_results(results: list[CallResult]) -> None:
    (suite,) = ET.fromstring(junit_xml(results))  # noqa: S314 - our own text
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")
    passed, failed, known, mended = suite
    assert list(passed) == []
    assert passed.get("file") == "calls/a.call.yaml"
    assert "<&> bananas" in (failed[0].text or "")
    assert known[0].get("message") == "not <mended> yet"
    assert mended[0].tag == "failure"


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("cough", ["a cough"]),
        ("COUGH", ["a cough"]),
        ("a cough", ["a cough"]),
        ("cough or balance", ["a cough", "the balance and a cue"]),
        ("balance and cue", ["the balance and a cue"]),
        ('"balance and a cue"', ["the balance and a cue"]),
        ("not cough", ["the balance and a cue", "no means no"]),
        ("not (cough or balance)", ["no means no"]),
        ("not not cough", ["a cough"]),
        ("a and not (cough and a)", ["the balance and a cue", "no means no"]),
        ("nothing", []),
    ],
)
def test_conversations_are_selected_by_words_of_their_names(expression: str, selected: list[str]) -> None:
    names = ["a cough", "the balance and a cue", "no means no"]
    assert [name for name in names if selector(expression)(name)] == selected


@pytest.mark.parametrize("expression", ["", "and", "a and", "not", "(a", "a)", '"a', "a or or b", "()"])
def test_an_expression_that_cannot_be_read_is_told(expression: str) -> None:
    with pytest.raises(ScriptError, match=r"^-k "):
        selector(expression)
