"""`voiceagent test --model`: a live model at a real HTTP endpoint plays the scripts, is recorded, and is replayed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.testing.chat_endpoint import Asks, Body, ChatEndpoint, Refused, Stalled, chat_endpoint, desk_mind
from voiceagent.cli.commands import app
from voiceagent.errors import ScriptError
from voiceagent.spec.flow import Flow
from voiceagent.testing import (
    CallFiles,
    CallPlayer,
    CallScript,
    CallTurn,
    LiveModels,
    RuntimeCall,
    Says,
    StaysSilent,
)

pytest.importorskip("openai", reason="needs the extra 'openai'")

from voiceagent.models.asking import Patience
from voiceagent.models.openai_chat import OpenAIChatModels

HOURS = """
agent: desk
{model}
tools:
  check_member: {{result: {{member: true}}}}
  opening_hours: {{result: {{until: six}}}}
conversations:
  - name: only the code
    call: [{{says: one two three four, expect: {{hears: "What can I do for you?"}}}}]
  - name: the hours
    call:
      - says: one two three four
        expect: {{phase: desk, calls: check_member, hears: "What can I do for you?"}}
      - says: {question}
        expect: {{calls: opening_hours, hears: We are open until six.}}
"""
LINES = "model: {lines: {hello: A line that is not said}}"
CASSETTE = "model: {cassette: desk.jsonl}"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def endpoint() -> Iterator[ChatEndpoint]:
    with chat_endpoint(desk_mind()) as opened:
        yield opened


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    folder = place / tmp_path.name
    folder.mkdir()
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that writes the conversations, runs the command, and returns exit code and output."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    monkeypatch.chdir(folder)

    def run_command(*options: object, model: str = LINES, question: str = "When are you open?") -> tuple[int, str]:
        Path("desk.call.yaml").write_text(HOURS.format(model=model, question=question))
        done = CliRunner().invoke(app, ["test", "desk.call.yaml", *map(str, options)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run_command


def test_a_live_model_speaks_instead_of_the_scripts_own(run: Run, endpoint: ChatEndpoint) -> None:
    code, printed = run("--model", "openai:m", "--openai-base-url", endpoint.url)
    assert code == 0, printed
    assert "2 calls on the core" in printed, "a live model costs: one schedule is enough"
    replies = len(endpoint.bodies)
    assert f"openai:m: {replies} replies, {90 * replies} tokens in, {7 * replies} tokens out" in printed


def test_machines_are_told_what_it_has_cost(run: Run, endpoint: ChatEndpoint) -> None:
    _, printed = run("--model", "openai:m", "--openai-base-url", endpoint.url, "--json", "-k", "only")
    assert json.loads(printed)["model"] == {
        "name": "openai:m",
        "replies": 2,
        "input_tokens": 180,
        "output_tokens": 14,
    }


def test_what_was_recorded_is_played_without_the_model(run: Run, endpoint: ChatEndpoint) -> None:
    live = ("--model", "openai:m", "--openai-base-url", endpoint.url)
    code, printed = run(*live, "--record", "desk.jsonl", model=CASSETTE)
    assert code == 0, printed
    asked = len(endpoint.bodies)
    code, printed = run(model=CASSETTE)
    assert code == 0, printed
    assert "10 calls on the core" in printed, "five schedules each"
    assert len(endpoint.bodies) == asked


def test_a_recorded_conversation_is_the_same_to_the_byte(run: Run, endpoint: ChatEndpoint, folder: Path) -> None:
    run("--model", "openai:m", "--openai-base-url", endpoint.url, "--record", "desk.jsonl", model=CASSETTE)
    file = CallFiles().read(folder / "desk.call.yaml")
    with LiveModels(OpenAIChatModels("m", base_url=endpoint.url)) as live:
        once = transcript(CallPlayer(file.flow, live=live), file.scripts[-1])
    assert transcript(CallPlayer(file.flow), file.scripts[-1]) == once


def transcript(player: CallPlayer, script: CallScript) -> list[tuple[str, str, str | None]]:
    call = player.place(script, "core", 0).start()
    for turn in script.turns:
        assert isinstance(turn.act, Says)
        call.says(turn.act.text)
    return [(message.role, message.text, message.tool) for message in call.conversation.transcript.messages()]


def test_calls_that_begin_alike_are_recorded_with_one_beginning(run: Run) -> None:
    replies = iter(range(100))

    def never_the_same(body: Body) -> str | Asks:
        reply = desk_mind()(body)
        assert isinstance(reply, str | Asks)
        return f"{reply} Or {next(replies)}?" if isinstance(reply, str) else reply

    with chat_endpoint(never_the_same) as endpoint:
        code, printed = run(
            "--model", "openai:m", "--openai-base-url", endpoint.url, "--record", "desk.jsonl", model=CASSETTE
        )
    assert code == 0, printed
    code, printed = run(model=CASSETTE)
    assert code == 0, printed


@pytest.fixture
def recorded(run: Run, endpoint: ChatEndpoint) -> None:
    run("--model", "openai:m", "--openai-base-url", endpoint.url, "--record", "desk.jsonl", model=CASSETTE)


@pytest.mark.usefixtures("recorded")
def test_a_stale_cassette_fails_the_conversation_and_says_what_has_changed(run: Run) -> None:
    code, printed = run(model=CASSETTE, question="Until when are you open?")
    assert code == 1
    assert "1 passed, 1 failed" in printed
    said = "desk.jsonl: the recording is out of date: in phase 'desk' `history["
    assert f"got       {said}" in printed
    assert '.text` is "Until when are you open?", not "When are you open?"' in printed


@pytest.mark.usefixtures("recorded")
def test_a_stale_cassette_fails_the_turn_that_was_not_answered(run: Run, folder: Path) -> None:
    run("-k", "only", model=CASSETTE)
    file = CallFiles().read(folder / "desk.call.yaml")
    hours = file.scripts[-1]
    asks = CallTurn(Says("Until when are you open?"), expect=hours.turns[1].expect)
    script = CallScript("stale", (hours.turns[0], asks, CallTurn(Says("Hello?"))), hours.model, hours.tools)
    failure = CallPlayer(file.flow).play(script).failure
    assert failure is not None
    assert failure.turn == 2
    assert [mismatch.what for mismatch in failure.mismatches] == ["the call", "hears", "calls"]
    assert "out of date" in failure.mismatches[0].got


@pytest.mark.usefixtures("recorded")
def test_through_the_runtime_a_stale_cassette_is_told_too(run: Run, folder: Path) -> None:
    run("-k", "only", model=CASSETTE)
    file = CallFiles().read(folder / "desk.call.yaml")
    script = file.scripts[-1]
    assert script.model is not None
    assert not callable(script.model)
    model = script.model.open(file.flow, locale="en-US", time_zone="UTC")
    with RuntimeCall(file.flow, model=model) as call, pytest.raises(ScriptError, match="out of date"):
        call.start().says("Who is this, please?")


def test_a_live_conversation_that_fails_is_not_played_again_to_explain_it(run: Run, endpoint: ChatEndpoint) -> None:
    live = ("--model", "openai:m", "--openai-base-url", endpoint.url, "-k", '"the hours"', "--seed", 35)
    code, _ = run(*live, question="Who are you?")
    assert code == 1
    assert len(endpoint.bodies) == 3, "the code, what follows from it, and the question"


# --- providers that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Refused(500), "m answered HTTP 500"),
        (Refused(401), "m answered HTTP 401"),
        ("", "m said nothing"),
    ],
)
def test_a_provider_that_fails_fails_the_conversation(run: Run, answer: Refused | str, why: str) -> None:
    with chat_endpoint(lambda _: answer) as endpoint:
        code, printed = run("--model", "openai:m", "--openai-base-url", endpoint.url, "-k", "only")
    assert code == 1
    assert f"got       the live model failed: {why}" in printed
    assert "--seed 0 --model openai:m --schedules 1" in printed


def test_a_provider_that_never_answers_fails_the_conversation(desk: Flow) -> None:
    script = CallScript("a call", (CallTurn(Says("hello there")), CallTurn(StaysSilent(10))))
    with chat_endpoint(lambda _: Stalled()) as endpoint:
        models = OpenAIChatModels("m", base_url=endpoint.url, patience=Patience(first_piece_ms=100))
        with LiveModels(models) as live:
            failure = CallPlayer(desk, live=live).play(script).failure
    assert failure is not None
    assert failure.mismatches[0].got == "the live model failed: m did not begin within 100 ms"


def test_nobody_listening_fails_the_conversation(run: Run) -> None:
    code, printed = run("--model", "openai:m", "--openai-base-url", "http://127.0.0.1:9/v1", "-k", "only")
    assert code == 1
    assert "the live model failed: the connection to m failed" in printed


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "openai:m"], "openai:m needs OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint of your own"),
        (["--model", "anthropic:m"], "anthropic:m needs ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL for an endpoint"),
        (["--model", "opnai:m"], "no model 'opnai:m': write `guided`, or one of `openai:`, `openai-responses:`"),
        (["--model", "opnai:m"], "and the model's name; did you mean 'openai'?"),
        (["--model", "openai:m,anthropic:n"], "one model is tried at a time, not 'openai:m,anthropic:n'"),
        (["--model", "guided"], "--model takes a provider and a model's name, `openai:…`"),
        (["--record", "a.jsonl"], "name one with --model"),
        (["--model", "openai:m", "--openai-base-url", "nowhere"], "--openai-base-url is 'nowhere', but must look like"),
        (["--model", "anthropic:m", "--anthropic-base-url", "no"], "--anthropic-base-url is 'no', but must look like"),
        (["--model", "openai:m", "--openai-api-key", "k", "--jobs", "2"], "leave out --jobs"),
        (["--model", "openai:m", "--openai-api-key", "k", "--record", "."], ". cannot be written"),
    ],
)
def test_what_does_not_go_together_is_one_line(run: Run, options: list[str], said: str) -> None:
    code, printed = run(*options)
    assert code == 2
    assert said in printed
    assert len(printed.splitlines()) == 1


def test_without_the_sdk_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    code, printed = run("--model", "openai:m", "--openai-api-key", "sk-1")
    assert code == 2
    assert "pip install 'voiceagent[openai]'" in printed


@pytest.mark.parametrize(
    ("model", "content", "said"),
    [
        ("model: {cassette: dusk.jsonl}", None, "desk.call.yaml:3: there is no cassette 'dusk.jsonl'"),
        (CASSETTE, "rubbish\n", "desk.jsonl:1: not a line of JSON"),
        (CASSETTE, '{"cassette":1}\n{"shown":{}}\n', "desk.jsonl:2: not a recorded reply"),
        (
            "model: {cassette: desk.jsonl, lines: {}}",
            "",
            "desk.call.yaml:3: a model has one of: lines, rules, cassette",
        ),
        ("model: {cassete: desk.jsonl}", "", "desk.call.yaml:3: unknown key 'cassete'; did you mean 'cassette'?"),
    ],
)
def test_a_cassette_that_cannot_be_played_is_told_with_its_line(
    run: Run, model: str, content: str | None, said: str
) -> None:
    if content is not None:
        Path("desk.jsonl").write_text(content)
    code, printed = run(model=model)
    assert code == 2
    assert said in printed
    assert len(printed.splitlines()) == 1
