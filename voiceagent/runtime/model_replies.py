"""A speech model's replies: whose they are, which of them the caller may hear, and what they ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from voiceagent.core import events as ev
from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.ids import ReplyId, UtteranceId
from voiceagent.language import Language
from voiceagent.language.protocol import ClauseSplitter
from voiceagent.ports import (
    AudioFormat,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
)
from voiceagent.runtime.conversion import Converter
from voiceagent.runtime.model_session import LiveSession
from voiceagent.runtime.mouth import Mouth, SpokenReply

__all__ = ["ModelReplies", "ReplyEvent"]

ReplyEvent = (
    ModelReplyBegan | ModelReplyAudio | ModelReplyText | ModelToolRequested | ModelReplyEnded | ModelInterrupted
)
_log = logging.getLogger(__name__)
_KEPT = 16
"""Replies that are remembered: one may be truncated long after it has been made."""
_LONGEST_MS = 600_000
"""Of one reply; a model that still goes on then will not come to an end by itself."""


@dataclass(slots=True)
class _Made:
    """One reply, from its beginning until it is forgotten."""

    id: ReplyId
    session: LiveSession
    own_id: str
    """The session's own id of it."""
    spoken: SpokenReply
    convert: Converter
    splitter: ClauseSplitter
    dropped: bool = False
    """Nobody wants it any more: nothing that still comes of it counts."""
    has_sound: bool = False
    unheard: list[str] = field(default_factory=list[str])
    """Its first clauses, while there is nothing to hear of them."""
    ended: bool = False


@dataclass(slots=True)
class ModelReplies:
    """All replies of one call, whatever session makes them."""

    audio_out: AudioFormat
    """The leg's format."""
    mouth: Mouth
    language: Language
    post: Callable[[ev.Event], None]
    suffix: str = ""
    """Tells the ids of replies that nobody asked for from those of the call's earlier connections."""
    _made: dict[ReplyId, _Made] = field(default_factory=dict[ReplyId, _Made])
    _unasked: int = 0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def happened(self, session: LiveSession, event: ReplyEvent) -> None:
        """The session makes a reply."""
        if isinstance(event, ModelReplyBegan):
            self._begun(session, event.reply)
            return
        made = self._of(session, event.reply)
        if made is None or made.ended:
            return
        if isinstance(event, ModelReplyEnded):
            self._end(made, event)
        elif made.dropped:
            return
        elif isinstance(event, ModelReplyAudio):
            self._sound(made, event.audio)
        elif isinstance(event, ModelReplyText):
            self._say(made, made.splitter.feed(event.text))
        elif isinstance(event, ModelToolRequested):
            arguments, problem = parsed_arguments(event.arguments)
            self.post(ev.ToolRequested(made.id, event.request, event.name, arguments, problem))
        else:
            self.post(ev.ReplyInterrupted(made.id))

    def play(self, reply: ReplyId, utterance: UtteranceId, *, from_ms: int) -> None:
        """The caller may hear it, from here on, or as much as has come of one that was broken off."""
        made = self._made.get(reply)
        if made is None:
            self.post(ev.PlayoutStopped(utterance, 0, exact=True))  # it is forgotten, and must not be waited for
            return
        for other in self._made.values():
            if other is not made:
                other.spoken.forget()  # nobody will want to hear the rest of it
        made.spoken.begin(utterance, from_ms * self.audio_out.bytes_per_ms)
        self.mouth.play(made.spoken)

    def cancel(self, reply: ReplyId) -> None:
        """Nobody wants any more of it; what has come of it may be heard to its end, where it may be heard at all."""
        made = self._made.get(reply)
        if made is None or made.dropped:
            return
        made.dropped = True
        made.spoken.end()
        if not made.ended:
            made.session.session.cancel()

    def truncate(self, reply: ReplyId, heard_ms: int, *, live: LiveSession | None) -> None:
        """Have the session that made it know how much of it was heard; a later one was told so in words."""
        made = self._made.get(reply)
        if made is not None and made.session is live and heard_ms > 0:
            made.session.session.truncate(made.own_id, heard_ms)

    def abandon(self, session: LiveSession) -> tuple[ReplyId, ...]:
        """The session is over; returns what it was making or had been asked for, and somebody still wants."""
        lost = [] if session.asked is None else [session.asked]
        session.asked = None
        for made in self._made.values():
            if made.session is session and not made.ended:
                if not made.dropped:
                    lost.append(made.id)
                made.ended = made.dropped = True
                made.spoken.end()
        self._ended.set()
        return tuple(lost)

    def is_wanted_of(self, session: LiveSession) -> bool:
        """Whether the session is making a reply that nobody has cancelled."""
        return any(made.session is session and not (made.ended or made.dropped) for made in self._made.values())

    def being_made(self, session: LiveSession) -> bool:
        """Whether the session is making a reply."""
        return any(made.session is session and not made.ended for made in self._made.values())

    async def until_none_is_made(self, session: LiveSession) -> None:
        """Break off what the session is making, and wait until it has ended."""
        while self.being_made(session):
            for made in self._made.values():
                if made.session is session and not made.ended:
                    self.cancel(made.id)
            self._ended.clear()
            await self._ended.wait()

    # --- one reply ---

    def _begun(self, session: LiveSession, own_id: str) -> None:
        asked, session.asked = session.asked, None
        if asked is None:
            self._unasked += 1
        reply = asked or ReplyId(f"u{self._unasked}{self.suffix}")
        convert = Converter(session.setup.audio_out, self.audio_out)
        made = _Made(reply, session, own_id, SpokenReply(reply), convert, self.language.clause_splitter())
        self._made[reply] = made
        for old in [*self._made][:-_KEPT]:
            del self._made[old]
        self.post(ev.ReplyStarted(reply, session.setup.epoch))

    def _sound(self, made: _Made, audio: bytes) -> None:
        made.spoken.add(made.convert.feed(audio))
        if made.spoken.length_bytes > _LONGEST_MS * self.audio_out.bytes_per_ms:
            _log.warning("a reply goes on for %d ms: it is cut off there", _LONGEST_MS)
            self.cancel(made.id)
            self.post(ev.ReplyFinished(made.id))
        elif not made.has_sound:
            made.has_sound = True
            first, made.unheard = made.unheard, []
            self._say(made, first or [""])  # there is something to hear, whatever its words turn out to be

    def _say(self, made: _Made, clauses: list[str]) -> None:
        """Tell the words; before there is something to hear nobody can speak over them, or be spoken over by them."""
        if not (made.has_sound or made.ended):
            made.unheard += clauses
            return
        for clause in clauses:
            made.spoken.letters.append(len(clause))
            self.post(ev.ReplyText(made.id, clause))

    def _end(self, made: _Made, event: ModelReplyEnded) -> None:
        made.ended = True
        self._ended.set()
        if made.dropped:
            return
        made.spoken.add(made.convert.end())
        if event.outcome == "failed":
            made.spoken.end()
            self.post(ev.ReplyFailed(made.id, event.reason))
            return
        if made.has_sound or event.outcome == "complete":
            self._say(made, [*made.unheard, *made.splitter.flush()])
        made.spoken.end()
        if event.outcome == "cancelled":
            self.post(ev.ReplyInterrupted(made.id))  # not by us: the model has given it up
        self.post(
            ev.ReplyFinished(
                made.id,
                input_tokens=event.input_tokens,
                output_tokens=event.output_tokens,
                cached_tokens=event.cached_tokens,
            )
        )

    def _of(self, session: LiveSession, own_id: str) -> _Made | None:
        return next(
            (made for made in reversed(self._made.values()) if made.session is session and made.own_id == own_id), None
        )
