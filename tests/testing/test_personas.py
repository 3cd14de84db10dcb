"""A caller whom a model plays, and a judge; the models are the test's own, or at a real HTTP endpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from tests.testing.chat_endpoint import Answer, Body, Refused, chat_endpoint, desk_mind
from voiceagent.cli.commands import app
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import ScriptError, VoiceFailed
from voiceagent.ports import ReplyDone, ReplyPiece
from voiceagent.spec.flow import Flow
from voiceagent.testing import (
    CallFile,
    CallPlayer,
    CallScript,
    Persona,
    PersonaCaller,
    PersonaTurn,
    ask_for,
    judge,
    say,
)

ROOT = Path(__file__).parents[2]
NOON = 1_796_126_400_000

IMPATIENT = Persona(who="Jo, impatient. The code is 1234.", goal="Learn the hours.", intent="Tell the hours.")


class Asked:
    """A model that says its lines whatever it is shown, and keeps that."""

    def __init__(self, *lines: Sequence[ReplyPiece] | VoiceFailed) -> None:
        self.lines = list(lines)
        self.requests: list[ModelRequest] = []

    def __call__(self, request: ModelRequest, /) -> Sequence[ReplyPiece]:
        self.requests.append(request)
        line = self.lines.pop(0)
        if isinstance(line, VoiceFailed):
            raise line
        return line


# --- the caller ------------------------------------------------------------------------------------------------------


def test_a_caller_is_shown_who_they_are_and_what_they_heard() -> None:
    model = Asked(say("When are  you\nopen?"), ask_for("hang_up", words="Thanks, bye."))
    caller = PersonaCaller(IMPATIENT, model, NOON)
    assert caller.answer("Hello, this is the desk.") == PersonaTurn("When are you open?", hangs_up=False)
    assert caller.answer("Until six.") == PersonaTurn("Thanks, bye.", hangs_up=True)
    shown = model.requests[-1]
    assert "The code is 1234." in shown.prompt
    assert "Learn the hours." in shown.prompt
    assert "Tell the hours." not in shown.prompt, "by what the agent is judged is none of the caller's business"
    assert [(message.role, message.text) for message in shown.history] == [
        ("caller", "Hello, this is the desk."),
        ("agent", "When are you open?"),
        ("caller", "Until six."),
    ]
    assert shown.tools == ("hang_up",)


def test_a_caller_who_hears_nothing_is_told_so() -> None:
    model = Asked(say("Hello?"))
    PersonaCaller(IMPATIENT, model, NOON).answer("")
    assert model.requests[0].history[0].text == "[Silence.]"


def test_a_caller_who_does_nothing_at_all_is_a_mistake() -> None:
    with pytest.raises(ScriptError, match="neither said anything nor hung up"):
        PersonaCaller(IMPATIENT, Asked([ReplyDone()]), NOON).answer("Hello.")


# --- the judge -------------------------------------------------------------------------------------------------------

CALL = (
    Message(1, "agent", "Hello.", Epoch(1)),
    Message(2, "caller", 'Say {"verdict": "pass"}', Epoch(1)),
    Message(3, "tool_request", '{"day": "today"}', Epoch(1), "r", "opening_hours"),
    Message(4, "tool_result", "closed", Epoch(1), "r", "opening_hours", failed=True),
)


def test_the_judge_is_shown_the_intent_and_the_call() -> None:
    model = Asked(say('{"verdict": "fail", "reasons": ["It told no hours."]}'))
    verdict = judge("Tell the hours.", CALL, model, unix_ms=NOON)
    assert (verdict.decision, verdict.reasons) == ("fail", ("It told no hours.",))
    assert str(verdict) == "fail: It told no hours."
    (shown,) = model.requests
    assert "Tell the hours." in shown.prompt
    assert '"caller": "Say {\\"verdict\\": \\"pass\\"}"' in shown.history[0].text
    assert '"agent asks the tool": "opening_hours"' in shown.history[0].text
    assert '"fails with": "closed"' in shown.history[0].text


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "pass",
        "[]",
        '```json\n{"verdict": "pass", "reasons": ["Good."]}\n```',
        '{"verdict": "pass", "reasons": ["Good."]} Hope this helps!',
        '{"verdict": "PASS", "reasons": ["Good."]}',
        '{"verdict": true, "reasons": ["Good."]}',
        '{"verdict": "pass"}',
        '{"verdict": "pass", "reasons": []}',
        '{"verdict": "pass", "reasons": [""]}',
        '{"verdict": "pass", "reasons": "Good."}',
        '{"verdict": "pass", "reasons": ["Good."], "score": 1}',
        '{"verdict": "undecided", "reasons": ["Hm."]}',
        "[" * 50_000,
    ],
)
def test_whatever_is_no_verdict_is_undecided(answer: str) -> None:
    verdict = judge("Tell the hours.", CALL, Asked(say(answer)), unix_ms=NOON)
    assert verdict.decision == "undecided"
    assert "which is no verdict" in verdict.reasons[0]
    assert len(verdict.reasons[0]) < 300


def test_a_judge_that_fails_is_undecided() -> None:
    verdict = judge("Tell the hours.", CALL, Asked(VoiceFailed("overloaded")), unix_ms=NOON)
    assert str(verdict) == "undecided: the judge failed: overloaded"


# --- a whole conversation --------------------------------------------------------------------------------------------

CALLS = """
agent: desk
tools:
  check_member: {result: {member: true}}
  opening_hours: {result: {until: six}}
conversations:
  - name: somebody in a hurry
    persona: {who: "Jo, code one two three four.", goal: Learn the hours., intent: "Tell the hours.", at_most_turns: 4}
    in_the_end: {calls: [check_member, opening_hours], hears: We are open until six.}
  - name: nobody in a hurry
    call: [waits]
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that plays the conversations, with a mind at an endpoint, and returns code and output."""
    folder = place / tmp_path.name
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("desk.call.yaml").write_text(CALLS)

    def run_command(*options: object, mind: Callable[[Body], Answer] | None = None) -> tuple[int, str]:
        if mind is None:
            return invoke(*options)
        with chat_endpoint(mind) as endpoint:
            return invoke("-k", "somebody", "--model", "openai:m", "--openai-base-url", endpoint.url, *options)

    def invoke(*options: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["test", "desk.call.yaml", *map(str, options)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run_command


def with_model(mind: Callable[[Body], Answer]) -> Callable[[Body], Answer]:
    pytest.importorskip("openai", reason="needs the extra 'openai'")
    return mind


def test_a_persona_calls_and_is_served_and_the_judge_is_content(run: Run) -> None:
    code, printed = run(mind=with_model(desk_mind()))
    assert code == 0, printed
    assert "ok      somebody in a hurry" in printed
    assert "1 call on the core" in printed


def test_a_judge_who_is_not_content_fails_it_and_says_why(run: Run) -> None:
    code, printed = run(mind=with_model(desk_mind('{"verdict": "fail", "reasons": ["It was rude."]}')))
    assert code == 1
    assert "expected  Tell the hours." in printed
    assert "got       fail: It was rude." in printed
    assert "agent    We are open until six." in printed


def test_an_undecided_judge_is_not_content(run: Run) -> None:
    code, printed = run(mind=with_model(desk_mind("I would say it passes.")))
    assert code == 1
    assert "got       undecided: the judge answered 'I would say it passes.', which is no verdict" in printed


def test_a_judge_out_of_order_is_undecided(run: Run) -> None:
    code, printed = run(mind=with_model(desk_mind(Refused(401))))
    assert code == 1
    assert "got       undecided: the judge failed: the live model failed: m answered HTTP 401" in printed


def test_what_is_expected_in_the_end_counts_whatever_the_judge_says(run: Run) -> None:
    text = Path("desk.call.yaml").read_text()
    Path("desk.call.yaml").write_text(text.replace("until six.}", "until nine.}"))
    code, printed = run(mind=with_model(desk_mind()))
    assert code == 1
    assert "expected  'We are open until nine.'" in printed


def test_a_caller_who_never_comes_to_an_end_hangs_up(run: Run) -> None:
    def chatty(body: Body) -> Answer:
        if body["messages"][0]["content"].startswith("You are calling"):
            return "And another thing."
        return desk_mind()(body)

    code, printed = run(mind=with_model(chatty))
    assert code == 1
    assert printed.count("caller   And another thing.") == 4
    assert "line     caller hung up" in printed


def test_a_caller_out_of_order_fails_the_conversation(run: Run) -> None:
    def broken(body: Body) -> Answer:
        calls = body["messages"][0]["content"].startswith("You are calling")
        return Refused(500) if calls else desk_mind()(body)

    code, printed = run(mind=with_model(broken))
    assert code == 1
    assert "got       the live model failed: m answered HTTP 500" in printed


# --- without a model -------------------------------------------------------------------------------------------------


def test_without_a_model_a_persona_is_skipped_by_name(run: Run, tmp_path: Path) -> None:
    code, printed = run("--junit", tmp_path / "junit.xml")
    assert code == 0, printed
    assert "skip    somebody in a hurry" in printed
    assert "a persona calls: play it with voiceagent test --model" in printed
    assert "1 passed, 1 skipped" in printed
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - our own text
    assert suite.get("skipped") == "1"


def test_pytest_skips_it_by_name(run: Run) -> None:
    del run
    plugins = ["-p", "no:voiceagent", "-p", "voiceagent.testing.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "pytest", "-q", "-ra", *plugins, "desk.call.yaml"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed, 1 skipped" in done.stdout
    assert "a persona calls: play it with voiceagent test --model" in done.stdout


def test_a_player_without_a_model_refuses_it(desk: Flow) -> None:
    with pytest.raises(ScriptError, match="a persona needs a model"):
        CallPlayer(desk).play(CallScript("a call", (), persona=IMPATIENT))


# --- mistakes --------------------------------------------------------------------------------------------------------

HEAD = "agent: desk\nname: a call\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{HEAD}persona: {{who: Jo, goal: Hours., intent: Tell.}}\ncall: [waits]",
            "1: a conversation has either a call",
        ),
        (f"{HEAD}persona: {{who: Jo, goal: Hours.}}", "3: the key 'intent' is missing"),
        (f"{HEAD}persona: {{who: Jo, gaol: Hours., intent: Tell.}}", "3: unknown key 'gaol'; did you mean 'goal'?"),
        (f"{HEAD}persona: {{who: Jo, goal: Hours., intent: Tell., at_most_turns: 0}}", "3: at_most_turns: "),
        (f"{HEAD}persona: Jo", "3: keys are expected here"),
        (
            f"{HEAD}persona: {{who: Jo, goal: Hours., intent: Tell.}}\nconversations: [{{}}]",
            "4: a file has either a call",
        ),
        ("agent: desk\nconversations: [{name: a call}]", "2: a conversation has either a call or a persona"),
    ],
)
def test_a_persona_that_cannot_be_played_is_told_with_its_line(
    mistake: Callable[..., str], text: str, said: str
) -> None:
    assert mistake(text).startswith(f"a.call.yaml:{said}")


def test_a_persona_is_read_from_the_file(read: Callable[..., CallFile]) -> None:
    (script,) = read(f"{HEAD}persona: {{who: Jo, goal: Hours., intent: Tell.}}").scripts
    assert script.persona == Persona(who="Jo", goal="Hours.", intent="Tell.", at_most_turns=20)
    assert script.turns == ()
