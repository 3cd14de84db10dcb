"""What has changed between two versions of an agent, and that nothing has only where the hashes are the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceagent.runtime.loader import load_flow
from voiceagent.spec.difference import Change, differences
from voiceagent.spec.flow import Flow

Library = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]


def changes(before: Flow, after: Flow) -> list[tuple[str, str, object, object]]:
    """Return what has changed as `phase loans`, what, before, after."""
    return [(f"{one.of} {one.name}", one.what, one.before, one.after) for one in differences(before, after)]


RENEWING = (
    "Tell the reader which books they have. Renew {} only if they ask for it by its title.\n\n---\n"
    "The reader's branch is {{{{ branch }}}}."
)

# --- what has changed ------------------------------------------------------------------------------------------------

EDITS = {
    "a limit": (
        {"flow": {"max_turns: 50": "max_turns: 40"}},
        [("flow library", "limits.max_turns", 50, 40)],
    ),
    "a phrase of the framework": (
        {"flow": {"apology: Sorry": "apology: Oh"}},
        [("flow library", "phrases.apology", "Sorry, the catalogue is down.", "Oh, the catalogue is down.")],
    ),
    "what a fact is at first": (
        {"flow": {"{type: boolean, default: false}": "{type: boolean, default: true}"}},
        [("flow library", "facts.properties.recognised.default", False, True)],
    ),
    "where a transition of every phase leads": (
        {"flow": {"{on: silent, to: bye}": "{on: silent, to: desk}"}},
        [
            ("flow library", "transition", "silent → bye", None),
            ("flow library", "transition", None, "silent → desk"),
        ],
    ),
    "the trigger of a transition": (
        {"flow": {"{on: silent, to": "{on: voice_fails, to"}},
        [
            ("flow library", "transition", "silent → bye", None),
            ("flow library", "transition", None, "voice fails → bye"),
        ],
    ),
    "the order of transitions": (
        {
            "flow": {
                "  - {on: silent, to: bye}\n": "",
                "stood, to: desk}\n": "stood, to: desk}\n  - {on: silent, to: bye}\n",
            }
        },
        [
            (
                "flow library",
                "order of transitions",
                [
                    "finish requested → bye",
                    "0 pressed → desk",
                    "silent → bye",
                    "not understood → desk",
                    "closing_time signalled → bye",
                    "turn limit reached → desk",
                ],
                [
                    "finish requested → bye",
                    "0 pressed → desk",
                    "not understood → desk",
                    "silent → bye",
                    "closing_time signalled → bye",
                    "turn limit reached → desk",
                ],
            )
        ],
    ),
    "when the model asks for a move": (
        {"flow": {"The reader needs": "The caller needs"}},
        [
            (
                "flow library",
                "transition finish requested → bye: description",
                "The reader needs nothing more.",
                "The caller needs nothing more.",
            )
        ],
    ),
    "a guard": (
        {"card": {"{le: 5, ge: 0}": "{le: 3}"}},
        [
            (
                "phase card",
                "transition check_card succeeds → loans: guard",
                "recognised eq true and owes le 5 and owes ge 0",
                "recognised eq true and owes le 3",
            )
        ],
    ),
    "a guard that is taken away": (
        {"flow": {"\n        when: {any_of: [{owes: {gt: 0}}, {not: {branch: elmham}}]}": ""}},
        [
            (
                "phase loans",
                "transition renew fails → desk: guard",
                'owes gt 0 or not branch eq "elmham"',
                None,
            )
        ],
    ),
    "a prefetch": (
        {"card": {"limit: 3": "limit: 5"}},
        [("phase card", "transition check_card succeeds → loans: prefetch[1].arguments.limit", 3, 5)],
    ),
    "a filler": (
        {"flow": {"patience_ms: 600": "patience_ms: 700"}},
        [("phase loans", "filler.patience_ms", 600, 700)],
    ),
    "one more phrase of a filler": (
        {"flow": {"at your card.]": "at your card., One moment.]"}},
        [("phase loans", "filler.phrases", None, "One moment.")],
    ),
    "how a call ends": (
        {"flow": {"ends: {transfer_to: desk}": "ends: hang_up_after"}},
        [
            (
                "phase desk",
                "ends",
                {"is": "TransferTo", "target": "desk", "announce": None, "accept": None},
                {"is": "HangUpAfter"},
            )
        ],
    ),
    "the text of a prompt": (
        {"skill": {"Renew one only": "Renew it only"}},
        [
            (
                "phase loans",
                "prompt text",
                RENEWING.format("one"),
                RENEWING.format("it"),
            )
        ],
    ),
    "a tool that is offered no more": (
        {"skill": {"list_loans renew": "renew"}},
        [("phase loans", "tool", "list_loans", None)],
    ),
    "the order of tools": (
        {"skill": {"list_loans renew": "renew list_loans"}},
        [("phase loans", "order of tools", ["list_loans", "renew"], ["renew", "list_loans"])],
    ),
    "a parameter of a tool": (
        {"loans": {"renew(book: str)": "renew(book: int)"}},
        [
            ("tool renew", "arguments.properties.book.maxLength", 4_000, None),
            ("tool renew", "arguments.properties.book.type", "string", "integer"),
        ],
    ),
    "what a tool grants": (
        {"tools": {'grants="loans"': 'grants=("loans", "late_returns")'}},
        [("tool check_card", "grants", None, "late_returns")],
    ),
    "what a tool needs": (
        {"loans": {'@tool(requires="loans")': "@tool()"}},
        [("tool list_loans", "requires", "loans", None)],
    ),
    "an example of an intent": (
        {"talk": {"one second": "one moment"}},
        [("phase card", "guided.intents[1].examples[2]", "one second", "one moment")],
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_change_is_told_of_the_phase_or_the_tool_that_it_is_in(edit: str, library: Library) -> None:
    before = load_flow(library())
    changed, told = EDITS[edit]
    after = load_flow(library(**changed))
    got = changes(before, after)
    assert sorted(got, key=str) == sorted(told, key=str)
    assert (before.sha256, before.prompt_hashes) != (after.sha256, after.prompt_hashes)


def test_a_phase_that_is_new_and_one_that_is_gone_are_told_whole(library: Library) -> None:
    before = load_flow(library())
    after = load_flow(library(flow={"name: desk\n": "name: counter\n"}))
    added, removed = [one for one in differences(before, after) if not one.what]
    assert (added.name, added.before) == ("counter", None)
    assert (removed.name, removed.after) == ("desk", None)
    assert isinstance(added.after, dict)
    assert added.after["ends"] == {"is": "TransferTo", "target": "desk", "announce": None, "accept": None}


def test_a_prompt_that_no_phase_has_is_told_of_the_flow(library: Library) -> None:
    before = load_flow(library())
    library()
    (Path("prompts") / "library" / "unused.md").write_text("Nobody reads this.")
    assert differences(before, load_flow("library")) == [
        Change("flow", "library", "prompt library/unused.md", None, "Nobody reads this.")
    ]


def test_the_same_agent_in_both_notations_has_no_differences(library: Library) -> None:
    assert differences(load_flow(library(python=True)), load_flow(library())) == []


# --- the command -----------------------------------------------------------------------------------------------------


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)  # noqa: S603, S607 - a test's own


@pytest.fixture
def committed(library: Library) -> Library:
    """Return the library's writer, once its agent has been committed."""
    library()
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "One")
    return library


def test_nothing_has_changed_since_the_commit(committed: Library, voiceagent: Command) -> None:
    assert voiceagent("diff", "git:HEAD", "library") == (0, "", "")


def test_what_has_changed_since_a_commit_is_printed_phase_by_phase(committed: Library, voiceagent: Command) -> None:
    committed(
        flow={"patience_ms: 600": "patience_ms: 700", "{on: silent, to: bye}": "{on: silent, to: desk}"},
        skill={"Renew one only": "Renew it only"},
        tools={"fresh_ms=60_000": "fresh_ms=90_000"},
    )
    code, printed, _ = voiceagent("diff", "git:HEAD", "phases/library")
    assert code == 1
    assert printed.splitlines() == [
        "flow library",
        "  - transition silent → bye",
        "  + transition silent → desk",
        "phase loans",
        "  ~ filler.patience_ms: 600 → 700",
        "  ~ prompt text",
        "      - Tell the reader which books they have. Renew one only if they ask for it by its title.",
        "      + Tell the reader which books they have. Renew it only if they ask for it by its title.",
        "tool check_card",
        "  ~ fresh_ms: 60000 → 90000",
    ]


def test_machines_get_the_same_as_json(committed: Library, voiceagent: Command) -> None:
    committed(flow={"max_turns: 50": "max_turns: 40"})
    code, printed, _ = voiceagent("diff", "library", "git:HEAD", "--json")
    assert code == 1
    assert json.loads(printed) == [
        {"of": "flow", "name": "library", "what": "limits.max_turns", "before": 40, "after": 50}
    ]


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (("library", "libary"), "there is no agent 'libary'; did you mean 'library'?"),
        (("library", "git:nowhere"), "git knows no revision 'nowhere'"),
        (("git:--help", "library"), "git knows no revision '--help'"),
        (("git:HEAD", "git:HEAD"), "one of the two must be an agent's folder, not 'git:HEAD' and 'git:HEAD'"),
    ],
)
def test_a_version_that_does_not_exist_is_a_mistake_of_usage(
    committed: Library, voiceagent: Command, versions: tuple[str, str], said: str
) -> None:
    assert voiceagent("diff", *versions) == (2, "", f"voiceagent: {said}\n")


def test_a_version_that_cannot_be_loaded_is_told_with_its_revision_and_its_line(
    committed: Library, voiceagent: Command
) -> None:
    committed(flow={"to: bye": "ot: bye"})
    git("commit", "--all", "--quiet", "--message", "Two")
    committed()
    said = "voiceagent: git:HEAD: phases/library/flow.yaml:20: unknown key 'ot'\n"
    assert voiceagent("diff", "git:HEAD", "library") == (2, "", said)


def test_an_agent_that_was_not_there_yet_is_told(committed: Library, voiceagent: Command) -> None:
    git("mv", "phases/library", "phases/branch")
    assert voiceagent("diff", "git:HEAD", "branch") == (2, "", "voiceagent: 'HEAD' has no folder phases/branch\n")
