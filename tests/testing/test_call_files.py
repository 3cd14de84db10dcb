"""A file of conversations is read whole before anything is played; every mistake in it has a file and a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.errors import AuthorError, ScriptError
from voiceagent.testing import (
    AfterPause,
    CallFile,
    CallFiles,
    CallPlayer,
    Coughs,
    DuringAnswer,
    DuringFiller,
    Expect,
    ExpectedCall,
    HangsUp,
    HostSays,
    MakesNoise,
    Presses,
    Range,
    Says,
    StaysSilent,
    Waits,
    WhenHeard,
    WhenToolStarts,
)
from voiceagent.testing.call_rows import ExpectRow

Read = Callable[..., CallFile]
Mistake = Callable[..., str]

EVERYTHING = """
agent: desk
settings:
  seed: 3
  caller_number: "+442079460000"
  time_zone: Europe/Berlin
  starts_at: 2026-03-01T09:00
  first_token_ms: 400
model: guided
faults: {model_fails: 7..9, swap_fails: [8, 9], model_stalls: 6}
tools:
  opening_hours:
    - {given: {day: sunday}, fails: we are closed}
    - {run: 2, takes_ms: 300..900, result: {until: 18, late: false, none: null, text: "18"}}
    - {times_out: yes}
  book: {crashes: yes}
conversations:
  - name: everything
    xfail: not mended yet
    call:
      - waits
      - says: one … two
        lasting_ms: 900
      - presses: 12#
        at: {heard: your code}
      - stays_silent_ms: 500
        at: {answer_ms: 100}
      - coughs:
        at: {filler_ms: 100}
      - makes_noise_ms: 900
        at: {tool_starts: book}
      - host_event: closing_time
        at: {after_ms: 50}
      - hangs_up:
        expect:
          phase: desk
          phases: [hello, desk]
          hears: Hello
          hears_not: [no, nay]
          hears_matching: "h.llo"
          calls: [opening_hours, {book: {seats: 2}}]
          calls_not: look_left
          facts: {member: true}
          fillers: 0..2
          filler_after_ms: 800..900
          within_ms: 1500
          longest_silence_ms: 3000
          interrupts_caller: no
          prefetch_hits: 1
          prefetch_joins: 0
          tokens_at_most: 500
          history: "agent: Hello"
          history_not: secret
          offered: [book, person]
          offered_not: check_member
          presses: 12#
          ended: yes
          transferred_to: office
    in_the_end: {phase: desk}
  - name: nothing much
    tools: {opening_hours: {result: {until: six}}}
    call: [waits]
"""


def test_everything_can_be_written(read: Read) -> None:
    everything, nothing = read(EVERYTHING).scripts
    assert [turn.act for turn in everything.turns] == [
        Waits(),
        Says("one … two", 900),
        Presses("12#"),
        StaysSilent(500),
        Coughs(),
        MakesNoise(900),
        HostSays("closing_time"),
        HangsUp(),
    ]
    assert [turn.at for turn in everything.turns] == [
        None,
        None,
        WhenHeard("your code"),
        DuringAnswer(100),
        DuringFiller(100),
        WhenToolStarts("book"),
        AfterPause(50),
        None,
    ]
    assert (everything.seed, everything.caller_number, everything.xfail) == (3, "+442079460000", "not mended yet")
    assert everything.unix_ms == 1_772_352_000_000, "nine o'clock in Berlin"
    assert everything.timing.first_token_ms == 400
    faults = everything.faults
    assert (faults.model_fails, faults.swap_fails, faults.model_stalls) == ((7, 8, 9), (8, 9), (6,))
    assert everything.model is None
    assert [turn.source.line for turn in everything.turns if turn.source] == [21, 22, 24, 26, 28, 30, 32, 34]
    assert nothing.name == "nothing much"


def test_every_expectation_can_be_written_and_none_is_forgotten(read: Read) -> None:
    expect = read(EVERYTHING).scripts[0].turns[-1].expect
    untouched = Expect()
    for key in ExpectRow.model_fields:
        assert getattr(expect, key) != getattr(untouched, key), key
    assert expect.calls == (ExpectedCall("opening_hours"), ExpectedCall("book", {"seats": 2}))
    assert expect.fillers == Range(0, 2)
    assert expect.lines["fillers"].line == 44


def test_results_are_json_and_quoted_numbers_are_text(read: Read) -> None:
    answers = read(EVERYTHING).scripts[0].tools["opening_hours"].answers  # pyright: ignore[reportAttributeAccessIssue] - a file makes ToolAnswers
    assert answers[1].result == {"until": 18, "late": False, "none": None, "text": "18"}
    assert answers[1].takes_ms == Range(300, 900)


def test_a_tool_that_times_out_takes_its_time_and_a_write_is_then_unknown(read: Read) -> None:
    tools = read(EVERYTHING).scripts[0].tools
    slow = tools["opening_hours"].answers[2]  # pyright: ignore[reportAttributeAccessIssue] - a file makes ToolAnswers
    assert (slow.failure, str(slow.result), slow.takes_ms) == ("timed_out", "it took too long", Range(10_000, 10_000))
    crashed = tools["book"].answers[0]  # pyright: ignore[reportAttributeAccessIssue] - a file makes ToolAnswers
    assert crashed.failure == "unknown"
    assert "not known" in str(crashed.result)


def test_a_conversation_has_the_last_word_then_its_file_then_what_the_file_includes(read: Read) -> None:
    file = read(
        """
include: outer
conversations:
  - {name: own, call: [waits], tools: {look_left: {result: own}}}
  - {name: shared, call: [waits]}
""".replace("outer", "world_outer.yaml"),
        world_outer="include: world_inner.yaml\nagent: desk\ntools: {look_left: {result: outer}}",
        world_inner="tools: {look_left: {result: inner}, look_right: {result: inner}}",
    )
    told = {
        script.name: [script.tools[tool].answers[0].result for tool in ("look_left", "look_right")]  # pyright: ignore[reportAttributeAccessIssue] - a file makes ToolAnswers
        for script in file.scripts
    }
    assert told == {"own": ["own", "inner"], "shared": ["outer", "inner"]}


def test_an_agent_is_loaded_once_however_many_files_call_it(read: Read) -> None:
    text = "agent: desk\nname: a call\ncall: [waits]"
    assert read(text).flow is read(text).flow


# --- mistakes --------------------------------------------------------------------------------------------------------

CALL = "name: a call\ncall:\n"
LONG = "x" * 5_000
"""A name that no disk knows."""
MISTAKES = {
    # the file
    "name: a call\ncall: [waits]": "1: the key 'agent' is missing: which agent is called?",
    "agent: desc\nname: a call\ncall: [waits]": "1: there is no agent 'desc'; did you mean 'desk'?",
    "agent: desk": "1: there is no conversation in this file: write call, or conversations",
    "agent: desk\ncall: [waits]": "1: the key 'name' is missing",
    "agent: desk\nname: a\ncall: [waits]\nconversations: [{name: b, call: [waits]}]": "4: a file has either",
    "agent: desk\nname: a\nconversations: [{name: b, call: [waits]}]": "2: 'name' belongs into one of the",
    "agent: desk\nconversations:\n- {name: b, call: [waits]}\n- {name: b, call: [waits]}": "4: there are two",
    "agent: desk\ntool: {}": "2: unknown key 'tool'; did you mean 'tools'?",
    "agent: desk\ncall: waits": "2: call: a list is expected here",
    "agent: desk\nname: &a x": "",
    "agent: !!python/object/apply:os.system [ls]": "1: tags (!!python/object/apply:os.system) are not allowed",
    "agent: [": "1: is not YAML",
    "": " is empty",
    "agent: desk\ninclude: nowhere.yaml": "2: there is no file 'nowhere.yaml' to include",
    # settings, model, faults
    'agent: desk\ninclude: "nowhere\\0.yaml"': "2: there is no file 'nowhere\\x00.yaml' to include",
    f"agent: desk\ninclude: {LONG}": "2: there is no file 'xxx",
    f"agent: {LONG}\nname: a call\ncall: [waits]": "1: there is no agent 'xxx",
    f"agent: desk\nmodel:\n  cassette: {LONG}": "3: there is no cassette 'xxx",
    "agent: desk\nsettings: 5": "2: keys are expected here, written `key: value`",
    "agent: desk\nsettings: {sed: 1}": "2: unknown key 'sed'; did you mean 'seed'?",
    "agent: desk\nsettings: {seed: one}": "2: seed: Input should be a valid integer",
    "agent: desk\nsettings:\n  time_zone: Berlin": "3: there is no time zone 'Berlin'",
    "agent: desk\nsettings:\n  starts_at: noon": "3: starts_at: Input should be a valid datetime",
    "agent: desk\nsettings:\n  starts_at: 0001-01-01": "3: starts_at: a year from 1980 to 2200",
    "agent: desk\nmodel: guidde": "2: there is no model 'guidde': write guided; did you mean 'guided'?",
    "agent: desk\nmodel: {lines: {}, rules: []}": "2: a model has one of: lines, rules, cassette",
    "agent: desk\nmodel:\n  lines:\n    helo: Hi": "4: there is no phase 'helo' in this agent; did",
    "agent: desk\nmodel:\n  lines:\n    desk: [{calls: bok}]": "4: there is no tool or move 'bok'",
    "agent: desk\nmodel:\n  rules:\n  - {caller_says: '(', says: Hm}": "4: caller_says: not a regular",
    "agent: desk\nmodel:\n  rules:\n  - {after_tool: bok, says: Hm}": "4: there is no tool or move 'bok'",
    "agent: desk\nfaults:\n  model_fail: 1": "3: unknown key 'model_fail'; did you mean 'model_fails'?",
    "agent: desk\nfaults:\n  model_fails: 0": "3: model_fails.0: Input should be greater than or equal to 1",
    # tools
    "agent: desk\ntools:\n  bok: {result: 1}": "3: there is no tool 'bok' in this",
    "agent: desk\ntools:\n  book: {}": "3: an answer has one of: result, fails, times_out, crashes; nothing",
    "agent: desk\ntools:\n  book: {result: 1, fails: no}": "3: an answer has one of: result, fails, times_out",
    "agent: desk\ntools:\n  book: {given: {seat: 1}, result: 1}": "3: book has no argument 'seat'; did you mean",
    "agent: desk\ntools:\n  book: {given: two, result: 1}": "3: arguments are written `name: value`",
    "agent: desk\ntools:\n  book: {takes_ms: 9..1, result: 1}": "3: takes_ms: a number such as 300",
    "agent: desk\ntools:\n  book: {result: {booked: '{{ seat }}'}}": "3: book has no argument 'seat'; did you",
    "agent: desk\ntools:\n  book: {result: ['{{ seats']}": "3: template cannot be read: `{{` is never closed",
    "agent: desk\ntools:\n  book: {result: '{{ seats | loud }}'}": "3: template cannot be read: No filter named 'loud'",
    "agent: desk\ntools:\n  book: {takes_ms: 5, times_out: yes}": "3: book times out after its own 10000 ms",
}
TURNS = {
    "- sais: hi": "4: unknown turn 'sais'; did you mean 'says'?",
    "- {at: {heard: x}}": "4: nobody acts; a turn is one of: says, presses",
    "- [waits]": "4: a turn is one of: says, presses",
    "- {says: hi, presses: 1}": "4: says and presses are two turns: give each its own dash",
    "- presses: one": "4: presses: String should match pattern",
    "- stays_silent_ms: a while": "4: stays_silent_ms: Input should be a valid integer",
    "- host_event: closing": "4: there is no host event 'closing' in this agent",
    "- {says: hi, at: {herd: x}}": "4: unknown key 'herd'; did you mean 'heard'?",
    "- {says: hi, at: {heard: x, after_ms: 3}}": "4: a moment is one of: heard, answer_ms",
    "- {says: hi, at: {tool_starts: bok}}": "4: there is no tool 'bok' in this",
    "- says: hi\n  expect:\n    phase: desc": "6: there is no phase 'desc' in this agent; did you mean 'desk'?",
    "- says: hi\n  expect:\n    phases: [hello, desc]": "6: there is no phase 'desc'",
    "- says: hi\n  expect:\n    calls: bok": "6: there is no tool 'bok'",
    "- says: hi\n  expect:\n    calls: [{book: {seat: 1}}]": "6: book has no argument 'seat'; did you mean 'seats'?",
    "- says: hi\n  expect:\n    calls: [[book]]": "6: a call is a tool, or one tool with its arguments",
    "- says: hi\n  expect:\n    calls_not: bok": "6: there is no tool 'bok'",
    "- says: hi\n  expect:\n    offered: bok": "6: there is no tool or move 'bok'",
    "- says: hi\n  expect:\n    facts: {membr: true}": "6: there is no fact 'membr' in this agent; did",
    "- says: hi\n  expect:\n    transferred_to: ofice": "6: there is no transfer target 'ofice' in this agent; did you",
    "- says: hi\n  expect:\n    hears_matching: '('": "6: hears_matching.0: not a regular expression",
    "- says: hi\n  expect:\n    hears: '…'": "6: hears.0: there is no word in this that could be heard",
    "- {says: hi, at: {heard: '?'}}": "4: heard: there is no word in this",
    "- says: hi\n  expect:\n    fillers: some": "6: fillers: a number such as 300",
    "- says: hi\n  expect: {hears: one, two}": "5: unknown key 'two'",
    "- says: hi\n  expect: {hears: one, two three}": "5: unknown key 'two three'; inside { } a text with a comma",
    "- says: hi\n  expect: {hears: who? me}": "",
    "- says: hi\nin_the_end:\n  within_ms: 5": "6: within_ms is counted from the caller's words",
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_a_mistake_is_told_in_one_line_with_its_place(mistake: Mistake, text: str, said: str) -> None:
    if "agent: desk\n" in text and "call" not in text:
        text = f"{text}\nname: a call\ncall: [waits]"
    told = mistake(text)
    assert told.startswith(f"a.call.yaml:{said}")
    assert "\n" not in told


@pytest.mark.parametrize(("turn", "said"), TURNS.items(), ids=range(len(TURNS)))
def test_a_mistake_in_a_turn_is_told_in_one_line_with_its_place(mistake: Mistake, turn: str, said: str) -> None:
    told = mistake(f"agent: desk\n{CALL}{turn}")
    assert told.startswith(f"a.call.yaml:{said}")
    assert "\n" not in told


def test_a_file_that_includes_itself_is_told_with_the_way_round(mistake: Mistake) -> None:
    told = mistake(
        "include: ring_one.yaml\n" + CALL + "- waits",
        ring_one="include: ring_two.yaml",
        ring_two="include: ring_one.yaml",
    )
    assert told == "ring_two.yaml:1: the file includes itself: ring_one.yaml → ring_two.yaml → ring_one.yaml"


def test_files_that_include_each_other_again_and_again_are_read_once(read: Read) -> None:
    files = {
        f"twice_{depth}_{side}": f"include: [twice_{depth + 1}_a.yaml, twice_{depth + 1}_b.yaml]"
        for depth in range(14)
        for side in "ab"
    }
    last = {f"twice_14_{side}": f"settings: {{first_token_ms: {ms}}}" for side, ms in (("a", 10), ("b", 20))}
    text = f"agent: desk\ninclude: twice_0_a.yaml\n{CALL}- waits"
    assert read(text, **files, **last).scripts[0].timing.first_token_ms == 20


def test_files_are_not_included_without_end(mistake: Mistake) -> None:
    files = {f"deeper_{depth}": f"include: deeper_{depth + 1}.yaml" for depth in range(1_500)}
    told = mistake(f"agent: desk\ninclude: deeper_0.yaml\n{CALL}- waits", **files)
    assert told == "deeper_15.yaml:1: files are included more than 16 deep"


def test_an_agent_whose_flow_is_in_yaml_is_called_like_any_other(place: Path) -> None:
    folder = place / "phases" / "written"
    folder.mkdir()
    (folder / "flow.yaml").write_text(
        "name: written\ninitial: hello\nphases:\n"
        "  - {name: hello, on_enter: {say: Hello from the written desk.}, ends: {hang_up_after: {}}}"
    )
    path = place / "written.call.yaml"
    path.write_text(f"agent: written\n{CALL}- waits:\n  expect: {{hears: the written desk, ended: yes}}")
    file = CallFiles().read(path)
    assert CallPlayer(file.flow).play(file.scripts[0], runtime=1).passed


def test_what_is_included_holds_no_conversation_of_its_own(mistake: Mistake) -> None:
    told = mistake("include: talk.yaml\n" + CALL + "- waits", talk="agent: desk\n" + CALL + "- waits")
    assert told == "talk.yaml:2: a file with 'name' cannot be included"


def test_a_file_of_a_megabyte_is_refused_unread(mistake: Mistake) -> None:
    assert mistake("# " + "x" * 1_100_000) == "a.call.yaml: is larger than 256 KiB"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"nowhere.call.yaml: cannot be read: No such file"):
        CallFiles().read(tmp_path / "nowhere.call.yaml")


def test_an_agent_that_cannot_be_loaded_is_told_with_its_own_place(place: Path) -> None:
    broken = place / "phases" / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "__init__.py").write_text("FLOW = 1 +\n")
    path = place / "broken.call.yaml"
    path.write_text("agent: broken\nname: a call\ncall: [waits]")
    with pytest.raises(AuthorError, match=r"broken/__init__.py:1: syntax error"):
        CallFiles().read(path)


TEXT = st.text(st.sampled_from("abc: -[]{}\n\"'?,&*!#|>%@`"), max_size=60)


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_whatever_is_written_is_read_or_refused(place: Path, reader: CallFiles, text: str) -> None:
    path = place / "any.call.yaml"
    path.write_text(f"agent: desk\nname: a call\ncall:\n- {text}")
    try:
        reader.read(path)
    except AuthorError as exc:
        assert "any.call.yaml" in str(exc)  # noqa: PT017 - what is not refused is read
