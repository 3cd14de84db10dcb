"""Calls that lead to a phase whose language nobody has after all: the caller is told so by the voice that they know."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.desk_calls import asks, lines
from voiceagent import Flow, HangUpAfter, Phase, Prompt, Requested, Say, Transition
from voiceagent.core import events as ev
from voiceagent.core.effects import Speak
from voiceagent.errors import VoiceFailed
from voiceagent.ports import MULAW_8K, AudioFormat, Engines, ReplyDone, ToolRequest
from voiceagent.runtime.manners import Manners
from voiceagent.spec.manner import Manner
from voiceagent.speech import EnergyVad, NullRecognizer, NullSynthesizer, with_fallbacks
from voiceagent.testing import say
from voiceagent.testing.manual_clock import ManualClock

MOVING = "Ahora mismo le atiendo en español."
MEXICO = VoiceFailed("it knows no es-MX")


class EnglishEar(NullRecognizer):
    """Lists Spanish, and refuses that of Mexico where it is asked for it."""

    def open(self, audio: AudioFormat, *, locale: str) -> Any:
        if locale == "es-MX":
            raise MEXICO
        return super().open(audio, locale=locale)


class EnglishVoice(NullSynthesizer):
    """The same of a voice."""

    def open(self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None) -> Any:
        if locale == "es-MX":
            raise MEXICO
        return super().open(audio, voice=voice, locale=locale, speaking_rate=speaking_rate)


FLOW = Flow(
    name="desk",
    initial="talk",
    phases=(
        Phase(
            name="talk",
            prompt="desk/talk.md",
            on_enter=Say(text="Hello, this is the desk. What can I do for you today?"),
            transitions=(Transition(on=Requested(name="spanish", description="Spanish."), to="espanol", say=MOVING),),
        ),
        Phase(name="espanol", language="es-MX", on_enter=Say(text="Hola."), ends=HangUpAfter()),
    ),
    prompts={"desk/talk.md": Prompt("Be kind.")},
)


@pytest.mark.parametrize(
    "engines",
    [(NullRecognizer("Spanish please"), EnglishVoice()), (EnglishEar("Spanish please"), NullSynthesizer())],
    ids=["voice", "ears"],
)
def test_the_swap_has_failed_and_the_caller_is_led_back_in_words(exchange: Any, engines: Any) -> None:
    chained = with_fallbacks(Engines(EnergyVad(), *engines), clock=exchange.clock)
    model = lines([ToolRequest("t1", "spanish", "{}"), ReplyDone()], say("Only English."))

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(6_000)

    (line,) = exchange.serve(
        scenario,
        FLOW,
        lines=model,
        engines={"recognizer": chained.recognizer, "synthesizer": chained.synthesizer},
    )
    (failed,) = line.all(ev.SwapFailed)
    assert "it knows no es-MX" in failed.reason
    said = {spoken.utterance: spoken.text for spoken in line.all(Speak) if spoken.text}
    heard = [said[utterance] for utterance, audio in line.leg.played.items() if audio]
    assert MOVING in said.values()
    assert MOVING not in heard, "in Spanish, by the English voice"
    assert heard[1:] == [FLOW.phrases.apology, "Only English."]


def test_a_call_begins_without_a_voice_that_can_be_had_for_what_was_rendered_ahead() -> None:
    engines = with_fallbacks(Engines(EnergyVad(), EnglishEar(""), EnglishVoice()), clock=ManualClock())
    manners = Manners(engines, Manner("es-MX", None, None), audio_in=MULAW_8K, audio_out=MULAW_8K)
    manners.change(Manner("es-MX", None, None))
    manners.change(Manner("en-US", None, None))
    manners.close()
