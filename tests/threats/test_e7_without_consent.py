"""E7: what cannot be undone is done after a clear yes to exactly that, and the executor asks for it once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from pydantic import JsonValue

from tests.threats.the_bank import ANN, BANK, bank_open, confirmed, tools_at
from tests.tools.tool_runs import NOW, Call
from voiceagent import Facts, Flow, HangUpAfter, HostSignals, Phase, Prompt, Say, Transition, tool
from voiceagent.core import doing
from voiceagent.core import effects as fx
from voiceagent.core.confirmations import digest_of, without_echo
from voiceagent.core.events import ToolFailed, ToolFinished
from voiceagent.core.ids import Epoch, ToolCallId
from voiceagent.testing import RuntimeCall, ScriptedModel, ask_for, say

ARGUMENTS: dict[str, JsonValue] = {"customer_id": ANN.customer_id, "amount": "25.00", "to_account": "savings"}
OTHERS: dict[str, JsonValue] = {**ARGUMENTS, "amount": "2500.00"}


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (None, None),
        ("call-1:1", None),
        ("call-1:1", "yes"),
        ("call-1:1", digest_of("transfer", OTHERS)),
        ("call-1:1", digest_of("block_card", ARGUMENTS)),
        (None, digest_of("transfer", ARGUMENTS)),
    ],
)
def test_e7_the_executor_runs_nothing_without_a_yes_to_exactly_these_arguments(
    key: str | None, digest: str | None
) -> None:
    async def main() -> None:
        with bank_open() as bank:
            before = bank.balance_of(ANN.account_number, "savings")
            async with tools_at(bank, BANK, phase="transfer_money") as tools:
                start = fx.StartTool(ToolCallId("t1"), "transfer", ARGUMENTS, key, digest)
                outcome = await tools.run(start, Epoch(4))
                assert isinstance(outcome, ToolFailed)
                assert outcome.kind == "refused"
                assert bank.requests() == []
                done = await tools.run(confirmed("transfer", ARGUMENTS), Epoch(4))
                assert isinstance(done, ToolFinished)
            assert bank.balance_of(ANN.account_number, "savings") - before == 25

    asyncio.run(main())


# --- on a call -------------------------------------------------------------------------------------------------------


@tool(effect="irreversible", confirm="I will send {{ amount }} dollars. If that is right, please say yes.")
async def send_money(amount: int) -> str:
    """Send money."""
    raise AssertionError("the script answers")


DESK = Flow(
    name="desk",
    initial="counter",
    facts=Facts,
    prompts={"desk/counter.md": Prompt("Be kind.")},
    phases=(
        Phase(
            name="counter",
            prompt="desk/counter.md",
            on_enter=Say(text="Hello."),
            tools=(send_money,),
            transitions=(Transition(on=HostSignals(name="closing"), to="other"),),
        ),
        Phase(name="other", prompt="desk/counter.md", on_enter=Say(text="Another counter."), tools=(send_money,)),
        Phase(name="end", ends=HangUpAfter()),
    ),
)
READ_BACK = "I will send 25 dollars. If that is right, please say yes."


def asked() -> RuntimeCall:
    """A caller who is being asked."""
    model = ScriptedModel(
        {"counter": [ask_for("send_money", '{"amount": 25}'), say("All right.")], "other": [say("Well.")]}
    )
    call = RuntimeCall(DESK, model=model, tools={"send_money": "sent"}).start()
    return call.says("Send twenty five dollars", then_wait=False).until_heard("I will send")


def says(words: str, *, after_ms: int = 0) -> Callable[[RuntimeCall], object]:
    return lambda call: call.until_quiet().run_ms(after_ms).says(words)


def echoes(words: str) -> Callable[[RuntimeCall], object]:
    """The line carries the end of the question back, a moment after it was said."""
    return lambda call: call.until_heard("say yes").run_ms(150).says(words, lasting_ms=400)


def another_phase(call: RuntimeCall) -> None:
    call.until_quiet().host_says("closing")
    call.says("Yes.")


NO_CONSENT: dict[str, Callable[[RuntimeCall], object]] = {
    "no": says("No."),
    "a condition": says("Yes but only ten"),
    "something else": says("What is the weather like?"),
    "in the middle of the question": lambda call: call.run_ms(300).says("Yes."),
    "cut off": lambda call: call.run_ms(300).says("Wait a moment please, I do not want that"),
    "its own echo": echoes("say yes"),
    "its own echo, the last word alone": echoes("Yes."),
    "its own echo, misheard": echoes("If that's right, peas say yes."),
    "its own echo, twice": echoes("Yes. Yes."),
    "its own echo, a whole sentence of it": echoes("if that is right please say yes"),
    "another phase": another_phase,
    "too late": lambda call: call.until_quiet().run_ms(31_000).says("Yes."),
}


@pytest.mark.parametrize("what", NO_CONSENT)
def test_e7_whatever_is_no_clear_yes_does_nothing(what: str) -> None:
    with asked() as call:
        NO_CONSENT[what](call)
        assert call.ran("send_money") == 0, call.record.timeline()


@pytest.mark.parametrize("what", ["its own echo", "its own echo, the last word alone"])
def test_e7_after_an_echo_the_question_is_still_open_and_a_real_yes_counts(what: str) -> None:
    with asked() as call:
        NO_CONSENT[what](call)
        call.run_ms(1_500).says("Yes.")
        assert call.ran("send_money") == 1, call.record.timeline()


def test_e7_a_yes_right_behind_the_echo_counts() -> None:
    with asked() as call:
        echoes("please say yes yes of course")(call)
        assert call.ran("send_money") == 1, call.record.timeline()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("yes", ""),
        ("Say yes!", ""),
        ("that is right, please say yes", ""),
        ("yes please", ""),
        ("say yes yes", ""),
        ("say yes yes of course", "of course"),
        ("that is right", ""),
        ("That's alright, pleas say yet", ""),
        ("no", "no"),
        ("Go ahead.", "Go ahead."),
        ("", ""),
    ],
)
def test_e7_what_is_the_end_of_the_question_is_not_the_callers(said: str, left: str) -> None:
    assert without_echo(said, READ_BACK) == left


def test_e7_arguments_that_are_changed_after_the_yes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forging(fx.StartTool):
        """A core that starts something else than what was read back."""

        def __init__(self, call: ToolCallId, name: str, arguments: object, key: str | None, digest: str | None) -> None:
            del arguments
            super().__init__(call, name, {"amount": 2_500}, key, digest)

    monkeypatch.setattr(doing, "StartTool", Forging)
    call = asked()
    call.until_quiet().run_ms(1_500).says("Yes.")
    assert [effect.arguments for effect in call.record.effects(fx.StartTool)] == [{"amount": 2_500}]
    assert call.ran("send_money") == 0
    call.close()


def test_e7_the_order_of_arguments_is_nothing_that_a_yes_depends_on() -> None:
    async def main() -> None:
        @tool(effect="irreversible", confirm="Really?")
        async def burn(a: int, b: int) -> str:
            """Burn."""
            return "burnt"

        call = Call(burn)
        start = fx.StartTool(ToolCallId("t1"), "burn", {"a": 1, "b": 2}, "k", digest_of("burn", {"b": 2, "a": 1}))
        assert isinstance(await call.tools.run(start, NOW), ToolFinished)

    asyncio.run(main())
