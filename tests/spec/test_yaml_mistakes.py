"""Whatever is wrong with a flow in YAML is told in one line, with file, line and the nearest name that exists."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.errors import PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.yaml_files import MAX_FLOW_BYTES, read_files

Library = Callable[..., Path]


def complaint(folder: Path) -> str:
    """Load an agent that cannot be loaded; return what is said, with the place as seen from its folder."""
    with pytest.raises(PhaseError) as refusal:
        load_flow(folder)
    said = str(refusal.value)
    assert "\n" not in said
    return said.replace(f"{folder}/", "")


MISTAKES = {
    "a key that does not exist": (
        {"flow": {"initial: card": "intial: card"}},
        "flow.yaml:3: unknown key 'intial'; did you mean 'initial'?",
    ),
    "a key that does not exist, deep inside": (
        {"card": {"ask: What": "aks: What"}},
        "card.yaml:27: unknown key 'aks'; did you mean 'ask'?",
    ),
    "a key that is written twice": (
        {"flow": {"initial: card": "initial: card\ninitial: desk"}},
        "flow.yaml:4: the key 'initial' stands here twice",
    ),
    "a key that is missing": (
        {"card": {"to: loans": "say: Hello"}},
        "card.yaml:9: Transition: the key 'to' is missing",
    ),
    "a text where a number belongs": (
        {"flow": {"max_turns: 50": "max_turns: fifty"}},
        "flow.yaml:41: max_turns: Input should be a valid integer",
    ),
    "a number in quotes": (
        {"flow": {"max_turns: 50": 'max_turns: "50"'}},
        "flow.yaml:41: max_turns: Input should be a valid integer",
    ),
    "a number where a text belongs": (
        {"flow": {'{pressed: "0"}': "{pressed: 0}"}},
        "flow.yaml:35: digits: Input should be a valid string",
    ),
    "a key that no telephone has": (
        {"flow": {"{say: Goodbye.}": "{press: 12x}"}},
        "flow.yaml:30: digits: String should match pattern '^([0-9*#A-D]{1,32}|.*\\{\\{.+)$'",
    ),
    "a word that is neither true nor false": (
        {"card": {"sensitive: true": "sensitive: yes"}},
        "card.yaml:4: sensitive: Input should be a valid boolean",
    ),
    "a number out of bounds": (
        {"flow": {"patience_ms: 600": "patience_ms: 6"}},
        "flow.yaml:16: patience_ms: Input should be greater than or equal to 100",
    ),
    "a text where a list belongs": (
        {"card": {"tools: [tools:check_card]": "tools: tools:check_card"}},
        "card.yaml:3: tools: a list is expected here",
    ),
    "nothing where a list belongs": (
        {"card": {"tools: [tools:check_card]": "tools:"}},
        "card.yaml:3: tools: a list is expected here",
    ),
    "nothing where a declaration belongs": (
        {"flow": {"limits:\n  max_turns: 50": "limits:"}},
        "flow.yaml:40: keys and values are expected here: max_call_ms, max_turns",
    ),
    "a list where keys belong": (
        {"flow": {"limits:\n  max_turns: 50": "limits: [50]"}},
        "flow.yaml:40: keys and values are expected here: max_call_ms, max_turns",
    ),
    "a text where a mapping of texts belongs": (
        {"card": {"failures:\n    check_card: I cannot": "failures: I cannot"}},
        "card.yaml:32: failures: keys and values are expected here",
    ),
    "an item that does not fit": (
        {"talk": {"- that is all": "- that is all\n    - 5"}},
        "talk.yaml:6: examples: Input should be a valid string",
    ),
    "a trigger that does not exist": (
        {"flow": {"on: silent": "on: silnet"}},
        "flow.yaml:36: on: there is no 'silnet'; did you mean 'silent'?",
    ),
    "a trigger with values that does not exist": (
        {"flow": {"{host_signals: closing_time}": "{host_signal: closing_time}"}},
        "flow.yaml:38: on: there is no 'host_signal'; did you mean 'host_signals'?",
    ),
    "a trigger like no other": (
        {"flow": {"on: silent": "on: [silent]"}},
        "flow.yaml:36: on: there are: tool_succeeds, tool_fails,",
    ),
    "two triggers": (
        {"flow": {"on: silent": 'on: {silent: {}, pressed: "1"}'}},
        "flow.yaml:36: on: one of silent, pressed is too many",
    ),
    "a trigger that is a number": (
        {"flow": {"on: silent": "on: 5"}},
        "flow.yaml:36: on: there are: tool_succeeds, tool_fails,",
    ),
    "an end that does not exist": (
        {"flow": {"ends: hang_up_after": "ends: hangup"}},
        "flow.yaml:31: ends: there is no 'hangup'; did you mean 'hang_up_after'?",
    ),
    "an expectation that does not exist": (
        {"card": {"- digits: {name": "- digit: {name"}},
        "card.yaml:7: expects: there is no 'digit'; did you mean 'digits'?",
    ),
    "a word out of a closed list": (
        {"flow": {"carry: {last_messages: 4}": "carry: facts_olny"}},
        "flow.yaml:14: carry: there is no 'facts_olny'; did you mean 'facts_only'?",
    ),
    "a name that cannot be one": (
        {"card": {"name: card": "name: The Card"}},
        "card.yaml:1: name: a phase name is lower case letters, digits and underscores, at most 64",
    ),
    "a name with a line's end in it": (
        {"card": {"name: card": 'name: "card\\n"'}},
        "card.yaml:1: name: a phase name is lower case letters, digits and underscores, at most 64",
    ),
    "an intent that does nothing": (
        {"talk": {"say: Of course, take your time.\n ": ""}},
        "talk.yaml:1: Intent: an intent needs `does` or `say`",
    ),
    "a guard that is none": (
        {"card": {"when: {recognised: true, owes: {le: 5, ge: 0}}": "when: recognised"}},
        "card.yaml:11: a guard is written as `fact: value` or `fact: {operator: value}`",
    ),
    "a guard that would permit everything": (
        {"card": {"when: {recognised: true, owes: {le: 5, ge: 0}}": "when: {}"}},
        "card.yaml:11: an empty guard would permit everything",
    ),
    "alternatives that are no list": (
        {"card": {"when: {recognised: true, owes: {le: 5, ge: 0}}": "when: {any_of: recognised}"}},
        "card.yaml:11: guard: 'any_of' takes a list of guards",
    ),
    "alternatives with company": (
        {"card": {"when: {recognised: true, owes: {le: 5, ge: 0}}": "when: {any_of: [{owes: 1}], recognised: true}"}},
        "card.yaml:11: guard: 'any_of' stands alone",
    ),
    "a guard that is left empty": (
        {"card": {"when: {recognised: true, owes: {le: 5, ge: 0}}": "when:"}},
        "card.yaml:11: a guard is written as `fact: value` or `fact: {operator: value}`",
    ),
    "a predicate that is none": (
        {"flow": {"when: tools:is_late": "when: tools:__name__"}},
        "flow.yaml:38: 'tools:__name__' is not a function over facts",
    ),
    # --- code ---
    "a tool that does not exist": (
        {"card": {"[tools:check_card]": "[tools:chekc_card]"}},
        "card.yaml:3: 'tools:chekc_card': 'tools' has no 'chekc_card'; did you mean 'check_card'?",
    ),
    "a module that does not exist": (
        {"card": {"[tools:check_card]": "[tool:check_card]"}},
        "card.yaml:3: 'tool:check_card': there is no module 'tool' in the agent's folder; did you mean 'tools'?",
    ),
    "a tool without its module": (
        {"card": {"[tools:check_card]": "[check_card]"}},
        "card.yaml:3: a tool is named `module:function`, not 'check_card'",
    ),
    "a function that is no tool": (
        {"card": {"[tools:check_card]": "[tools:is_late]"}},
        "card.yaml:3: 'tools:is_late' is not a tool: it lacks the decorator @tool",
    ),
    "an exception in a module": (
        {"tools": {"def is_late": "1 / 0\n\n\ndef is_late"}},
        "tools.py:17: ZeroDivisionError: division by zero",
    ),
    "a syntax error in a module": (
        {"tools": {"def is_late": "def def is_late"}},
        "tools.py:17: syntax error: invalid syntax",
    ),
    # --- facts ---
    "facts that are a list": (
        {"flow": {"facts:\n": "facts: [recognised]\nunused:\n"}},
        "flow.yaml:5: unknown key 'unused'",
    ),
    "a fact of an unknown type": (
        {"flow": {"reader_id: text": "reader_id: txet"}},
        "flow.yaml:6: the fact 'reader_id': there is no type 'txet'; did you mean 'text'?",
    ),
    "a fact without a type": (
        {"flow": {"{type: decimal, default: 0}": "{default: 0}"}},
        "flow.yaml:8: the fact 'owes' needs either `type` or `one_of`",
    ),
    "a fact with a misspelt key": (
        {"flow": {"{type: decimal, default: 0}": "{type: decimal, defualt: 0}"}},
        "flow.yaml:8: the fact 'owes': unknown key 'defualt'; did you mean 'default'?",
    ),
    "a default of another type": (
        {"flow": {"{type: boolean, default: false}": "{type: boolean, default: no}"}},
        "flow.yaml:5: the fact 'recognised': default: Input should be a valid boolean",
    ),
    "choices that are no list": (
        {"flow": {"{one_of: [elmham, dereham]}": "{one_of: elmham}"}},
        "flow.yaml:7: the fact 'branch': `one_of` is a list of texts",
    ),
    "a fact with the name of a method": (
        {"flow": {"reader_id: text": "known: text"}},
        "flow.yaml:6: a fact cannot be called 'known': facts have a method of that name",
    ),
    "a fact whose name cannot be one": (
        {"flow": {"reader_id: text": "Reader Id: text"}},
        "flow.yaml:6: the fact 'Reader Id': a name is lower case letters",
    ),
    # --- files ---
    "an included file that does not exist": (
        {"flow": {"include: card.yaml": "include: crad.yaml"}},
        "flow.yaml:11: there is no file 'crad.yaml'; did you mean 'card.yaml'?",
    ),
    "files that include one another": (
        {"talk": {"- does: finish": "- include: card.yaml\n- does: finish"}},
        "talk.yaml:3: files include one another in a circle: card.yaml → talk.yaml → card.yaml",
    ),
    "an included file outside of the folder": (
        {"flow": {"include: card.yaml": "include: ../../../etc/passwd"}},
        "flow.yaml:11: '../../../etc/passwd' leads out of the agent's folder",
    ),
    "an included file of an impossible name": (
        {"flow": {"include: card.yaml": 'include: "card\\0.yaml"'}},
        "flow.yaml:11: no file can be called 'card\\x00.yaml'",
    ),
    "an included file of an endless name": (
        {"flow": {"include: card.yaml": f"include: {'a' * 300}"}},
        "flow.yaml:11: no file can be called 'aaa",
    ),
    "an include with company": (
        {"flow": {"- include: card.yaml": "- include: card.yaml\n    name: card"}},
        "flow.yaml:11: 'include' stands alone: it cannot be mixed with name",
    ),
    "an include of nothing": (
        {"flow": {"include: card.yaml": "include: [card.yaml]"}},
        "flow.yaml:11: 'include' needs the name of a file",
    ),
    # --- YAML ---
    "no YAML": (
        {"card": {"tools: [tools:check_card]": "tools: [tools:check_card"}},
        "card.yaml:4: is not YAML: expected ',' or ']', but got ':'",
    ),
    "a tag that runs code": (
        {"card": {"name: card": "name: !!python/object/apply:os.system [ls]"}},
        "card.yaml:1: tags (!!python/object/apply:os.system) are not allowed",
    ),
    "an alias": (
        {"flow": {"name: library": "name: &name library\nvoice: *name"}},
        "flow.yaml:3: aliases (*name) are not allowed",
    ),
    "two documents": (
        {"flow": {"initial: card": "---\ninitial: card"}},
        "flow.yaml:3: is not YAML: but found another document",
    ),
    "a number of ten thousand digits": (
        {"flow": {"max_turns: 50": f"max_turns: {'9' * 10_000}"}},
        "flow.yaml:41: max_turns: Input should be a valid integer",
    ),
    "nesting without end": (
        {"flow": {"max_turns: 50": f"max_turns: {'[' * 10_000}"}},
        "flow.yaml:41: is nested more than 16 deep",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_with_its_place(mistake: str, library: Library) -> None:
    changed, said = MISTAKES[mistake]
    assert complaint(library(**changed)).startswith(said)


def test_an_alias_bomb_is_refused_before_it_unfolds(library: Library) -> None:
    folder = library()
    rows = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    (folder / "flow.yaml").write_text("\n".join(rows))
    assert complaint(folder) == "flow.yaml:2: aliases (*name) are not allowed"


def test_an_include_bomb_is_refused_before_it_unfolds(library: Library) -> None:
    folder = library()
    (folder / "flow.yaml").write_text("phases:\n  - include: b1.yaml\n")
    for number in range(1, 30):
        (folder / f"b{number}.yaml").write_text(f"- include: b{number + 1}.yaml\n" * 10)
    (folder / "b30.yaml").write_text("- name: card\n")
    assert complaint(folder).endswith("the flow includes more than 2000 files")


def test_the_size_of_a_file_counts_as_often_as_it_is_included(library: Library) -> None:
    folder = library()
    (folder / "big.yaml").write_text(f"- {'a' * 300_000}\n")
    (folder / "flow.yaml").write_text("phases:\n" + "  - include: big.yaml\n" * 4)
    assert complaint(folder) == "flow.yaml:5: the flow is larger than 1024 KiB, with all that it includes"


def test_a_link_that_leads_to_itself_is_no_file(library: Library) -> None:
    folder = library(flow={"include: card.yaml": "include: round.yaml"})
    (folder / "round.yaml").symlink_to("round.yaml")
    # Until Python 3.13 to resolve such a link is an error, since then it is a file that is not there.
    no_file = ("flow.yaml:11: no file can be called 'round.yaml'", "flow.yaml:11: there is no file 'round.yaml'")
    assert complaint(folder).startswith(no_file)


def test_what_is_no_file_is_not_proposed(library: Library) -> None:
    folder = library(flow={"include: card.yaml": "include: rooms.yaml"})
    (folder / "room.yaml").mkdir()
    said = complaint(folder)
    assert said.startswith("flow.yaml:11: there is no file 'rooms.yaml'")
    assert "'room.yaml'" not in said


def test_a_file_of_nothing_but_commas_is_not_looked_at_to_its_end(library: Library) -> None:
    folder = library()
    (folder / "flow.yaml").write_text(f"name: library\nphases: [{'a,' * 100_001}]")
    assert complaint(folder) == "flow.yaml:2: holds more than 100000 values"


def test_a_flow_of_unreasonable_size_is_not_read(library: Library) -> None:
    folder = library()
    (folder / "flow.yaml").write_text("#" * (MAX_FLOW_BYTES + 1))
    assert complaint(folder) == "flow.yaml: the flow is larger than 1024 KiB, with all that it includes"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "flow.yaml: is empty"),
        (b"name: a\nvoice: \xff\xfe\n", "flow.yaml:2: is not UTF-8 text"),
        (b"name: \x00", "flow.yaml:1: is not YAML: it has the character #x0000"),
        (b"name: a\nvoice: \x07\n", "flow.yaml:2: is not YAML: it has the character #x0007"),
        (b'name: "\\ud800"', "flow.yaml:1: holds half a character"),
        (b"just text", "flow.yaml:1: keys and values are expected here: name, initial, phases"),
        (b"{}", "flow.yaml:1: Flow: the key 'name' is missing"),
        (b"? [a]\n: b\n", "flow.yaml:1: a key must be text"),
    ],
)
def test_what_is_no_flow_at_all_is_told_too(library: Library, content: bytes, said: str) -> None:
    folder = library()
    (folder / "flow.yaml").write_bytes(content)
    assert complaint(folder).startswith(said)


@given(st.text(max_size=200) | st.text("[]{}:-&*!|>'\"#% \nab?,", max_size=200))
def test_whatever_stands_in_a_file_only_an_authors_error_comes_of_it(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "anything.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(PhaseError):
        read_files(file.parent, file.name)
