"""Chains of engines: where the first does not hear or speak, the next one does, before the caller notices a silence.

An engine that fails in a call is reopened for that call once, and asked last from then on: a voice that has changed
does not change back. A breaker per engine keeps other calls from waiting for it too.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from voiceagent.breaker import Breaker
from voiceagent.errors import VoiceFailed
from voiceagent.in_time import within
from voiceagent.ports import (
    AudioFormat,
    Clock,
    RecognizerEngine,
    RecognizerHandle,
    SynthesizerEngine,
    SynthesizerHandle,
    Transcript,
    WordsSpoken,
)
from voiceagent.spec.prompt import DEFAULT_LOCALE

__all__ = ["RecognizerChain", "SynthesizerChain"]

_log = logging.getLogger(__name__)
_REST_MS = 5_000
"""A local engine that is overloaded is not down for long; a caller who cannot be heard is asked again after this."""
_MS_PER_CHARACTER = 65
"""English at an agent's pace: how many words of a clause were said is told by it where an engine breaks off."""


class _Handle(Protocol):
    def close(self) -> None: ...


HandleT = TypeVar("HandleT", bound=_Handle)


@dataclass(slots=True)
class _Link(Generic[HandleT]):
    """One engine as one call knows it."""

    name: str
    breaker: Breaker
    reopen: Callable[[], HandleT]
    handle: HandleT
    failures: int = 0

    def failed(self, reason: str) -> None:
        """It has failed in this call: a handle that is new may fare better, once."""
        _log.warning("%s failed: %s", self.name, reason)
        self.breaker.failed()
        self.failures += 1
        if self.failures > 1:
            return
        with suppress(Exception):  # adapter boundary: it is broken, and may break over this as well
            self.handle.close()
        try:
            self.handle = self.reopen()
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            _log.warning("%s cannot be opened again: %s", self.name, _told(exc))


def _links(
    engines: Sequence[object], breakers: Sequence[Breaker], openings: Sequence[Callable[[], HandleT]]
) -> tuple[list[_Link[HandleT]], list[str]]:
    """Open a handle of each engine; returns those there are, and why of others there is none."""
    links: list[_Link[HandleT]] = []
    reasons: list[str] = []
    for engine, breaker, opening in zip(engines, breakers, openings, strict=True):
        name = type(engine).__name__
        try:
            links.append(_Link(name, breaker, opening, opening()))
        except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
            reasons.append(f"{name} cannot be opened: {_told(exc)}")
            _log.warning("%s", reasons[-1])
    return links, reasons


def _asked_in_order(links: Sequence[_Link[HandleT]]) -> list[_Link[HandleT]]:
    return sorted(links, key=lambda link: link.failures > 0)


class _Engine(Protocol):
    @property
    def healthy(self) -> bool: ...


def _one_is_healthy(engines: Sequence[_Engine], breakers: Sequence[Breaker]) -> bool:
    return any(engine.healthy and not breaker.rests for engine, breaker in zip(engines, breakers, strict=True))


class _Speaks(Protocol):
    @property
    def languages(self) -> Sequence[str]: ...


def _languages(engines: Sequence[_Speaks]) -> Sequence[str]:
    return tuple(dict.fromkeys(language for engine in engines for language in engine.languages))


def _told(exc: Exception) -> str:
    """Return what may be told of a failure: our own words, of anything else only its kind."""
    return str(exc) if isinstance(exc, VoiceFailed) else type(exc).__name__


def _close_all(closing: Sequence[Callable[[], None]]) -> None:
    with ExitStack() as stack:
        for close in closing:
            stack.callback(close)


# --- ears ------------------------------------------------------------------------------------------------------------


class RecognizerChain:
    """Recognizers in the order in which they are asked for an utterance; fulfils `RecognizerEngine`."""

    def __init__(
        self, first: RecognizerEngine, *then: RecognizerEngine, clock: Clock, utterance_ms: int = 3_500
    ) -> None:
        """Take the engines over. All of them have been asked after `utterance_ms`: then the caller is asked again."""
        self._engines = (first, *then)
        self._clock = clock
        self._breakers = [Breaker(clock, rest_ms=_REST_MS) for _ in self._engines]
        self._each_ms = utterance_ms // len(self._engines)

    @property
    def healthy(self) -> bool:
        """Whether one of them is, and does not rest."""
        return _one_is_healthy(self._engines, self._breakers)

    @property
    def languages(self) -> Sequence[str]:
        """What one of them understands."""
        return _languages(self._engines)

    def open(self, audio: AudioFormat, *, locale: str) -> _HearingChain:
        """Return a handle for one call, with a handle of every engine that has one to give."""
        openings = [lambda engine=engine: engine.open(audio, locale=locale) for engine in self._engines]
        return _HearingChain(*_links(self._engines, self._breakers, openings), self._clock, self._each_ms)

    def close(self) -> None:
        """Close all engines, whatever one of them raises."""
        _close_all([engine.close for engine in self._engines])


class _HearingChain:
    def __init__(self, links: list[_Link[RecognizerHandle]], unopened: list[str], clock: Clock, each_ms: int) -> None:
        self._links = links
        self._unopened = unopened
        self._clock = clock
        self._each_ms = each_ms

    @property
    def unable(self) -> str | None:
        """Why no engine of the chain hears this; None where one does."""
        return None if self._links else "; ".join(self._unopened)

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        """Return the words of the first that knows them. Raises VoiceFailed: what each of them said."""
        reasons = [*self._unopened]
        for link in _asked_in_order(self._links):
            attempt = object()
            if not link.breaker.admits(attempt):
                reasons.append(f"{link.name} rests")
                continue
            try:
                async with within(self._each_ms, self._clock):
                    heard = await link.handle.transcribe(audio, hints=hints)
            except TimeoutError:
                reasons.append(f"no transcript within {self._each_ms} ms")
            except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
                reasons.append(_told(exc))
            else:
                link.breaker.answered()
                return heard
            finally:
                link.breaker.leave(attempt)
            link.failed(reasons[-1])
        raise VoiceFailed("; ".join(reasons))

    def close(self) -> None:
        """Forget this call."""
        _close_all([link.handle.close for link in self._links])


# --- mouth -----------------------------------------------------------------------------------------------------------


class SynthesizerChain:
    """Synthesizers in the order in which they are asked to say a clause; fulfils `SynthesizerEngine`."""

    def __init__(
        self,
        first: SynthesizerEngine,
        *then: SynthesizerEngine,
        clock: Clock,
        piece_ms: int = 1_500,
        render_ms: int = 60_000,
    ) -> None:
        """Take the engines over. One from which no audio comes for `piece_ms` has failed.

        Nobody waits for what is rendered ahead: an engine may take `render_ms` for each sentence of it.
        """
        self._engines = (first, *then)
        self._clock = clock
        self._breakers = [Breaker(clock, rest_ms=_REST_MS) for _ in self._engines]
        self._piece_ms = piece_ms
        self._render_ms = render_ms

    @property
    def healthy(self) -> bool:
        """Whether one of them is, and does not rest."""
        return _one_is_healthy(self._engines, self._breakers)

    @property
    def languages(self) -> Sequence[str]:
        """What one of them speaks."""
        return _languages(self._engines)

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> _SpeakingChain:
        """Return a handle for one manner of speaking in one call.

        `voice` is one of the first engine's; the others speak with their own.
        """
        voices = [voice, *(None for _ in self._engines[1:])]
        openings = [
            lambda engine=engine, named=named: engine.open(
                audio, voice=named, locale=locale, speaking_rate=speaking_rate
            )
            for engine, named in zip(self._engines, voices, strict=True)
        ]
        return _SpeakingChain(*_links(self._engines, self._breakers, openings), audio, self._clock, self._piece_ms)

    async def render(
        self,
        text: str,
        audio: AudioFormat,
        *,
        voice: str | None,
        locale: str = DEFAULT_LOCALE,
        speaking_rate: float | None = None,
    ) -> bytes:
        """Return `text` said by the first that can. Raises VoiceFailed."""
        reasons: list[str] = []
        for number, engine in enumerate(self._engines):
            try:
                async with within(self._render_ms, self._clock):
                    named = None if number else voice
                    return await engine.render(text, audio, voice=named, locale=locale, speaking_rate=speaking_rate)
            except TimeoutError:
                reasons.append(f"{type(engine).__name__} has not rendered a sentence within {self._render_ms} ms")
            except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
                reasons.append(_told(exc))
        raise VoiceFailed("; ".join(reasons))

    def close(self) -> None:
        """Close all engines, whatever one of them raises."""
        _close_all([engine.close for engine in self._engines])


class _SpeakingChain:
    def __init__(
        self,
        links: list[_Link[SynthesizerHandle]],
        unopened: list[str],
        audio: AudioFormat,
        clock: Clock,
        piece_ms: int,
    ) -> None:
        self._links = links
        self._unopened = unopened
        self._audio = audio
        self._clock = clock
        self._piece_ms = piece_ms

    @property
    def unable(self) -> str | None:
        """Why no engine of the chain speaks like this; None where one does."""
        return None if self._links else "; ".join(self._unopened)

    async def speak(self, text: str, *, softly: bool = False) -> AsyncGenerator[bytes | WordsSpoken]:
        """Yield the audio of `text`; where an engine breaks off, the next one goes on with the word it was at.

        Raises VoiceFailed where nobody goes on.
        """
        reasons = [*self._unopened]
        before_ms = 0
        for link in _asked_in_order(self._links):
            attempt = object()
            if not link.breaker.admits(attempt):
                reasons.append(f"{link.name} rests")
                continue
            said_bytes = 0
            pieces = aiter(link.handle.speak(text, softly=softly))
            try:
                while (piece := await self._next(pieces)) is not None:
                    link.breaker.answered()
                    if isinstance(piece, WordsSpoken):
                        yield WordsSpoken(piece.words, tuple(before_ms + end_ms for end_ms in piece.ends_ms))
                    else:
                        said_bytes += len(piece)
                        yield piece
            except TimeoutError:
                reasons.append(f"no audio for {self._piece_ms} ms")
            except Exception as exc:  # noqa: BLE001 - adapter boundary: an engine may raise anything
                reasons.append(_told(exc))
            else:
                return
            finally:
                link.breaker.leave(attempt)
                if isinstance(pieces, AsyncGenerator):  # left to the garbage collector it would go on
                    await pieces.aclose()
            link.failed(reasons[-1])
            said_ms = said_bytes // self._audio.bytes_per_ms
            before_ms += said_ms
            text = _unsaid(text, said_ms)
            if not text:
                return
        raise VoiceFailed("; ".join(reasons))

    async def _next(self, pieces: AsyncIterator[bytes | WordsSpoken]) -> bytes | WordsSpoken | None:
        async with within(self._piece_ms, self._clock):
            return await anext(pieces, None)

    def close(self) -> None:
        """Forget this call."""
        _close_all([link.handle.close for link in self._links])


def _unsaid(text: str, said_ms: int) -> str:
    """Return the words of a text that are not over after so long; half a word is said again."""
    words = text.split(" ")
    end = 0
    for number, word in enumerate(words):
        end += len(word) + 1
        if end * _MS_PER_CHARACTER > said_ms:
            return " ".join(words[number:])
    return ""
