"""Hears and speaks with Google's Gemini Live models, over their WebSocket.

What this provider is like, beyond its record (`docs/gemini-live.md` says where each fact comes from):

- Generations of models share a protocol and differ in what they take in mid-call; see `generations`.
- There is no cancel and no truncation: a reply that nobody wants is swallowed here until the model is done with it, and
  the model knows only from its own hearing that the caller has cut in.
- A tool's result makes the model speak. So it is kept back until somebody asks for the reply, and a swap can come
  between a request and its result.
- Words that are told cut a running reply off, so they wait for its end.
"""

from __future__ import annotations

from voiceagent.models.gemini_live.engine import GeminiLiveModels
from voiceagent.models.gemini_live.generations import (
    LIVE_2,
    LIVE_3_1,
    LIVE_3_8,
    LIVE_3_8_THINKING,
    Generation,
    generation_of,
)

__all__ = [
    "LIVE_2",
    "LIVE_3_1",
    "LIVE_3_8",
    "LIVE_3_8_THINKING",
    "GeminiLiveModels",
    "Generation",
    "generation_of",
]
