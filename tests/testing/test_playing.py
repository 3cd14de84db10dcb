"""Playing a conversation: turn by turn, under several schedules; a failure says what it takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from voiceagent import Requested, Transition
from voiceagent.errors import ScriptError
from voiceagent.spec.flow import Flow
from voiceagent.testing import (
    After,
    CallFile,
    CallOutcome,
    CallPlayer,
    CallResult,
    CallScript,
    CallTurn,
    Expect,
    Says,
    ScriptedModel,
    TimeStandsStill,
    Waits,
    WhenHeard,
    ask_for,
    say,
)
from voiceagent.testing.call_results import failure_text
from voiceagent.testing.playing import Level

Play = Callable[..., CallOutcome]
Read = Callable[..., CallFile]

PASSES_THE_CODE = "model: {rules: [{calls: check_member, arguments: {code: ⟨code⟩}}]}\n"

ONE_BY_ONE = """
agent: desk
model:
  rules:
    - {phase: hello, calls: check_member, arguments: {code: ⟨code⟩}}
    - {caller_says: left, calls: look_left}
    - {after_tool: look_left, calls: look_right}
    - says: Yes?
tools:
  check_member: {result: {member: true}}
  opening_hours: {takes_ms: 2000, result: {until: six}}
  look_left: {result: {side: left}}
  look_right: {takes_ms: 1000, result: {side: right}}
"""


def test_a_conversation_is_played_to_its_end(play: Play) -> None:
    outcome = play("call: [says: one two three four, says: When are you open]")
    assert outcome.passed
    assert outcome.core.schedules == 1
    assert outcome.core.simulated_ms > 10_000


def test_the_same_can_be_written_in_python(desk: Flow) -> None:
    script = CallScript(
        "in Python",
        (
            CallTurn(Waits(), expect=Expect(hears=("this is the desk",))),
            CallTurn(Says("one two three four"), expect=Expect(phase="desk")),
            CallTurn(Says("Stop, please stop."), at=WhenHeard("A long"), expect=Expect(hears_not=("end of it",))),
        ),
        model=lambda: ScriptedModel(
            {
                "hello": [ask_for("check_member", '{"code": "⟨code⟩"}')],
                "desk": [say("A long story that has no end, or none that I know of, is the end of it."), say("Yes?")],
            }
        ),
        tools={"check_member": {"member": True}, "opening_hours": {"until": "six"}},
    )
    assert CallPlayer(desk).play(script, schedules=5).failure is None


def test_the_turn_before_is_looked_at_before_the_next_begins(play: Play) -> None:
    outcome = play("call: [{says: one two three four, expect: {phase: hello}}, {says: When are you open}]")
    assert outcome.failure is not None
    assert outcome.failure.turn == 1


def test_a_moment_that_never_comes_is_a_failure_of_its_turn(play: Play) -> None:
    outcome = play("call: [says: one two three four, {says: Stop., at: {heard: bananas}}]")
    assert outcome.failure is not None
    assert outcome.failure.turn == 2
    assert outcome.failure.mismatches[0].got == "the agent did not say 'bananas'"


def test_nobody_acts_after_the_end(play: Play) -> None:
    outcome = play("call: [hangs_up, waits, says: Hello]")
    assert outcome.failure is not None
    assert outcome.failure.turn == 3
    assert outcome.failure.mismatches[0].got == "the call is over already"


@pytest.mark.parametrize(
    ("world", "got"),
    [
        ("model: guided", "phase 'hello' has no guided dialogue"),
        ("model: {lines: {desk: Hm.}}", "the model has no line for phase 'hello'"),
        ("model: {rules: [{calls: check_member}]}\ntools: {look_left: {result: 1}}", "the arguments do not fit"),
        (
            PASSES_THE_CODE + "tools: {look_left: {result: 1}}",
            "the script has no answer for the tool 'check_member'",
        ),
        (
            PASSES_THE_CODE + "tools: {check_member: {run: 2, result: 1}}",
            "the script has no answer for run 1 of check_member(code=1234)",
        ),
        (
            PASSES_THE_CODE + "tools: {check_member: {result: '{{ code.pin }}'}}",
            "template cannot be filled: 'str object' has no attribute 'pin'",
        ),
    ],
)
def test_what_the_script_has_not_thought_of_is_told(play: Play, world: str, got: str) -> None:
    call = "call: [{says: one two three four, expect: {phase: desk}}]"
    failure = play(call, head=f"agent: desk\n{world}").failure
    assert failure is not None
    assert got in failure.mismatches[0].got or got in "\n".join(failure.timeline)


def test_a_host_event_changes_the_phase(play: Play) -> None:
    assert play("call: [{host_event: closing_time, expect: {phase: closed, ended: yes}}]").passed


def test_the_latency_of_a_tool_is_drawn_by_the_seed(read: Read) -> None:
    file = read("agent: desk\ntools: {look_left: {takes_ms: 100..900, result: 1}}\nname: a call\ncall: [waits]")
    answers = file.scripts[0].tools["look_left"]
    taken = [answers.for_call(seed)({}).ms for seed in (1, 1, 2, 3)]  # pyright: ignore[reportAttributeAccessIssue] - a file makes ToolAnswers
    assert taken[0] == taken[1]
    assert len(set(taken)) > 1
    assert all(100 <= ms <= 900 for ms in taken)


# --- schedules -------------------------------------------------------------------------------------------------------


def test_what_holds_in_every_order_passes_under_every_schedule(play: Play) -> None:
    outcome = play(
        "call: [says: one two three four, {says: look left, expect: {facts: {side: right}}}]",
        head=ONE_BY_ONE,
        schedules=40,
    )
    assert outcome.failure is None
    assert outcome.core.schedules == 40


def test_a_failure_that_takes_an_order_of_its_own_says_which(desk: Flow) -> None:
    """Two tools of one reply set the same fact: in the plain order the left one comes last."""
    script = CallScript(
        "a race",
        (
            CallTurn(Says("one two three four")),
            CallTurn(Waits(), at=WhenHeard("here you are"), expect=Expect(facts={"side": "left"})),
        ),
        model=lambda: ScriptedModel(
            {
                "hello": [ask_for("check_member", '{"code": "⟨code⟩"}')],
                "desk": [
                    [*ask_for("look_right")[:-1], *ask_for("look_left")],
                    say("Well, here you are, and that is all there is to be said about it today."),
                ],
            }
        ),
        tools={
            "check_member": {"member": True},
            "opening_hours": {"until": "six"},
            "look_right": {"side": "right"},
            "look_left": {"side": "left"},
        },
    )
    player = CallPlayer(desk)
    assert player.play(script).failure is None, "in the plain order the left one comes last"
    failure = player.play(script, schedules=40).failure
    assert failure is not None
    assert list(map(str, failure.deviations)) == ["ToolFinished t3 before ToolFinished t2"]
    again = player.play(script, seed=failure.seed).failure
    assert again is not None
    assert again.deviations == failure.deviations
    text = failure_text(failure, path=Path("a.call.yaml"), name="a race")
    assert "it takes this order\n    ToolFinished t3 before ToolFinished t2" in text
    assert f"--seed {failure.seed} --schedules 1" in text


# --- through the runtime ---------------------------------------------------------------------------------------------

TALKS = {"until six in the evening.": "until six. The rest of it is long.\n      - All right."}
OPEN = "says: one two three four, says: When are you open"


@pytest.mark.parametrize(
    "call",
    [
        "call: [says: one two three four, {says: When … are you open, expect: {hears: until six, within_ms: 2500}}]",
        f"call: [{OPEN}, {{says: No, at: {{heard: The rest}}, expect: {{history: six. The rest, hears_not: long}}}}]",
        f"call: [{OPEN}, {{coughs: , at: {{answer_ms: 700}}, expect: {{hears: it is long}}}}]",
        "call: [says: one two three four, {says: Open, expect: {prefetch_hits: 1, calls: opening_hours}}]",
        'call: [{presses: "1234", expect: {phase: desk, facts: {member: true}, fillers: 0}}]',
        "call: [says: one two three four, {waits: , at: {tool_starts: check_member}}, hangs_up, waits]",
        "call: [{host_event: closing_time, expect: {phase: closed, ended: yes}}]",
        "settings: {caller_number: '+4930', starts_at: '2026-05-01 10:00', time_zone: Europe/Berlin}\ncall: [waits]",
        "call: [{stays_silent_ms: 60000, expect: {phase: closed}}]",
    ],
)
def test_a_conversation_goes_through_the_runtime_as_it_does_on_the_core(play: Play, call: str) -> None:
    outcome = play(call, instead=TALKS, schedules=3, runtime=2)
    assert outcome.failure is None, outcome.failure
    assert outcome.core.schedules == 3
    assert outcome.runtime.schedules == 2
    assert outcome.runtime.simulated_ms > 0


@pytest.mark.parametrize(
    ("fault", "expect"),
    [
        ("model_fails: 1", "hears: something went wrong"),
        ("model_fails: [1, 2]", "phase: person"),
        ("model_breaks_off: 2", "hears: [What can I do for you, something went wrong]"),
        ("model_stalls: 1", "hears: something went wrong"),
        ("transcript_fails: 1", "hears: say that again"),
        ("transcript_stalls: 1", "hears: say that again"),
        ("synthesis_fails: 2", "hears_not: What can I do for you"),
    ],
)
def test_what_goes_wrong_goes_wrong_on_both_levels(play: Play, fault: str, expect: str) -> None:
    call = f"faults: {{{fault}}}\ncall: [{{says: one two three four, expect: {{{expect}}}}}]"
    outcome = play(call, runtime=1)
    assert outcome.failure is None, outcome.failure
    assert outcome.runtime.schedules == 1


@pytest.mark.parametrize(
    "outcome", ["times_out: yes", "crashes: yes", "fails: it is closed", "takes_ms: 90000, result: 1"]
)
def test_a_tool_that_comes_to_nothing_does_so_on_both_levels(play: Play, outcome: str) -> None:
    instead = {"{calls: opening_hours}": "{calls: look_left}", "  book:": f"  look_left: {{{outcome}}}\n  book:"}
    call = "call: [says: one two three four, {says: Look left, expect: {hears: until six}}]"
    played = play(call, instead=instead, runtime=1)
    assert played.failure is None, played.failure


def test_a_fault_that_the_runtime_cannot_have_is_refused_where_it_stands(play: Play) -> None:
    call = "faults:\n  swap_fails: 1\ncall: [waits]"
    play(call)
    with pytest.raises(ScriptError, match=r"a\.call\.yaml:18: through the runtime no swap fails"):
        play(call, runtime=1)


def test_a_failure_through_the_runtime_says_so_and_what_has_to_be_late(desk: Flow) -> None:
    """The tools of one reply set the same fact, the one that is asked for last a moment later."""
    script = CallScript(
        "a race",
        (CallTurn(Says("one two three four")), CallTurn(Waits(), expect=Expect(facts={"side": "left"}))),
        model=lambda: ScriptedModel(
            {
                "hello": [ask_for("check_member", '{"code": "⟨code⟩"}')],
                "desk": [[*ask_for("look_right")[:-1], *ask_for("look_left")], say("Here you are.")],
            }
        ),
        tools={
            "check_member": {"member": True},
            "opening_hours": {"until": "six"},
            "look_right": After(100, {"side": "right"}),
            "look_left": After(105, {"side": "left"}),
        },
    )
    failure = CallPlayer(desk).play(script, runtime=40).failure
    assert failure is not None
    assert failure.level == "runtime"
    assert len(failure.deviations) < 10
    text = failure_text(failure, path=Path("a.call.yaml"), name="a race")
    assert "(through the runtime)" in text
    assert "it takes these to come late\n    arrival " in text
    assert f"--seed {failure.seed} --schedules 1 --runtime 1" in text


# --- known failures, replays -----------------------------------------------------------------------------------------


def test_a_conversation_that_is_known_to_fail_must_fail(play: Play) -> None:
    fails = "xfail: not mended yet\ncall: [{waits: , expect: {phase: desk}}]"
    assert play(fails).passed
    assert not play(fails.replace("desk", "hello")).passed


def test_a_failure_is_told_with_turn_expectation_and_time_line(play: Play) -> None:
    failure = play("call:\n  - says: one two three four\n    expect:\n      phase: hello").failure
    assert failure is not None
    told = failure_text(failure, path=Path("calls/a.call.yaml"), name="a call").splitlines()
    assert told[0].endswith("a.call.yaml:18: turn 1: says 'one two three four'")
    assert [line.split("  (")[0] for line in told[1:4]] == ["  phase", "    expected  hello", "    got       desk"]
    assert told[1].endswith("a.call.yaml:20)")
    shown = "\n".join(told)
    for line in (
        "caller   ⟨code#1: 4 digits⟩ (c1)",
        "model    asks for check_member",
        "phase    desk",
        "agent    What",
    ):
        assert line in shown
    assert told[-1] == """  again: voiceagent test calls/a.call.yaml -k '"a call"' --seed 0 --schedules 1"""


@pytest.fixture
def fickle(desk: Flow) -> Iterator[Flow]:
    """The agent, with an intent of its own that says something else every time it is asked: no function may do that."""
    times = itertools.count()
    fickle = Transition(on=Requested(name="leave", description="They go."), to="closed", when=lambda _: not next(times))
    hello = desk.by_name["hello"]
    phases = tuple(
        phase.model_copy(update={"transitions": (fickle, *hello.transitions)}) if phase is hello else phase
        for phase in desk.phases
    )
    parts: dict[str, Any] = {name: getattr(desk, name) for name in Flow.model_fields}
    return Flow(**parts | {"phases": phases})


@pytest.mark.parametrize("runtime", [0, 1])
@pytest.mark.parametrize("xfail", [None, "it is known to be rude"])
def test_a_journal_that_replays_otherwise_is_a_failure_of_the_best_known_call(
    fickle: Flow, runtime: int, xfail: str | None
) -> None:
    rude = Expect(hears=("Please", "come in")) if xfail else Expect()
    script = CallScript(
        "a call",
        (CallTurn(Waits()), CallTurn(Says("I want to leave."), expect=rude)),
        model=lambda: ScriptedModel({"hello": [ask_for("leave"), say("Stay.")]}),
        xfail=xfail,
    )
    outcome = CallPlayer(fickle).play(script, runtime=runtime)
    assert outcome.failure is not None
    assert not outcome.passed
    assert outcome.failure.mismatches[0].what == "the journal"
    assert CallResult.of(outcome, Path("a.call.yaml")).status == "failed"


@pytest.mark.parametrize("level", ["core", "runtime"])
def test_a_deadline_that_nothing_is_done_about_is_a_failure_and_no_hang(
    desk: Flow, monkeypatch: pytest.MonkeyPatch, level: Level
) -> None:
    from voiceagent.core.conversation import Conversation

    monkeypatch.setattr(Conversation, "deadline_ms", property(lambda _: 70))
    call = CallPlayer(desk).place(CallScript("a call", (CallTurn(Waits()),)), level, 0)
    with pytest.raises(TimeStandsStill, match="took no time"):
        call.start()
    call.close()


def test_a_defect_of_the_core_is_a_failure_with_its_place(desk: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    from voiceagent.core.conversation import Conversation

    def broken(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(Conversation, "_leg_attached", broken)
    failure = CallPlayer(desk).play(CallScript("a call", (CallTurn(Waits()),))).failure
    assert failure is not None
    assert failure.mismatches[0].got.startswith("KeyError: 'lost', at ")
