"""Replies of an OpenAI Realtime model: what they are made of, what they ask for, where a cut falls, how they end."""

from __future__ import annotations

from binascii import a2b_base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from voiceagent.models.openai_realtime.reading import Fields, MalformedError, code_of, identity, mapping, number, text
from voiceagent.ports import (
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SpeechModelEvent,
)

__all__ = ["Replies", "Reply", "Spoken", "broke_off", "ended"]

_MOST_REMEMBERED = 16
"""Replies that may still be cut."""
_Outcome = Literal["complete", "cancelled", "failed"]


@dataclass(slots=True)
class Spoken:
    """One item of a reply with audio: a preamble before a tool, say, and then the answer."""

    item: str
    content_index: int
    audio_bytes: int = 0


@dataclass(slots=True)
class Reply:
    """One reply, from its beginning until it is forgotten."""

    id: str
    informed: bool
    """Whether it began after all that we had told, and every update, had arrived."""
    cancelled: bool = False
    complete: bool = False
    requests: list[str] = field(default_factory=list)
    """All that have been begun, passed on or not."""
    spoken: list[Spoken] = field(default_factory=list[Spoken])
    _says: str = ""
    """Item whose words came last."""

    def add_audio(self, item: str, content_index: int, audio: bytes) -> None:
        """Note the next audio of it."""
        if not self.spoken or (self.spoken[-1].item, self.spoken[-1].content_index) != (item, content_index):
            self.spoken.append(Spoken(item, content_index))
        self.spoken[-1].audio_bytes += len(audio)

    def add_words(self, item: str, words: str) -> str:
        """Return the next words of it as they follow those before: items are set apart."""
        apart = self._says not in ("", item) and not words[0].isspace()
        self._says = item
        return f" {words}" if apart else words

    def unheard(self, heard_ms: int, *, bytes_per_ms: int) -> Iterator[tuple[Spoken, int]]:
        """Yield the items of which not all was heard, each with how many ms of it were; 0 for none of it."""
        left_ms = heard_ms
        for place, spoken in enumerate(self.spoken):
            length_ms = spoken.audio_bytes // bytes_per_ms
            last = place == len(self.spoken) - 1
            if left_ms <= 0:
                yield spoken, 0
            elif left_ms < length_ms or (last and not self.complete and length_ms):
                # Beyond its end a cut would be refused. Of a reply that broke off more was made than has arrived here.
                yield spoken, min(left_ms, length_ms)
            left_ms -= length_ms


def ended(reply: Reply, response: Fields) -> ModelReplyEnded:
    """Return how a reply has ended, and what it has cost."""
    outcome, reason = ("cancelled", "") if reply.cancelled else _outcome(response)
    usage = mapping(response.get("usage")) or {}
    details = mapping(usage.get("input_token_details")) or {}
    return ModelReplyEnded(
        reply.id,
        outcome,
        reason,
        input_tokens=number(usage.get("input_tokens")),
        output_tokens=number(usage.get("output_tokens")),
        cached_tokens=number(details.get("cached_tokens")),
    )


def broke_off(response: Fields) -> bool:
    """Say whether the provider has cancelled it."""
    return response.get("status") == "cancelled"


def _outcome(response: Fields) -> tuple[_Outcome, str]:
    """Return the outcome of a reply that nobody here has cancelled, and why."""
    details = mapping(response.get("status_details")) or {}
    match response.get("status"):
        case "completed":
            return "complete", ""
        case "cancelled":
            return "cancelled", ""
        case "incomplete":
            return "failed", f"it broke off ({code_of({'code': details.get('reason')})})"
        case _:
            return "failed", f"it failed ({code_of(mapping(details.get('error')) or {})})"


class Replies:
    """The reply that is being made, those that may still be cut, and what all of them have asked for."""

    def __init__(self, events: list[SpeechModelEvent], counts: Counter[str]) -> None:
        """What there is to be posted is appended to `events`; frames that came too late are counted."""
        self._events = events
        self._counts = counts
        self.made: Reply | None = None
        """The reply that is being made."""
        self._over: dict[str, Reply] = {}
        self.have_spoken = False
        """Whether there has been audio of any: then the voice cannot change any more."""
        self.requests: dict[str, str] = {}
        """All requests of the session → the name of their tool."""
        self.open_requests: dict[str, None] = {}
        """Those without a result."""

    @property
    def last(self) -> Reply | None:
        """The reply that is being made, or else was made last."""
        return self.made or next(reversed(self._over.values()), None)

    def of(self, reply_id: str) -> Reply | None:
        """Return a reply, unless it has been forgotten."""
        return self.made if self.made is not None and self.made.id == reply_id else self._over.get(reply_id)

    def begin(self, reply_id: str, *, informed: bool) -> Reply:
        """Return the reply that begins."""
        self.made = Reply(reply_id, informed=informed)
        self._events.append(ModelReplyBegan(reply_id))
        return self.made

    def end(self, event: ModelReplyEnded) -> Sequence[str]:
        """End the reply that is being made; returns requests of it that nobody runs and that want an answer."""
        reply, self.made = self.made, None
        if reply is None:
            return ()
        reply.complete = event.outcome == "complete"
        self._over[reply.id] = reply
        while len(self._over) > _MOST_REMEMBERED:
            del self._over[next(iter(self._over))]
        self._events.append(event)
        unasked = [request for request in dict.fromkeys(reply.requests) if request not in self.requests]
        self.requests.update(dict.fromkeys(unasked, ""))
        return unasked

    # --- frames ------------------------------------------------------------------------------------------------------

    def _wanted(self, fields: Fields) -> Reply | None:
        """Return the reply that a frame belongs to, unless it is over or cancelled."""
        reply = self.made
        if reply is None or reply.id != fields.get("response_id") or reply.cancelled:
            self._counts[f"late {fields['type']}"] += 1
            return None
        return reply

    def audio(self, fields: Fields) -> None:
        """Take the next audio."""
        payload = fields.get("delta")
        if not isinstance(payload, str):
            raise MalformedError
        try:
            audio = a2b_base64(payload, strict_mode=True)
        except ValueError:
            raise MalformedError from None
        item, index = identity(fields, "item_id"), fields.get("content_index", 0)
        if not isinstance(index, int):
            raise MalformedError
        self.have_spoken = True
        if (reply := self._wanted(fields)) is None or not audio:
            return
        reply.add_audio(item, index, audio)
        self._events.append(ModelReplyAudio(reply.id, audio))

    def words(self, fields: Fields) -> None:
        """Take the next words."""
        words, item = text(fields.get("delta")), identity(fields, "item_id")
        if (reply := self._wanted(fields)) is None or not words:
            return
        self._events.append(ModelReplyText(reply.id, reply.add_words(item, words)))

    def item_began(self, fields: Fields) -> None:
        """Note a request that has begun: a reply may break off before it is whole."""
        item = _item_of(fields)
        reply = self.made
        if reply is not None and reply.id == fields.get("response_id") and item.get("type") == "function_call":
            reply.requests.append(identity(item, "call_id"))

    def item_done(self, fields: Fields) -> None:
        """Take an item that is whole."""
        item = _item_of(fields)
        reply = self.made
        if reply is None or reply.id != fields.get("response_id"):
            self._counts["late response.output_item.done"] += 1
            return
        self.take_request(reply, item)

    def take_request(self, reply: Reply, item: Fields | None) -> None:
        """Pass on a request that is whole and wanted. The end of its arguments does not tell: it comes in any case."""
        if item is None or item.get("type") != "function_call":
            return
        request, name = identity(item, "call_id"), identity(item, "name")
        if request in self.requests:
            return
        reply.requests.append(request)
        if reply.cancelled or item.get("status", "completed") != "completed":
            return
        self.requests[request] = name
        self.open_requests[request] = None
        self._events.append(ModelToolRequested(reply.id, request, name, text(item.get("arguments"))))


def _item_of(fields: Fields) -> Fields:
    item = mapping(fields.get("item"))
    if item is None:
        raise MalformedError
    return item
