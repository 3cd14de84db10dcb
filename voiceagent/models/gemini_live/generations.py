"""Generations of Gemini Live models: one protocol, and what each of them takes in the middle of a call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from voiceagent.ports import AudioFormat, SpeechCapabilities

__all__ = [
    "LIVE_2",
    "LIVE_3_1",
    "LIVE_3_8",
    "LIVE_3_8_THINKING",
    "PCM_16K",
    "PCM_24K",
    "Generation",
    "capabilities_of",
    "generation_of",
]

PCM_16K = AudioFormat("pcm16", 16_000)
"""What the models hear; other rates would be resampled over there."""
PCM_24K = AudioFormat("pcm16", 24_000)
"""What the models speak, always."""

_CONNECTION_LIMIT_MS = 600_000  # "about 10 minutes"; `goAway` comes about a minute before it
_VERSION = re.compile(r"gemini-(?:live-)?(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one generation of models takes in mid-call."""

    name: str
    updates: bool
    """Whether `contextUpdate` replaces prompt and tools of the live session."""
    asked_by: Literal["words", "nothing"]
    """What makes it reply: a turn with words in it, or the bare end of a turn (3.x answers a placeholder with an empty
    turn)."""
    tool_behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None
    """What is written into every declaration; None where that would be refused, and it blocks."""
    history_ends_with_caller: bool = False
    """Whether a history that ends with the agent's words is refused."""

    @property
    def blocks(self) -> bool:
        """Whether the model is silent until it has the result of a tool. The result makes any model speak."""
        return self.tool_behavior != "NON_BLOCKING"


LIVE_2 = Generation(name="2", updates=False, asked_by="words", history_ends_with_caller=True)
"""Gemini 2.x. A 2.5 model may not remember the history for the next turn that it hears, only for one it is asked for
in words: a swap to it is better followed by `ask` than by waiting for the caller."""
LIVE_3_1 = Generation(name="3.1", updates=False, asked_by="nothing")
LIVE_3_8 = Generation(name="3.8", updates=True, asked_by="nothing", tool_behavior="BLOCKING")
"""Its tools would not block by themselves; then it goes on talking under a prompt that is about to be replaced."""
LIVE_3_8_THINKING = Generation(
    name="3.8 extended thinking", updates=True, asked_by="nothing", tool_behavior="NON_BLOCKING"
)
"""Takes nothing but tools that do not block."""


def generation_of(model: str) -> Generation:
    """Return the generation that a model's name speaks of. An unknown name is taken for the one that promises least."""
    version = _VERSION.search(model)
    number = [int(version[1]), int(version[2])] if version else [0, 0]
    if number < [3, 0]:
        return LIVE_2
    if number < [3, 8]:
        return LIVE_3_1
    return LIVE_3_8_THINKING if "extended-thinking" in model else LIVE_3_8


def capabilities_of(generation: Generation) -> SpeechCapabilities:
    """Return the provider's row for models of this generation."""
    return SpeechCapabilities(
        name="gemini_live",
        swap="in_place" if generation.updates else "new_session",
        audio_in=(PCM_16K,),
        audio_out=(PCM_24K,),
        transcribes=True,
        session_limit_ms=_CONNECTION_LIMIT_MS,
    )
