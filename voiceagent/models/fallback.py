"""Answers the caller with the first model that can: where one fails before its first word, the next one speaks."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from voiceagent.breaker import Breaker
from voiceagent.core.effects import ModelRequest
from voiceagent.errors import VoiceFailed
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.ports import Clock, ReplyModel, ReplyModelEngine, ReplyPiece
from voiceagent.spec.flow import Flow

__all__ = ["FallbackModels"]

_log = logging.getLogger(__name__)
_CALL_PATIENCE = 2
"""Failures in a row after which a call asks a model last: no caller waits a third time for the same one."""


class FallbackModels:
    """A chain of engines in the order in which they are asked; fulfils `ReplyModelEngine`."""

    def __init__(
        self,
        first: ReplyModelEngine,
        *then: ReplyModelEngine,
        clock: Clock,
        failures_to_open: int = 5,
        rest_ms: int = 30_000,
    ) -> None:
        """Take the engines over: closing this closes them.

        Every engine but the last has a circuit breaker, shared by all calls: after `failures_to_open` failures in a
        row nobody asks it for `rest_ms`, then one call tries it. The last, which should need no provider, is always
        asked.
        """
        self._engines = (first, *then)
        self._breakers = [Breaker(clock, failures_to_open=failures_to_open, rest_ms=rest_ms) for _ in then]

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> _FallbackModel:
        """Return a handle for one call of this flow, with a handle of every engine."""
        models = [engine.open(flow, locale=locale, time_zone=time_zone) for engine in self._engines]
        breakers = [*self._breakers, None]
        return _FallbackModel([_Link(model, breaker) for model, breaker in zip(models, breakers, strict=True)])

    async def close(self) -> None:
        """Close all engines, whatever one of them raises."""
        async with AsyncExitStack() as closing:
            for engine in self._engines:
                closing.push_async_callback(engine.close)


class _FallbackModel:
    """The chain as one call sees it."""

    def __init__(self, links: Sequence[_Link]) -> None:
        self._links = links

    async def reply(self, request: ModelRequest) -> AsyncGenerator[ReplyPiece]:
        """Stream the reply of the first model that begins one.

        Raises VoiceFailed where a model fails after its first piece, since words that were said cannot be taken back;
        and where none of them begins: then its text is what each of them said.
        """
        reasons: list[str] = []
        for link in sorted(self._links, key=lambda link: link.given_up):
            attempt = object()
            if not link.admits(attempt):
                continue
            pieces = link.model.reply(request)
            begun = False
            failure: VoiceFailed | None = None
            try:
                async for piece in pieces:
                    begun = True
                    yield piece
            except VoiceFailed as exc:
                failure = exc
                if begun:
                    raise
            finally:
                # Also where the caller cut the reply short: a model that had begun has answered.
                link.leave(attempt, begun=begun, failure=failure)
                await _abandon(pieces)
            if failure is None:
                return
            # One that lets nobody in is for the operator to mend, and they have to be told so.
            _log.log(logging.ERROR if failure.permanent else logging.WARNING, "a model did not answer: %s", failure)
            reasons.append(str(failure))
        raise VoiceFailed("; ".join(reasons))

    async def close(self) -> None:
        """Close the call's handles, whatever one of them raises."""
        async with AsyncExitStack() as closing:
            for link in self._links:
                closing.push_async_callback(link.model.close)


async def _abandon(pieces: AsyncIterator[ReplyPiece]) -> None:
    """Close the generation now: left to the garbage collector its request would go on."""
    if isinstance(pieces, AsyncGenerator):
        await pieces.aclose()


@dataclass(slots=True)
class _Link:
    """One model of the chain and what this call has seen of it."""

    model: ReplyModel
    breaker: Breaker | None
    failures: int = 0
    """In a row."""
    given_up: bool = False

    def admits(self, attempt: object) -> bool:
        return self.breaker is None or self.breaker.admits(attempt)

    def leave(self, attempt: object, *, begun: bool, failure: VoiceFailed | None) -> None:
        if failure is not None:
            self._failed(failure)
        elif begun:
            self._answered()
        if self.breaker is not None:
            self.breaker.leave(attempt)

    def _answered(self) -> None:
        self.failures = 0
        if self.breaker is not None:
            self.breaker.answered()

    def _failed(self, failure: VoiceFailed) -> None:
        self.failures += 1
        permanent = failure.permanent
        self.given_up = self.given_up or permanent or self.failures >= _CALL_PATIENCE
        if self.breaker is None or isinstance(failure, ReplyRefused):
            return  # a model that refuses works; another call's request may well suit it
        if permanent:
            self.breaker.failed_for_good()
        else:
            waits_ms = failure.retry_after_ms if isinstance(failure, ModelUnavailable) else None
            self.breaker.failed(rest_ms=waits_ms or 0)
