"""A phase may have a language, a voice and a pace of its own, and what the framework says there is in that language."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from voiceagent import Filler, Flow, HangUpAfter, Phase, PhaseError, Phrases, Reprompts, Say, Transition, Wording, tool
from voiceagent.cli.agents import agents_to_serve
from voiceagent.cli.commands import app
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.render_ahead import render_ahead
from voiceagent.spec.manner import Manner
from voiceagent.spec.phase import TimedOut
from voiceagent.spec.schema import flow_schema
from voiceagent.spec.verify import verify
from voiceagent.spec.verify.languages import unspoken_languages

YAML = """
name: desk
initial: talk
voice: heart
wordings:
  es: {phrases: {resumed: "Ya estamos."}, filler: {phrases: [Ahora mismo.]}}
phases:
  - name: talk
    on_enter: {say: Hello.}
    backchannels: usual
    timeout_ms: 9000
    transitions: [{on: timed_out, to: hablar, say: Un momento.}]
  - name: hablar
    on_enter: {say: Hola.}
    language: es-MX
    voice: lucia
    speaking_rate: 0.8
    backchannels: [Ajá., Sí.]
    ends: hang_up_after
"""


@pytest.fixture
def agent(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        folder = tmp_path / "phases" / "desk"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "flow.yaml").write_text(text)
        return folder

    return written


def _flow(**more: object) -> Flow:
    return Flow(
        name="desk",
        initial="talk",
        voice="heart",
        phases=(
            Phase(
                name="talk",
                on_enter=Say(text="Hello."),
                timeout_ms=9_000,
                backchannels="usual",
                transitions=(Transition(on=TimedOut(), to="hablar", say="Un momento."),),
            ),
            Phase(
                name="hablar",
                on_enter=Say(text="Hola."),
                language="es-MX",
                voice="lucia",
                speaking_rate=0.8,
                backchannels=("Ajá.", "Sí."),
                ends=HangUpAfter(),
            ),
        ),
        **{
            "wordings": {
                "es": Wording(phrases=Phrases(resumed="Ya estamos."), filler=Filler(phrases=("Ahora mismo.",)))
            },
            **more,
        },
    )


# --- what is declared ------------------------------------------------------------------------------------------------


def test_language_voice_pace_and_backchannels_are_written_in_yaml_as_in_python(agent: Callable[[str], Path]) -> None:
    assert load_flow(agent(YAML)).sha256 == _flow().sha256


def test_a_phase_has_the_flows_language_and_voice_unless_it_says_otherwise() -> None:
    talk, hablar = _flow().phases
    assert _flow().manner_of(talk) == Manner("en-US", "heart")
    assert _flow().manner_of(hablar) == Manner("es-MX", "lucia", 0.8)


def test_the_flows_voice_does_not_speak_another_language() -> None:
    hablar = _flow().phases[1].model_copy(update={"voice": None})
    assert _flow().manner_of(hablar) == Manner("es-MX", None, 0.8)


@pytest.mark.parametrize("rate", [0.4, 2.1])
def test_a_pace_that_nobody_understands_is_refused(rate: float) -> None:
    with pytest.raises(ValidationError, match="speaking_rate"):
        Phase(name="talk", speaking_rate=rate)


def test_a_word_for_backchannels_that_does_not_exist_is_told_with_its_line(agent: Callable[[str], Path]) -> None:
    with pytest.raises(PhaseError, match=r"flow\.yaml:10: backchannels: there is no 'usal'; did you mean 'usual'\?"):
        load_flow(agent(YAML.replace("usual", "usal")))


def test_a_language_that_does_not_exist_is_told_with_its_line(agent: Callable[[str], Path]) -> None:
    (finding,) = verify(load_flow(agent(YAML.replace("es-MX", "tlh"))))
    assert finding.code == "unknown-locale"
    assert str(finding.source).endswith("flow.yaml:15")
    assert "phase 'hablar': no language for locale 'tlh'" in finding.message
    (finding,) = verify(load_flow(agent(YAML.replace("  es: {", "  tlh: {"))))
    assert "wordings: no language for locale 'tlh'" in finding.message
    assert str(finding.source).endswith("flow.yaml:6")


def test_the_schema_knows_the_keys() -> None:
    definitions = flow_schema()["$defs"]
    keys = definitions["Phase"]["properties"]
    assert {"language", "voice", "speaking_rate"} <= keys.keys()
    assert {"const": "usual"} in keys["backchannels"]["anyOf"]


# --- what the framework says -----------------------------------------------------------------------------------------


def test_what_is_not_written_is_said_in_the_language_of_the_phase() -> None:
    talk, hablar = _flow().phases
    english, spanish = _flow().wording_of(talk), _flow().wording_of(hablar)
    assert english.no_input.phrases[0] == "Are you still there?"
    assert spanish.no_input.phrases[0] == "¿Sigue ahí?"
    assert english.phrases.apology == Phrases().apology
    assert spanish.phrases.apology == "Lo siento, algo ha fallado por mi parte."
    assert _flow().backchannels_of(talk) == ("Mm-hm.", "I see.", "Okay.")


def test_what_the_flow_says_of_a_language_comes_before_what_is_shipped() -> None:
    wording = _flow().wording_of(_flow().phases[1])
    assert wording.phrases.resumed == "Ya estamos."
    assert wording.filler.phrases == ("Ahora mismo.",)
    assert wording.filler.later == ("Sigo buscando, gracias por esperar.", "Está tardando un poco más, sigo aquí.")


def test_the_flows_own_words_are_for_phases_of_its_own_language_and_its_patience_for_all() -> None:
    flow = _flow(filler=Filler(patience_ms=500, phrases=("Hang on.",)), phrases=Phrases(apology="Oops."))
    talk, hablar = flow.phases
    assert (flow.filler_of(talk).phrases, flow.filler_of(talk).patience_ms) == (("Hang on.",), 500)
    assert (flow.filler_of(hablar).phrases, flow.filler_of(hablar).patience_ms) == (("Ahora mismo.",), 500)
    assert flow.wording_of(talk).phrases.apology == "Oops."
    assert flow.wording_of(hablar).phrases.apology != "Oops."


def test_a_flow_in_spanish_needs_no_words_of_its_own() -> None:
    flow = _flow(locale="es", wordings={})
    assert flow.wording_of(flow.phases[0]).phrases.goodbye_silent.endswith("Adiós.")
    assert flow.filler_of(flow.phases[0]).phrases == ("Un momento.", "Déjeme ver.", "Un segundo.")


def test_a_tools_words_are_said_where_the_flows_language_is_spoken() -> None:
    @tool(filler=Filler(patience_ms=300, phrases=("Asking the bank.",)))
    async def ask() -> str:
        """Ask."""
        return ""

    flow = _flow(tools=(ask,))
    talk, hablar = flow.phases
    assert flow.filler_of(talk, ask).phrases == ("Asking the bank.",)
    assert flow.filler_of(hablar, ask).phrases == ("Ahora mismo.",)
    assert flow.filler_of(hablar, ask).patience_ms == 300


def test_a_phases_own_reprompts_are_said_as_they_stand() -> None:
    own = Phase(name="hablar", language="es", no_input=Reprompts(phrases=("¿Hola?",)), ends=HangUpAfter())
    flow = _flow().model_copy(update={"phases": (_flow().phases[0], own)})
    assert flow.wording_of(own).no_input.phrases == ("¿Hola?",)


def test_the_phrases_of_every_language_say_the_same_things() -> None:
    spanish = _flow(wordings={}).wording_of(_flow().phases[1])
    english = Wording()
    assert [
        name for name in Phrases.model_fields if getattr(spanish.phrases, name) == getattr(english.phrases, name)
    ] == []
    assert len(spanish.no_input.phrases) == len(english.no_input.phrases)
    assert len(spanish.no_match.phrases) == len(english.no_match.phrases)


# --- what the engines have -------------------------------------------------------------------------------------------


def test_a_phase_in_a_language_that_an_engine_lacks_is_told_with_its_line(agent: Callable[[str], Path]) -> None:
    flow = load_flow(agent(YAML))
    assert list(unspoken_languages(flow, heard=("en", "es"), spoken=("es", "en"))) == []
    (finding,) = unspoken_languages(flow, heard=("en", "es"), spoken=("en",))
    assert finding.message == "phase 'hablar' is in 'es-MX': the synthesizer has only en"
    assert str(finding.source).endswith("flow.yaml:15")


def test_check_says_what_the_engines_lack(agent: Callable[[str], Path]) -> None:
    folder = agent(YAML)
    refused = CliRunner().invoke(app, ["check", str(folder)])
    assert refused.exit_code == 1
    assert "flow.yaml:15: error: phase 'hablar' is in 'es-MX': the recognizer has only en" in refused.output
    assert "[language-not-spoken]" in refused.output
    assert CliRunner().invoke(app, ["check", str(folder), "--engines", "null"]).exit_code == 0


def test_an_agent_is_not_served_by_engines_that_lack_its_language(agent: Callable[[str], Path]) -> None:
    folder = agent(YAML)
    with pytest.raises(PhaseError, match=r"flow\.yaml:15: error: phase 'hablar' is in 'es-MX'"):
        agents_to_serve([str(folder)], service_url="")
    assert list(agents_to_serve([str(folder)], service_url="", engines="null")) == ["desk"]


class _Recorder:
    """Notes in which manner what is rendered."""

    languages = ("en", "es")

    def __init__(self) -> None:
        self.rendered: dict[str, list[Manner]] = {}

    async def render(
        self, text: str, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None
    ) -> bytes:
        self.rendered.setdefault(text, []).append(Manner(locale, voice, speaking_rate))
        return b"\xff" * 8 * 100


@pytest.fixture
def rendered() -> dict[str, list[Manner]]:
    recorder = _Recorder()
    asyncio.run(render_ahead(_flow(), recorder, Learned(), MULAW_8K))  # pyright: ignore[reportArgumentType] - all that is asked of it
    return recorder.rendered


def test_every_sentence_is_rendered_ahead_in_the_manner_of_each_phase_that_says_it(
    rendered: dict[str, list[Manner]],
) -> None:
    english, spanish = Manner("en-US", "heart"), Manner("es-MX", "lucia", 0.8)
    assert rendered["Hello."] == [english]
    assert rendered["One moment."] == [english]
    assert rendered["Mm-hm."] == [english]
    assert rendered["Ahora mismo."] == [spanish]
    assert rendered["Un momento."] == [spanish]
    assert rendered["Ajá."] == [spanish]
    assert all(manners in ([english], [spanish]) for manners in rendered.values())
