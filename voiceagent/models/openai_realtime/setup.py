"""What OpenAI Realtime can do, and the session that we ask it for.

Facts from the GA types of the `openai` package 3.54 and its documentation: tools are flat; a field that an update
leaves out keeps its value, so a cleared one is sent empty; PCM is 24 kHz only, G.711 goes through as it is; the model
cannot change within a session, nor the voice once it has spoken; the speed of the voice can, between replies, from
0.25 to 1.5; a session ends after 60 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from voiceagent.ports import MULAW_8K, AudioFormat, OfferedTool, SessionSetup, SpeechCapabilities

__all__ = ["SemanticTurns", "ServerTurns", "Turns", "capabilities_of", "first_session", "next_session"]

_PCM_24K = AudioFormat("pcm16", 24_000)
_ALAW_8K = AudioFormat("alaw", 8_000)
_WIRE_FORMATS: dict[AudioFormat, dict[str, JsonValue]] = {
    _PCM_24K: {"type": "audio/pcm", "rate": 24_000},
    MULAW_8K: {"type": "audio/pcmu"},
    _ALAW_8K: {"type": "audio/pcma"},
}
_FASTEST = 1.5
_SESSION_LIMIT_MS = 60 * 60 * 1_000


@dataclass(frozen=True, slots=True)
class ServerTurns:
    """The caller's turn is over after a silence."""

    silence_ms: int = 500
    threshold: float = 0.5
    """How loud speech must be, 0..1; more where lines are noisy."""


@dataclass(frozen=True, slots=True)
class SemanticTurns:
    """The caller's turn is over when what they said sounds complete; it may take 8, 4 or 2 s where it never does."""

    eagerness: Literal["low", "medium", "high", "auto"] = "auto"


Turns = ServerTurns | SemanticTurns


def capabilities_of(name: str, *, transcribes: bool, turns: Turns) -> SpeechCapabilities:
    """Return the row of an endpoint."""
    return SpeechCapabilities(
        name=name,
        swap="in_place",
        audio_in=tuple(_WIRE_FORMATS),
        audio_out=tuple(_WIRE_FORMATS),
        transcribes=transcribes,
        session_limit_ms=_SESSION_LIMIT_MS,
        turn_ends_after_ms=turns.silence_ms if isinstance(turns, ServerTurns) else None,
    )


def first_session(
    setup: SessionSetup, *, turns: Turns, transcription: str | None, language: str | None
) -> dict[str, JsonValue]:
    """Return the session of the first update, every field that we depend on written out.

    `transcription` names the model that writes down what the caller says; `language` is its hint, as in `de`, where the
    setup has none.
    """
    heard: dict[str, JsonValue] = {
        "format": _WIRE_FORMATS[setup.audio_in],
        "turn_detection": _turn_detection(turns),
        "transcription": _transcription(transcription, _hint(setup) or language),
    }
    spoken: dict[str, JsonValue] = {"format": _WIRE_FORMATS[setup.audio_out]}
    if setup.voice is not None:
        spoken["voice"] = setup.voice
    if setup.speaking_rate is not None:
        spoken["speed"] = min(setup.speaking_rate, _FASTEST)
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        **_phase(setup),
        "audio": {"input": heard, "output": spoken},
    }


def next_session(
    setup: SessionSetup, *, before: SessionSetup, voice: str | None, transcription: str | None
) -> dict[str, JsonValue]:
    """Return the session of a later update: the phase's prompt and tools, and what else is to change.

    That is the voice, where one is given, how fast it speaks, and the language that the caller is heard in.
    """
    session: dict[str, JsonValue] = {"type": "realtime", **_phase(setup)}
    audio: dict[str, JsonValue] = {}
    spoken: dict[str, JsonValue] = {"voice": voice} if voice is not None else {}
    if setup.speaking_rate != before.speaking_rate:
        spoken["speed"] = min(setup.speaking_rate or 1.0, _FASTEST)
    if spoken:
        audio["output"] = spoken
    if transcription is not None and _hint(setup) != _hint(before):
        audio["input"] = {"transcription": _transcription(transcription, _hint(setup))}
    if audio:
        session["audio"] = audio
    return session


def _hint(setup: SessionSetup) -> str | None:
    return setup.language.partition("-")[0].lower() if setup.language else None


def _phase(setup: SessionSetup) -> dict[str, JsonValue]:
    # The static part comes first, byte for byte as it is: what begins alike is cached by the provider.
    prompt = "\n\n".join(part for part in (setup.prompt, setup.late_facts) if part)
    return {"instructions": prompt, "tools": [_function(tool) for tool in setup.tools]}


def _function(tool: OfferedTool) -> JsonValue:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }


def _transcription(model: str | None, language: str | None) -> JsonValue:
    if model is None:
        return None
    return {"model": model, "language": language} if language else {"model": model}


def _turn_detection(turns: Turns) -> dict[str, JsonValue]:
    # Whether the caller may cut in is decided by the conversation, which knows what has been heard of a reply.
    answers: dict[str, JsonValue] = {"create_response": True, "interrupt_response": False}
    match turns:
        case ServerTurns(silence_ms, threshold):
            return {"type": "server_vad", "silence_duration_ms": silence_ms, "threshold": threshold, **answers}
        case SemanticTurns(eagerness):
            return {"type": "semantic_vad", "eagerness": eagerness, **answers}
