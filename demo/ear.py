"""The demo's ear: what somebody would understand who listens to a recording, twice if need be.

The ear is the small recognizer of this machine. Cut at every breath it sometimes makes up words around a number, and
uncut it sometimes runs numbers together, so it listens both ways, and what it hears either way was said.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from voiceagent.audio import MULAW_SILENCE, pcm16_to_mulaw, read_stereo_wav
from voiceagent.language import language_for
from voiceagent.ports import MULAW_8K, Engines, SpeechOff, SpeechOn
from voiceagent.speech import open_engines

__all__ = ["hears", "what_the_agent_said"]

_MARGIN_MS = 300
_SENTENCE_PAUSE_MS = 700
_ONLY_CENTS = re.compile(r"\$0\.(\d\d)\b")


async def what_the_agent_said(recording: Path) -> tuple[str, ...]:
    """Transcribe the agent's side of a recording: once cut at every breath, once at the ends of sentences."""
    engines = await asyncio.to_thread(open_engines, "local")
    try:
        _, agent, _ = await asyncio.to_thread(read_stereo_wav, recording)
        audio = pcm16_to_mulaw(agent) + bytes([MULAW_SILENCE]) * 1_000 * MULAW_8K.bytes_per_ms
        breaths = list(_stretches(engines, audio))
        recognizer = engines.recognizer.open(MULAW_8K, locale="en-US")
        hearings: list[str] = []
        for stretches in (breaths, _joined(breaths)):
            pieces = [audio[from_ms * 8 : (until_ms + _MARGIN_MS) * 8] for from_ms, until_ms in stretches]
            hearings.append(" ".join([(await recognizer.transcribe(piece)).text for piece in pieces]))
        return tuple(hearings)
    finally:
        await asyncio.to_thread(engines.close)


def hears(amount: Decimal, words: str) -> bool:
    """Whether an amount of dollars is in the words; the recognizer writes cents of their own as $0.18."""
    language = language_for("en-US")
    return language.digits(language.spoken_amount(amount, "USD")) in language.digits(_ONLY_CENTS.sub(r"\1", words))


def _stretches(engines: Engines, audio: bytes) -> Iterator[tuple[int, int]]:
    began_ms = 0
    for change in engines.vad.open(MULAW_8K).feed(audio):
        match change:
            case SpeechOn(at_ms):
                began_ms = max(0, at_ms - _MARGIN_MS)
            case SpeechOff(at_ms):
                yield began_ms, at_ms


def _joined(breaths: list[tuple[int, int]]) -> list[tuple[int, int]]:
    sentences: list[tuple[int, int]] = []
    for from_ms, until_ms in breaths:
        if sentences and from_ms - sentences[-1][1] < _SENTENCE_PAUSE_MS - _MARGIN_MS:
            sentences[-1] = (sentences[-1][0], until_ms)
        else:
            sentences.append((from_ms, until_ms))
    return sentences
