"""A simulated call through the runtime says, hears and does what the call on the core alone does; then some more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

import voiceagent
from voiceagent import Filler, Flow, HangUpAfter, Phase, Pressed, Prompt, Requested, Say, Transition, tool
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.errors import ScriptError, ToolFailed
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import After, ScriptedCall, ScriptedModel, ask_for, say
from voiceagent.testing.arrivals import Arrivals, explore
from voiceagent.testing.runtime_call import RuntimeCall
from voiceagent.testing.simulated_call import SimulatedCall
from voiceagent.testing.virtual_loop import RealWorldTouched

ROOT = Path(voiceagent.__file__).parents[1]
BANK = load_flow(ROOT / "phases" / "bank")
MODELS = GuidedModels()
LINES = (
    "Hi, I'd like to check the balance on my account please.",
    "My account number is four five one nine, two two seven.",
    "The pin is one two three four.",
    "Can you tell me about the last three transactions?",
    "I want to transfer two hundred and fifty dollars to my savings account.",
    "Yes, that's correct.",
    "Okay, thank you very much. Goodbye.",
)
ENTRY = {"date": "2025-11-20", "merchant": "Metro", "amount": "-12.00", "currency": "USD"}


def verified(arguments: Mapping[str, JsonValue]) -> JsonValue:
    right = arguments == {"account_number": "4519227", "pin": "1234"}
    return {"verified": right, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5} if right else None


BANK_TOOLS = {
    "verify_caller": verified,
    "get_accounts": {
        "accounts": [
            {"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"},
            {"account_id": "C-1-savings", "kind": "savings", "balance": "800.00", "currency": "USD"},
        ]
    },
    "recent_transactions": lambda arguments: {"account": arguments["account"], "transactions": [ENTRY] * 3},
    "transfer": After(200, {"transfer_id": "X-1", "amount": "250", "currency": "USD"}),
}


def bank_call(kind: Callable[..., SimulatedCall], **more: object) -> SimulatedCall:
    return kind(BANK, model=MODELS.open(BANK, locale="en-US", time_zone="UTC"), tools=BANK_TOOLS, **more)


@tool
async def look_up(what: str) -> str:
    """Look something up."""
    raise AssertionError(f"nobody looks up {what}: scripts answer")


@tool(effect="write", timeout_ms=5_000)
async def note(text: str) -> str:
    """Leave a note."""
    raise AssertionError(f"nobody notes {text}: scripts answer")


DESK = Flow(
    name="desk",
    initial="talk",
    filler=Filler(patience_ms=800, phrases=("One moment.", "Let me check."), again_ms=4_000),
    prompts={"desk/talk.md": Prompt("Help the caller.")},
    phases=(
        Phase(
            name="talk",
            prompt="desk/talk.md",
            on_enter=Say(text="Hello, how can I help you?"),
            tools=(look_up, note),
            transitions=(
                Transition(on=Requested(name="finish", description="They are done."), to="end"),
                Transition(on=Pressed(digits="9"), to="end"),
            ),
        ),
        Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., RuntimeCall]]:
    """Return a function that places a call to the desk, whose model says these lines; every call is replayed."""
    placed: list[RuntimeCall] = []

    def place(*lines: object, **more: object) -> RuntimeCall:
        model = ScriptedModel({"talk": lines or [say("Yes?")]})  # pyright: ignore[reportArgumentType] - lists of lines
        call = RuntimeCall(DESK, model=model, journals=tmp_path, **more)  # pyright: ignore[reportArgumentType] - what `RuntimeCall` takes
        placed.append(call)
        return call.start()

    yield place
    for call in placed:
        call.assert_replays()


# --- the same as on the core -----------------------------------------------------------------------------------------


def test_a_call_to_the_bank_goes_as_it_does_on_the_core_alone() -> None:
    calls = [bank_call(kind).start() for kind in (ScriptedCall, RuntimeCall)]
    for call in calls:
        for line in LINES:
            call.says(line)
        call.assert_replays()
    on_the_core, through_the_runtime = calls
    assert on_the_core.ended
    assert through_the_runtime.ended
    assert through_the_runtime.record.phases == on_the_core.record.phases
    assert through_the_runtime.heard == on_the_core.heard
    assert through_the_runtime.tool_runs == on_the_core.tool_runs
    assert through_the_runtime.facts == on_the_core.facts
    assert through_the_runtime.record.fillers == on_the_core.record.fillers


def test_what_the_agent_believes_was_heard_has_come_out_of_the_telephone() -> None:
    with RuntimeCall(BANK, model=MODELS.open(BANK, locale="en-US", time_zone="UTC"), tools=BANK_TOOLS) as call:
        call.start()
        for line in LINES:
            call.says(line)
        assert call.record.fillers == []
        assert call.really_heard == " ".join(call.heard)


def test_numbers_may_be_pressed_and_secrets_stay_handles() -> None:
    with RuntimeCall(BANK, model=MODELS.open(BANK, locale="en-US", time_zone="UTC"), tools=BANK_TOOLS) as call:
        call.start().says(LINES[0]).presses("4519227").presses("1234")
        assert call.phase == "account_inquiry"
        assert call.tool_runs[0] == (
            "verify_caller",
            {"account_number": "⟨account_number#1: 7 digits⟩", "pin": "⟨pin#2: 4 digits⟩"},
        )
        assert "4519227" not in call.record.timeline()


def test_both_kinds_of_calls_have_all_verbs_and_views() -> None:
    verbs = {name for name in dir(SimulatedCall) if not name.startswith("_")}
    for call in (bank_call(ScriptedCall), RuntimeCall(DESK, model=ScriptedModel({})).start()):
        assert verbs <= set(dir(call))
        call.assert_replays()


# --- what the caller does --------------------------------------------------------------------------------------------


def test_a_caller_who_interrupts_has_heard_the_words_up_to_there(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(say("The first thing is this, the second is that, and there is a third one as well."), say("Sorry."))
    call.says("What is there?", then_wait=False).until(ev.PlayoutStarted)
    call.run_ms(1_300).says("No, stop it")
    (stopped_ms,) = call.record.at(fx.StopPlayout)
    assert stopped_ms > call.record.at(ev.CallerStartedSpeaking)[-1]
    assert call.heard[1:] == ["The first thing is this, the", "Sorry."]
    assert call.really_heard == " ".join(call.heard)


def test_a_cough_does_not_end_the_sentence(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(say("This is a rather long sentence that somebody coughs into without meaning to interrupt it."))
    call.says("Tell me", then_wait=False).until(ev.PlayoutStarted)
    call.run_ms(1_000).coughs().until_quiet()
    assert call.really_heard.endswith("without meaning to interrupt it.")


def test_a_caller_who_hangs_up_while_a_read_runs_ends_the_call(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(ask_for("look_up", '{"what": "it"}'), tools={"look_up": After(5_000, "found")})
    call.says("Look it up", then_wait=False).until(fx.StartTool).run_ms(500).hangs_up()
    assert call.ended
    assert call.record.at(ev.ToolFinished) == []


def test_a_write_that_runs_when_the_caller_hangs_up_comes_to_its_end(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(ask_for("note", '{"text": "it"}'), tools={"note": After(3_000, "noted")})
    call.says("Note it down", then_wait=False).until(fx.StartTool).run_ms(500).hangs_up()
    assert call.ended
    call.assert_replays()
    assert [entry for _, entry, _ in call.journal][-1] == ev.ToolFinished(
        call.record.effects(fx.StartTool)[0].call, "noted"
    )


def test_the_agent_hangs_up_when_its_last_words_were_heard(desk: Callable[..., RuntimeCall]) -> None:
    call = desk().presses("9")
    assert call.ended
    assert call.really_heard.endswith("Goodbye.")


def test_the_host_may_send_anything(desk: Callable[..., RuntimeCall]) -> None:
    call = desk().host_says("closing time")
    assert call.record.at(ev.HostEvent) == [call.now_ms]


# --- what the world does ---------------------------------------------------------------------------------------------


def test_a_slow_tool_is_covered_by_fillers_from_the_threshold_on(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(
        ask_for("look_up", '{"what": "it"}'), say("There it is."), tools={"look_up": After(9_000, "found")}
    ).says("Look it up")
    assert call.record.fillers == ["One moment.", "Still looking, thank you for waiting."]
    assert call.heard[-1] == "There it is."
    waited_ms = (
        next(at for at in call.record.at(ev.PlayoutStarted) if at > call.record.at(fx.Transcribe)[0])
        - call.record.at(fx.AskModel)[0]
    )
    assert 800 <= waited_ms <= 820, "rendered ahead, it starts at the threshold"


def test_a_tool_that_takes_longer_than_it_may_is_given_up(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(ask_for("note", '{"text": "it"}'), say("I do not know."), tools={"note": After(60_000, "noted")})
    call.says("Note it down")
    (failed,) = [event for _, event, _ in call.journal if isinstance(event, ev.ToolFailed)]
    assert failed.kind == "unknown"


def test_why_a_tool_failed_reaches_the_model(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(ask_for("note", '{"text": "it"}'), say("No."), tools={"note": After(50, ToolFailed("no paper"))})
    call.says("Note it down")
    assert "no paper" in call.record.shown[-1].history[-1].text


def test_a_tool_without_an_answer_is_a_mistake_of_the_script(desk: Callable[..., RuntimeCall]) -> None:
    call = desk(ask_for("look_up", '{"what": "it"}'))
    with pytest.raises(ScriptError, match="no answer for the tool 'look_up'"):
        call.says("Look it up")


def test_a_phase_without_a_line_is_a_mistake_of_the_script() -> None:
    call = RuntimeCall(DESK, model=ScriptedModel({}))
    call.start()
    with pytest.raises(ScriptError, match="the model has no line for phase 'talk'"):
        call.says("Hello?")
    call.assert_replays()


def test_a_script_that_touches_the_real_world_is_told_so(desk: Callable[..., RuntimeCall]) -> None:
    def on_disk(_: object) -> JsonValue:
        return subprocess.check_output([sys.executable, "-V"]).decode()

    call = desk(ask_for("look_up", '{"what": "it"}'), tools={"look_up": on_disk})
    with pytest.raises(RealWorldTouched, match=r"a process was to be started, .*in on_disk"):
        call.says("Look it up")


def test_what_never_comes_is_told_with_all_that_came(desk: Callable[..., RuntimeCall]) -> None:
    with pytest.raises(ScriptError, match=r"(?s)ToolFinished did not come within 1000 ms.*CallStarted"):
        desk().until(ev.ToolFinished, at_most_ms=1_000)


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_call_is_written_down_as_a_servers_is(desk: Callable[..., RuntimeCall], tmp_path: Path) -> None:
    call = desk().says("Hello")
    call.assert_replays()
    journal = read_journal(tmp_path / "scripted.jsonl")
    assert journal.complete
    assert journal.header.call == CallId("scripted")
    assert [(entry.at_ms, entry.event) for entry in journal.entries] == [(at, event) for at, event, _ in call.journal]


def test_no_journal_is_written_into_that_of_another_call(desk: Callable[..., RuntimeCall], tmp_path: Path) -> None:
    desk().assert_replays()
    before = (tmp_path / "scripted.jsonl").read_bytes()
    second = RuntimeCall(DESK, model=ScriptedModel({}), journals=tmp_path)
    with pytest.raises(ScriptError, match=r"scripted.jsonl is there already"), second:
        second.start()
    assert (tmp_path / "scripted.jsonl").read_bytes() == before


def test_a_call_inherits_what_it_is_given_and_the_lengths_of_what_was_rendered_ahead(tmp_path: Path) -> None:
    inherited = Inherited(CallId("heir"), tool_latency_ms={"look_up": 900})
    with RuntimeCall(DESK, model=ScriptedModel({}), inherited=inherited, journals=tmp_path / "new") as call:
        call.start()
    header = read_journal(tmp_path / "new" / "heir.jsonl").header
    assert header.inherited.tool_latency_ms == {"look_up": 900}
    assert header.inherited.phrase_ms["One moment."] == 65 * len("One moment.")


def test_a_voice_that_speaks_by_itself_is_a_providers() -> None:
    with pytest.raises(ScriptError, match="given by its `provider`"):
        RuntimeCall(DESK, model=ScriptedModel({}), inherited=Inherited(CallId("x"), voice_speaks=True))


def test_a_session_that_breaks_is_no_success() -> None:
    call = RuntimeCall(DESK, model=ScriptedModel({})).start().happens("nothing that a call knows")  # pyright: ignore[reportArgumentType] - no event, on purpose
    with pytest.raises(AssertionError, match="the session broke: see the log"):
        call.assert_replays()


def test_a_record_that_replays_differently_is_no_success(tmp_path: Path) -> None:
    replies = iter(["One.", "Two."])
    grown = DESK.model_copy(update={"phrases": DESK.phrases})
    call = RuntimeCall(grown, model=lambda _: say(next(replies)), journals=tmp_path).start().says("Hello")
    object.__setattr__(grown, "phases", (grown.phases[0].model_copy(update={"on_enter": Say(text="Changed.")}),))
    grown.__dict__.pop("by_name", None)
    with pytest.raises(AssertionError, match=r"recorded: .*Hello, how can I help you"):
        call.assert_replays()


# --- schedules -------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_a_call_to_the_bank_goes_the_same_way_in_fifty_orders() -> None:
    lines = (LINES[4], LINES[1], LINES[2], LINES[5])

    def run(schedule: Arrivals) -> None:
        model = MODELS.open(BANK, locale="en-US", time_zone="UTC")
        with RuntimeCall(BANK, model=model, tools=BANK_TOOLS, schedule=schedule) as call:
            call.start()
            for line in lines:
                call.says(line)
            assert call.record.phases == ["greeting", "authentication", "account_inquiry", "transfer_money", "wrap_up"]
            assert call.ran("verify_caller") == call.ran("transfer") == 1
            assert call.really_heard.endswith("Done: 250 dollars to your savings account. Is there anything else?")

    explore(run, schedules=50)


SEEDED = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(sys.argv[1]).parent))
from test_runtime_call import LINES, Path, RuntimeCall, Arrivals, bank_call

call = bank_call(RuntimeCall, schedule=Arrivals(11), journals=Path(sys.argv[2])).start()
for line in LINES[:3]:
    call.says(line)
call.assert_replays()
"""


def test_a_seed_gives_the_same_journal_in_every_process(tmp_path: Path) -> None:
    journals: list[bytes] = []
    for seed in ("0", "4242"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", SEEDED, __file__, str(folder)], env=environment, check=True, timeout=50
        )
        journals.append((folder / "scripted.jsonl").read_bytes())
    assert journals[0] == journals[1]
