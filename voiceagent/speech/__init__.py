"""Ears and mouth of a call: voice activity, recognisers, synthesisers, one engine per file.

Importing this package needs no extra; `open_engines("local")` needs `voiceagent[local]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

from voiceagent.language import LANGUAGES
from voiceagent.ports import Clock, Engines, RecognizerEngine, SynthesizerEngine, VadEngine
from voiceagent.speech.canned import CannedPhrases
from voiceagent.speech.chain import RecognizerChain, SynthesizerChain
from voiceagent.speech.energy import EnergyVad
from voiceagent.speech.null import NULL_HEARS, NullRecognizer, NullSynthesizer
from voiceagent.speech.unnamed_voice import UnnamedVoice

__all__ = [
    "EnergyVad",
    "Engines",
    "NullRecognizer",
    "NullSynthesizer",
    "languages_of",
    "open_engines",
    "with_fallbacks",
]


def open_engines(
    kind: Literal["local", "null"],
    *,
    pause_ms: int = 200,
    heard: str | Sequence[str] = NULL_HEARS,
    end_of_turn: Path | None = None,
    end_of_turn_sha256: str | None = None,
    vad: Literal["silero", "energy"] | None = None,
) -> Engines:
    """Open the engines of a process; blocks for about a second where models are loaded.

    `local` runs Silero, Moonshine and Hibari on this machine. `null` needs nothing: loudness for
    voice activity, `heard` for what callers say (see `NullRecognizer`), a hum for speech.
    Either can have the other's voice activity: `vad`. `pause_ms` without voice end an utterance.
    `end_of_turn` is the file of a Smart Turn v3, which then hears whether callers have finished.
    Raises MissingExtra, WeightsError.
    """
    with ExitStack() as opened:
        judge = None
        if end_of_turn is not None:
            from voiceagent.speech.smart_turn import SmartTurn

            judge = SmartTurn(end_of_turn, sha256=end_of_turn_sha256)
            opened.callback(judge.close)
        if kind == "null":
            ears = _open_vad(vad or "energy", pause_ms)
            engines = Engines(ears, NullRecognizer(heard), NullSynthesizer(), judge)
        else:
            engines = replace(_open_local(_open_vad(vad or "silero", pause_ms)), end_of_turn=judge)
        opened.pop_all()
    return engines


def languages_of(kind: Literal["local", "null"]) -> tuple[Sequence[str], Sequence[str]]:
    """Return what these engines understand and what they speak, as subtags such as "en"; no model is loaded."""
    if kind == "null":
        return LANGUAGES, LANGUAGES
    from voiceagent.speech.hibari import HIBARI_LANGUAGES
    from voiceagent.speech.moonshine import MOONSHINE_LANGUAGES

    return MOONSHINE_LANGUAGES, HIBARI_LANGUAGES


def with_fallbacks(
    engines: Engines,
    *,
    clock: Clock,
    recognizers: Sequence[RecognizerEngine] = (),
    synthesizers: Sequence[SynthesizerEngine] = (),
    beside_model: bool = False,
) -> Engines:
    """Return the engines under deadlines and breakers, with these behind them in the order in which they are asked.

    `beside_model`: voices that flows name are a speech model's, and the synthesizers speak with their own.
    Behind the last synthesizer stands what was rendered ahead. All of them are taken over: closing closes them.
    """
    canned = CannedPhrases(SynthesizerChain(engines.synthesizer, *synthesizers, clock=clock))
    return Engines(
        engines.vad,
        RecognizerChain(engines.recognizer, *recognizers, clock=clock),
        UnnamedVoice(canned) if beside_model else canned,
        engines.end_of_turn,
    )


def _open_vad(name: Literal["silero", "energy"], pause_ms: int) -> VadEngine:
    if name == "energy":
        return EnergyVad(pause_ms=pause_ms)
    from voiceagent.speech.silero import SileroVad

    engine = SileroVad(pause_ms=pause_ms)
    engine.warm_up()
    return engine


def _open_local(vad: VadEngine) -> Engines:
    from voiceagent.speech.hibari import HibariSynthesizer
    from voiceagent.speech.moonshine import MoonshineRecognizer

    with ExitStack() as opened:
        opened.callback(vad.close)
        recognizer = MoonshineRecognizer()
        opened.callback(recognizer.close)
        synthesizer = HibariSynthesizer()
        opened.callback(synthesizer.close)
        recognizer.warm_up()
        synthesizer.warm_up()
        opened.pop_all()
    return Engines(vad, recognizer, synthesizer)
