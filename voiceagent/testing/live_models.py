"""Live models in scripted conversations: they are asked and waited for, while in the call no time passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from voiceagent.core.effects import ModelRequest
from voiceagent.errors import ScriptError, VoiceFailed
from voiceagent.ports import ReplyDone, ReplyModel, ReplyModelEngine, ReplyPiece
from voiceagent.spec.flow import Flow

__all__ = ["CountedModels", "LiveModels", "Spent"]


@dataclass(slots=True)
class Spent:
    """What a model was asked for, as far as it says so."""

    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __str__(self) -> str:
        replies = f"{self.replies:,} {'reply' if self.replies == 1 else 'replies'}"
        return f"{replies}, {self.input_tokens:,} tokens in, {self.output_tokens:,} tokens out"


class CountedModels:
    """Another engine, with its whole replies and their tokens counted; fulfils `ReplyModelEngine`."""

    def __init__(self, engine: ReplyModelEngine) -> None:
        """Take the engine over: closing this closes it."""
        self.spent = Spent()
        self._engine = engine

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> ReplyModel:
        """Return a handle for one call of this flow."""
        return _CountedModel(self._engine.open(flow, locale=locale, time_zone=time_zone), self.spent)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


@dataclass(frozen=True, slots=True)
class _CountedModel:
    _model: ReplyModel
    _spent: Spent

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Stream the reply, and count it once it is whole."""
        async for piece in self._model.reply(request):
            if isinstance(piece, ReplyDone):
                self._spent.replies += 1
                self._spent.input_tokens += piece.input_tokens or 0
                self._spent.output_tokens += piece.output_tokens or 0
            yield piece

    async def close(self) -> None:
        """Forget the call."""
        await self._model.close()


@dataclass(slots=True)
class LiveModels:
    """Runs every reply of an engine to its end, so that calls without an event loop can have it.

    A context manager: it closes the engine, which writes a recording.
    """

    engine: ReplyModelEngine
    """Closed by this."""
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner, init=False)

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> ReplyModel:
        """Return a model for one call of this flow. In place of VoiceFailed its replies raise ScriptError.

        A provider's failure is none of the agent's: a call that survives it has shown nothing about the model.
        """
        return _LiveModel(self.engine.open(flow, locale=locale, time_zone=time_zone), self._runner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._runner:
            self._runner.run(self.engine.close())


@dataclass(frozen=True, slots=True)
class _LiveModel:
    _model: ReplyModel
    _runner: asyncio.Runner

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Yield the pieces of the whole reply, without waiting for anything between them."""
        try:
            pieces = self._runner.run(_whole(self._model, request))
        except VoiceFailed as exc:
            raise ScriptError(f"the live model failed: {exc}") from exc
        for piece in pieces:
            yield piece

    async def close(self) -> None:
        """Forget the call."""
        await self._model.close()


async def _whole(model: ReplyModel, request: ModelRequest) -> list[ReplyPiece]:
    return [piece async for piece in model.reply(request)]
