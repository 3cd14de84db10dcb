"""What callers say to those who tell a voice from a tone: a sentence, spoken by the local engines once."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from voiceagent.errors import MissingExtra
from voiceagent.ports import MULAW_8K
from voiceagent.speech import open_engines

__all__ = ["spoken_sentence"]

_SENTENCE = "Tell me the next thing, please."
_FILE = Path("bench-output/next-thing.ulaw")


@cache
def spoken_sentence() -> Path | None:
    """Return a file of 8 kHz µ-law; None where the local engines are not installed."""
    try:
        engines = open_engines("local")
    except MissingExtra:
        return None
    try:
        audio = asyncio.run(engines.synthesizer.render(_SENTENCE, MULAW_8K, voice=None, locale="en-US"))
    finally:
        engines.close()
    _FILE.parent.mkdir(exist_ok=True)
    _FILE.write_bytes(audio)
    return _FILE
