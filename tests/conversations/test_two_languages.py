"""A caller who asks for Spanish gets all of it: prompt, voice, numbers, yes and no, fillers and reprompts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from voiceagent import (
    Facts,
    Flow,
    Form,
    GuidedDialogue,
    HangUpAfter,
    Intent,
    Phase,
    Requested,
    Say,
    Slot,
    SpokenAmount,
    Transition,
    Wording,
    YesNo,
    tool,
)
from voiceagent.core import effects as fx
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.errors import OperatorError
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import AudioFormat
from voiceagent.spec.manner import Manner
from voiceagent.spec.wording import Phrases
from voiceagent.testing import After, RuntimeCall, ScriptedCall

Call = ScriptedCall | RuntimeCall


class _Facts(Facts):
    sent: bool = False


@tool(effect="irreversible", confirm="¿Envío {{ amount | money('EUR') }} a sus ahorros?", sets=("sent",))
async def send_money(amount: float) -> dict[str, object]:
    """Send money."""
    raise AssertionError("scripted tools never run")


FLOW = Flow(
    name="two_languages",
    initial="greeting",
    facts=_Facts,
    voice="heart",
    phases=(
        Phase(
            name="greeting",
            on_enter=Say(text="Hello, how can I help you?"),
            guided=GuidedDialogue(
                intents=(Intent(does="spanish", examples=("Spanish please", "do you speak Spanish", "en español")),),
            ),
            transitions=(
                Transition(
                    on=Requested(name="spanish", description="The caller wants Spanish."),
                    to="envios",
                    say="Un momento, por favor.",
                ),
            ),
        ),
        Phase(
            name="envios",
            language="es-ES",
            voice="lucia",
            speaking_rate=0.8,
            tools=(send_money,),
            expects=(SpokenAmount(), YesNo()),
            guided=GuidedDialogue(
                form=Form(
                    does=send_money,
                    slots=(Slot(name="amount", expects=SpokenAmount(), ask="¿Cuánto quiere enviar?"),),
                ),
                replies={"send_money": "Hecho. He enviado {{ arguments.amount | money('EUR') }}."},
            ),
            transitions=(Transition(on=Requested(name="end", description="Over."), to="end"),),
        ),
        Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)


def on_the_core(flow: Flow) -> ScriptedCall:
    return ScriptedCall(
        flow,
        model=GuidedModels().open(flow, locale=flow.locale, time_zone="UTC"),
        tools={"send_money": After(3_000, {"sent": True})},
        inherited=Inherited(CallId("c1")),
    )


def through_the_runtime(flow: Flow) -> RuntimeCall:
    return RuntimeCall(
        flow,
        model=GuidedModels().open(flow, locale=flow.locale, time_zone="UTC"),
        tools={"send_money": After(3_000, {"sent": True})},
    )


@pytest.fixture(params=[on_the_core, through_the_runtime])
def call(request: pytest.FixtureRequest) -> Iterator[Call]:
    placed: Call = request.param(FLOW)
    yield placed
    if isinstance(placed, RuntimeCall):
        placed.hangs_up()
        placed.assert_replays()


def in_spanish(call: Call) -> Call:
    call.start()
    call.says("Do you speak Spanish?")
    return call


def test_the_phase_is_spoken_and_heard_in_its_manner_from_the_sentence_on_the_way_on(call: Call) -> None:
    in_spanish(call)
    assert call.heard[1:] == ["Un momento, por favor.", "¿Cuánto quiere enviar?"]
    swaps = call.record.effects(fx.SwapPhase)
    assert [swap.manner for swap in swaps] == [Manner("en-US", "heart"), Manner("es-ES", "lucia", 0.8)]


def test_numbers_read_backs_fillers_and_a_yes_are_spanish(call: Call) -> None:
    in_spanish(call)
    call.says("Doscientos cincuenta euros")
    assert call.heard[-1] == "¿Envío 250 euros a sus ahorros?"
    call.says("Sí, claro.")
    assert call.tool_runs[-1][1]["amount"] == 250
    assert call.record.fillers == ["Un momento."]
    assert call.heard[-1] == "Hecho. He enviado 250 euros. ¿Cuánto quiere enviar?"


def test_a_no_is_spanish(call: Call) -> None:
    in_spanish(call)
    call.says("Cien euros")
    call.says("No, mejor no.")
    assert call.tool_runs == []


def test_what_nobody_has_written_for_the_phase_is_said_in_its_language(call: Call) -> None:
    in_spanish(call)
    call.run_ms(7_000)
    assert call.heard[-1] == "¿Sigue ahí?"


def test_a_sentence_that_goes_on_is_waited_for_in_spanish(call: Call) -> None:
    in_spanish(call)
    call.says("Pues quiero enviar… doscientos euros")
    assert call.heard[-1] == "¿Envío 200 euros a sus ahorros?"


def test_before_the_change_the_caller_is_asked_in_english(call: Call) -> None:
    call.start()
    call.run_ms(7_000)
    assert call.heard[-1] == "Are you still there?"


def test_a_flow_may_have_other_words_for_a_language() -> None:
    own = FLOW.model_copy(update={"wordings": {"es": Wording(phrases=Phrases(goodbye_silent="Cuelgo. Adiós."))}})
    placed = in_spanish(on_the_core(own))
    placed.run_ms(60_000)
    assert placed.heard[-2:] == ["No le oigo. ¿Está ahí?", "Cuelgo. Adiós."]


def test_the_runtime_opens_ears_and_mouth_in_the_manner_of_each_phase() -> None:
    placed = through_the_runtime(FLOW)
    in_spanish(placed)
    assert placed.server.engines.recognizer.locales == ["en-US", "es-ES"]
    assert placed.server.engines.synthesizer.manners == [Manner("en-US", "heart"), Manner("es-ES", "lucia", 0.8)]
    spoken = {clause.text: clause for clause in placed.voice.said}
    slow, usual = spoken["¿Cuánto quiere enviar?"], spoken["Hello, how can I help you?"]
    assert slow.length_ms / len(slow.text) == pytest.approx(65 / 0.8, rel=0.03)
    assert usual.length_ms / len(usual.text) == pytest.approx(65, rel=0.03)
    placed.hangs_up()
    placed.assert_replays()


def test_the_recognizer_is_told_to_listen_for_a_spanish_yes() -> None:
    asks = Phase(name="asks", language="es", on_enter=Say(text="¿Sigue ahí?"), expects=(YesNo(),))
    placed = on_the_core(Flow(name="asks", initial="asks", phases=(asks,))).start()
    placed.says("Sí")
    assert placed.record.effects(fx.Transcribe)[-1].hints == ("sí", "no")


def test_where_an_engine_has_not_got_the_language_nothing_has_changed_and_the_call_is_led_back() -> None:
    placed = through_the_runtime(FLOW)
    ears = placed.server.engines.recognizer
    opened = ears.open

    def only_english(audio: AudioFormat, *, locale: str) -> object:
        if locale != "en-US":
            raise OperatorError("English only")
        return opened(audio, locale=locale)

    ears.open = only_english
    in_spanish(placed)
    assert placed.conversation.phase == "greeting"
    assert "I am sorry, something went wrong on my side." in placed.heard
    assert "Un momento, por favor." not in placed.heard, "nobody can say that"
    problems = [problem.what for problem in placed.record.effects(fx.ReportProblem)]
    assert problems == ["swap failed", "speech failed"]
    placed.hangs_up()
    placed.assert_replays()
