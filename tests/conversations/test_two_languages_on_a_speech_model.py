"""A speech model's session is in the language, the voice and the pace of the phase."""

from __future__ import annotations

from typing import Literal

import pytest

from voiceagent import Flow, HangUpAfter, Phase, Prompt, Requested, Say, Transition, Wait
from voiceagent.spec.manner import Manner
from voiceagent.testing import RuntimeCall, ScriptedModel, SimulatedProvider, ask_for, say

Swap = Literal["in_place", "new_session"]


def _flow(voice: str | None) -> Flow:
    return Flow(
        name="desk",
        initial="talk",
        voice="marin",
        prompts={"desk/talk.md": Prompt("Be helpful."), "desk/habla.md": Prompt("Hable español.")},
        phases=(
            Phase(
                name="talk",
                prompt="desk/talk.md",
                on_enter=Say(text="Hello."),
                transitions=(
                    Transition(on=Requested(name="spanish", description="Spanish."), to="habla", say="Un momento."),
                ),
            ),
            Phase(
                name="habla",
                prompt="desk/habla.md",
                language="es-MX",
                voice=voice,
                speaking_rate=0.8,
                on_enter=Wait(),
                transitions=(Transition(on=Requested(name="end", description="Over."), to="end"),),
            ),
            Phase(name="end", on_enter=Say(text="Adiós."), ends=HangUpAfter()),
        ),
    )


def _called(flow: Flow, swap: Swap) -> tuple[RuntimeCall, SimulatedProvider]:
    model = ScriptedModel({"talk": [ask_for("spanish")], "habla": [say("Dígame.")]})
    provider = SimulatedProvider(flow, model, swap=swap)
    call = RuntimeCall(flow, model=model, provider=provider)
    call.start().says("Spanish please")
    return call, provider


@pytest.mark.parametrize("swap", ["in_place", "new_session"])
def test_the_session_is_in_the_manner_of_the_phase(swap: Swap) -> None:
    call, provider = _called(_flow("marin"), swap)
    with call:
        setups = [setup for session in provider.sessions for setup in session.setups]
        manners = list(dict.fromkeys((setup.language, setup.voice, setup.speaking_rate) for setup in setups))
        assert manners == [("en-US", "marin", None), ("es-MX", "marin", 0.8)]
        assert len(provider.sessions) == (1 if swap == "in_place" else 2)
        call.hangs_up()


def test_another_voice_is_another_session() -> None:
    call, provider = _called(_flow("cedar"), "in_place")
    with call:
        assert [session.setup.voice for session in provider.sessions] == ["marin", "cedar"]
        call.hangs_up()


def test_what_the_flow_says_itself_is_said_in_that_manner_too() -> None:
    call, _ = _called(_flow("cedar"), "in_place")
    with call:
        assert "Un momento." in call.heard
        assert call.server.engines.synthesizer.manners[-1] == Manner("es-MX", "cedar", 0.8)
        call.run_ms(8_000)
        assert call.heard[-1] == "¿Sigue ahí?"
        call.hangs_up()
