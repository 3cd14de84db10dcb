"""A simulated model's pace: whatever makes the replies, they come after a moment and clause by clause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from voiceagent.core.effects import ModelRequest
from voiceagent.errors import VoiceFailed
from voiceagent.language import Language
from voiceagent.ports import ReplyModel, ReplyPiece, SentText
from voiceagent.spec.flow import Flow
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_world import LATE_MS, Faults, Timing
from voiceagent.testing.stalls import Stalls

__all__ = ["PacedModel"]


class PacedModel:
    """A model, or the lines of a script, with the latencies of a call; fulfils `ReplyModelEngine` and `ReplyModel`."""

    def __init__(
        self,
        model: ModelOfScript | ReplyModel,
        timing: Timing,
        *,
        faults: Faults,
        stalls: Stalls,
        language: Language,
        failed: Callable[[Exception], None],
    ) -> None:
        """`failed` is told of a script that has no line, or breaks: the call would only lose its voice over it."""
        self._model = model
        self._failed = failed
        self._language = language
        self._timing = timing
        self._faults = faults
        self._stalls = stalls
        self._replies = 0

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> PacedModel:
        """Return what makes the replies of the one call."""
        del flow, locale, time_zone
        return self

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Stream one reply. Raises what the model raises, and VoiceFailed where a fault says so."""
        self._replies += 1
        number = self._replies
        splitter = self._language.clause_splitter()
        if number in self._faults.model_stalls:
            await self._stalls.wait()
        late_ms = LATE_MS if number in self._faults.model_late else 0
        await asyncio.sleep((self._timing.first_token_ms + late_ms) / 1_000)
        if number in self._faults.model_fails:
            raise VoiceFailed("simulated fault")
        async for piece in self._pieces(request):
            if isinstance(piece, SentText):
                for clause in [*splitter.feed(piece.text), *splitter.flush()]:
                    await asyncio.sleep(self._timing.token_ms / 1_000)
                    yield SentText(f"{clause} ")
                    if number in self._faults.model_breaks_off:
                        return
            else:
                yield piece

    async def _pieces(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        try:
            if callable(self._model):
                for piece in self._model(request):
                    yield piece
            else:
                async for piece in self._model.reply(request):
                    yield piece
        except VoiceFailed:
            raise
        except Exception as exc:
            self._failed(exc)
            raise

    async def close(self) -> None:
        """Forget the call."""
        if not callable(self._model):
            await self._model.close()
