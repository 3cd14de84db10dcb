"""OpenAI Realtime, the GA protocol, without a socket: calls of the port become frames, frames become its events.

What keeps a call from falling silent is in here:

- `response.create` is sent when nothing is being made, and otherwise waits for `response.done`. It may still cross a
  reply that the provider's turn detection began; then the refusal says so, and the ask waits again. A reply that began
  by itself after all that was told had arrived counts as the one asked for.
- A request that has no result when a reply is asked for gets one that says so: a provider may refuse to reply while one
  is open, and the real result then follows in words. Requests that were not passed on, since their reply had been
  cancelled or broke off, are answered as soon as that reply is over.
- `session.updated` carries no name of the update, so they are matched by their order, and refusals by their event id.
- An error says in `event_id` which frame it is about. About an update or an ask it ends the session, about an item or a
  cut it is counted: those come about when two frames cross, and the conversation goes on.

Ids are the provider's for replies, requests and what it says, and ours (`told_7`) for what it is told.
"""

from __future__ import annotations

import json
import logging
import re
from binascii import a2b_base64, b2a_base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast

from pydantic import JsonValue

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.openai_realtime.history import NewItem, answer, items_for
from voiceagent.models.openai_realtime.setup import Turns, first_session, next_session
from voiceagent.ports import (
    AudioFormat,
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SessionLost,
    SessionSetup,
    SetupInForce,
    SpeechModelEvent,
)

__all__ = ["CANCELLED", "NO_RESULT_YET", "RealtimeProtocol", "Received"]

_log = logging.getLogger(__name__)

NO_RESULT_YET = "[no result yet]"
CANCELLED = "[cancelled]"
# Terse and bracketed: sentences in a result read like instructions, and a model asked for the tool again.

_MAX_REFUSED_ASKS = 25
_MAX_KINDS = 64
_MAX_REMEMBERED = 16
"""Replies that may still be truncated, transcripts that are under way or done."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_ACTIVE = "conversation_already_has_active_response"
_FATAL: Mapping[str, bool] = {
    "session_expired": False,
    "session_limit_reached": False,
    "insufficient_quota": True,
    "invalid_api_key": True,
    "invalid_model": True,
    "model_not_found": True,
}
"""Errors that end a session though they are about no frame of ours → whether another one would fare the same."""
_UNNEEDED = frozenset({
    "conversation.created",
    "conversation.item.deleted",
    "conversation.item.input_audio_transcription.segment",
    "conversation.item.retrieved",
    "conversation.item.truncated",
    "input_audio_buffer.cleared",
    "input_audio_buffer.committed",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.timeout_triggered",
    "output_audio_buffer.cleared",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "rate_limits.updated",
    "response.content_part.added",
    "response.content_part.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.output_text.done",
    "session.created",
})  # fmt: skip
"""What repeats something else, is for WebRTC, or is ours to decide: whether the caller speaks, for one."""

Fields = Mapping[str, object]
Outcome = Literal["complete", "cancelled", "failed"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Received:
    """What one frame has come to."""

    events: tuple[SpeechModelEvent, ...]
    frames: tuple[str, ...]
    """To be sent now."""


@dataclass(slots=True)
class _Spoken:
    """One item of a reply with audio: a preamble before a tool, say, and then the answer."""

    item: str
    content_index: int
    audio_bytes: int = 0


@dataclass(slots=True)
class _Reply:
    id: str
    cancelled: bool
    informed: bool
    """Whether it began after all that we had told, and every update, had arrived."""
    spoken: list[_Spoken] = field(default_factory=list)
    complete: bool = False
    says: str = ""
    """Item whose words came last."""
    requests: list[str] = field(default_factory=list)
    """All that have been begun, passed on or not."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What a reply has cost; `read` includes what was `cached`."""

    read: int = 0
    cached: int = 0
    written: int = 0


_NO_TOKENS = _Tokens()


class _MalformedError(Exception):
    """A frame lacks what its kind must have."""


class RealtimeProtocol:
    """The codec of one session. It raises nothing whatever it is sent; `counts` says what it made nothing of."""

    def __init__(self, name: str, *, turns: Turns, transcription: str | None, language: str | None = None) -> None:
        self._name = name
        self._turns = turns
        self._transcription = transcription
        self._language = language
        self.counts: Counter[str] = Counter()
        """Frames that were malformed, unneeded, late, or unknown, and errors, each by its kind."""
        self.ready = False
        """Whether the first setup is in force."""
        self.lost = False
        """Whether SessionLost has been returned; nothing is after it."""
        self._sent = 0
        self._frames: list[str] = []
        self._events: list[SpeechModelEvent] = []
        self._audio_out: AudioFormat | None = None
        self._voice: str | None = None
        self._has_spoken = False
        self._updates: dict[str, Epoch | None] = {}
        """Updates in flight in their order; the first setup has no epoch, since nobody waits for its event."""
        self._made: _Reply | None = None
        """The reply that is being made."""
        self._over: dict[str, _Reply] = {}
        """Replies that may still be truncated."""
        self._queued = False
        """An ask waits for the end of a reply."""
        self._asking: str | None = None
        """Event id of an ask that is under way."""
        self._doomed: str | None = None
        """The same, cancelled meanwhile: the reply that begins is not wanted."""
        self._taken: str | None = None
        """The ask that the reply being made has been taken for; it may yet be refused."""
        self._told_since_ask = False
        self._refused_asks = 0
        self._unconfirmed: dict[str, NewItem] = {}
        """What has been told and not been confirmed."""
        self._requests: dict[str, str] = {}
        """The session's own requests → the name of their tool."""
        self._open: dict[str, None] = {}
        """Those without a result."""
        self._heard: dict[str, str | None] = {}
        """Item of the caller → its words so far, None once they are final."""
        self._readers: Mapping[str, Callable[[Fields], None]] = {
            "session.updated": self._updated,
            "error": self._error,
            "conversation.item.added": self._confirm,
            "conversation.item.created": self._confirm,  # the name in some servers that speak the protocol
            "conversation.item.done": self._confirm,
            "conversation.item.input_audio_transcription.delta": self._partial,
            "conversation.item.input_audio_transcription.completed": self._final,
            "conversation.item.input_audio_transcription.failed": self._untranscribed,
            "response.created": self._began,
            "response.output_item.added": self._item_began,
            "response.output_item.done": self._item_done,
            "response.output_audio.delta": self._audio,
            "response.output_audio_transcript.delta": self._words,
            "response.output_text.delta": self._words,
            "response.done": self._done,
        }

    # --- calls of the port -------------------------------------------------------------------------------------------

    def open(self, setup: SessionSetup) -> Sequence[str]:
        """Return the first frame of a session; `ready` once it has been confirmed."""
        self._audio_out = setup.audio_out
        self._voice = setup.voice
        session = first_session(setup, turns=self._turns, transcription=self._transcription, language=self._language)
        self._updates[self._send("session.update", session=session)] = None
        return self._drain()

    def hear(self, audio: bytes) -> Sequence[str]:
        """Return the frame that carries caller audio."""
        if not audio:
            return ()
        payload = b2a_base64(audio, newline=False).decode("ascii")
        return (f'{{"type":"input_audio_buffer.append","audio":"{payload}"}}',)

    def update(self, setup: SessionSetup) -> Sequence[str]:
        """Replace prompt and tools; a voice only as long as nothing has been said."""
        voice = setup.voice if setup.voice != self._voice and not self._has_spoken else None
        self._voice = voice or self._voice
        self._updates[self._send("session.update", session=next_session(setup, voice=voice))] = setup.epoch
        return self._drain()

    def tell(self, messages: Sequence[Message]) -> Sequence[str]:
        """Add items to the conversation; none of them makes the model speak."""
        for item in items_for(messages, open_requests=self._open, own_requests=self._requests):
            self._tell(item)
        return self._drain()

    def ask(self) -> Sequence[str]:
        """Ask for a reply, now or when the one being made is over. Asked twice with nothing told between is once."""
        if self._asking is None or self._told_since_ask:
            self._queued = True
            self._ask_if_free()
        return self._drain()

    @property
    def awaits(self) -> tuple[str, str] | None:
        """What the provider owes an answer to at once, in words, and which one: a setup, a cancel, an ask."""
        if self._updates:
            return "the new setup", next(iter(self._updates))
        if self._made is not None:
            return ("the end of a reply", self._made.id) if self._made.cancelled else None
        due = self._asking or self._doomed
        return ("the beginning of a reply", due) if due is not None else None

    @property
    def waits_to_ask(self) -> bool:
        """Whether an ask was refused though no reply is known to be made: `ask_again` is due in a moment."""
        return self._queued and self._free and not self.lost

    def ask_again(self) -> Sequence[str]:
        """Repeat an ask that was refused."""
        self._ask_if_free()
        return self._drain()

    def cancel(self) -> Sequence[str]:
        """Break off the reply being made or under way, and forget an ask that waits."""
        self._queued = False
        if self._asking is not None:
            # Its reply has no id yet. It is cancelled when it has, so that no other one can be hit.
            self._doomed, self._asking = self._asking, None
        elif self._made is not None:
            self._cancel(self._made)
        return self._drain()

    def truncate(self, reply: str, heard_ms: int) -> Sequence[str]:
        """Cut the item of a reply in which the caller's hearing ended, and delete those after it.

        Nothing at 0: a cut there is refused while there is no audio.
        """
        said = self._made if self._made is not None and self._made.id == reply else self._over.get(reply)
        if said is None or heard_ms <= 0 or self._audio_out is None:
            return ()
        left_ms = heard_ms
        for place, spoken in enumerate(said.spoken):
            length_ms = spoken.audio_bytes // self._audio_out.bytes_per_ms
            last = place == len(said.spoken) - 1
            if left_ms <= 0:
                self._send("conversation.item.delete", item_id=spoken.item)
            elif left_ms < length_ms or (last and not said.complete and length_ms):
                # Beyond its end it would be refused. Of a reply that broke off more was made than has arrived here.
                self._send(
                    "conversation.item.truncate",
                    item_id=spoken.item,
                    content_index=spoken.content_index,
                    audio_end_ms=min(left_ms, length_ms),
                )
            left_ms -= length_ms
        return self._drain()

    # --- frames out --------------------------------------------------------------------------------------------------

    def _drain(self) -> tuple[str, ...]:
        frames = tuple(self._frames)
        self._frames.clear()
        return frames

    def _send(self, kind: str, **fields: JsonValue) -> str:
        self._sent += 1
        event_id = f"{kind.rpartition('.')[2]}_{self._sent}"
        self._frames.append(json.dumps({"type": kind, "event_id": event_id, **fields}, separators=(",", ":")))
        return event_id

    def _tell(self, told: NewItem) -> None:
        self._sent += 1
        item_id = f"told_{self._sent}"
        frame = {"type": "conversation.item.create", "event_id": item_id, "item": {"id": item_id, **told.item}}
        self._frames.append(json.dumps(frame, separators=(",", ":")))
        self._unconfirmed[item_id] = told
        self._told_since_ask = True
        if told.answers is not None:
            self._open.pop(told.answers, None)

    @property
    def _free(self) -> bool:
        return self._made is None and self._asking is None and self._doomed is None

    def _ask_if_free(self) -> None:
        if not self._queued or not self._free:
            return
        for request in tuple(self._open):
            self._tell(NewItem(answer(request, NO_RESULT_YET), answers=request))
        self._queued = self._told_since_ask = False
        self._asking = self._send("response.create")

    def _cancel(self, reply: _Reply) -> None:
        if not reply.cancelled:
            reply.cancelled = True
            self._send("response.cancel", response_id=reply.id)

    # --- frames in ---------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Received:
        """Return what a frame comes to."""
        if self.lost:
            return Received((), ())
        fields = _parsed(message)
        kind = fields.get("type") if fields is not None else None
        if fields is None or not isinstance(kind, str):
            self.counts["malformed"] += 1
        elif (reader := self._readers.get(kind)) is not None:
            try:
                reader(fields)
            except _MalformedError:
                self.counts[f"malformed {kind}"] += 1
        elif kind in _UNNEEDED:
            self.counts[f"unneeded {kind}"] += 1
        else:
            self._count_unknown(kind)
        events = tuple(self._events)
        self._events.clear()
        return Received(events, self._drain())

    def _count_unknown(self, kind: str) -> None:
        name = kind if _PLAIN.fullmatch(kind) and len(self.counts) < _MAX_KINDS else "of other kinds"
        if f"unknown {name}" not in self.counts:
            _log.debug("%s sends frames that are not known: %s", self._name, name)
        self.counts[f"unknown {name}"] += 1

    def _lose(self, reason: str, *, permanent: bool) -> None:
        self.lost = True
        self._frames.clear()
        self._events.append(SessionLost(f"{self._name} {reason}", permanent=permanent))

    # --- the session -------------------------------------------------------------------------------------------------

    def _updated(self, _: Fields) -> None:
        update = next(iter(self._updates), None)
        if update is None:
            self.counts["unneeded session.updated"] += 1
            return
        epoch = self._updates.pop(update)
        self.ready = True
        if epoch is not None:
            self._events.append(SetupInForce(epoch))

    def _error(self, fields: Fields) -> None:
        error = _mapping(fields.get("error"))
        if error is None:
            raise _MalformedError
        code = _code(error)
        self.counts[f"error {code}"] += 1
        _log.debug("%s reports an error: %s", self._name, code)
        about = _text(error.get("event_id")) or None
        if about in self._updates or (about is None and self._is_about_an_update(error)):
            what = "new setup" if self.ready else "session"
            self._lose(f"refused the {what} ({code})", permanent=_FATAL.get(code, _is_ours(error)))
        elif about is not None and about in (self._asking, self._doomed, self._taken):
            self._ask_refused(about, error)
        elif about is not None and about in self._unconfirmed:
            self._item_refused(self._unconfirmed.pop(about))
        elif code in _FATAL:
            self._lose(f"ended the session ({code})", permanent=_FATAL[code])
        elif about is None and self._asking is not None and not _is_ours(error):
            # A failure of the server's own: whether the reply will still begin nobody can tell.
            self._lose(f"did not reply ({code})", permanent=False)

    def _is_about_an_update(self, error: Fields) -> bool:
        """Say whether an error without an event id is about an update: not every server passes the id back."""
        return not self.ready or (bool(self._updates) and _text(error.get("param")).startswith("session"))

    # --- asking ------------------------------------------------------------------------------------------------------

    def _ask_refused(self, about: str, error: Fields) -> None:
        if about == self._doomed:
            self._doomed = None
            self._ask_if_free()
        elif about == self._taken:
            # The reply being made, or just made, began by itself.
            self._taken = None
            reply = self._made or next(reversed(self._over.values()), None)
            if reply is None or not reply.informed:
                self._queued = True
                self._ask_if_free()
        elif _code(error) == _ACTIVE and self._refused_asks < _MAX_REFUSED_ASKS:
            # A reply is about to begin, or will not after all: `ask_again` finds out.
            self._refused_asks += 1
            self._asking = None
            self._queued = True
        else:
            self._lose(f"did not reply ({_code(error)})", permanent=False)

    def _began(self, fields: Fields) -> None:
        reply_id = _id(_mapping(fields.get("response")), "id")
        if self._made is not None:
            if self._made.id == reply_id:
                return
            self._end(self._made, "failed", "another reply took its place")
        reply = self._made = _Reply(reply_id, cancelled=False, informed=not self._unconfirmed and not self._updates)
        self._refused_asks = 0
        self._taken, self._asking = self._asking, None
        if reply.informed:
            self._queued = False
        self._events.append(ModelReplyBegan(reply_id))
        if self._doomed is not None:
            self._doomed = None
            self._cancel(reply)

    def _done(self, fields: Fields) -> None:
        response = _mapping(fields.get("response"))
        reply_id = _id(response, "id")
        if response is None or self._made is None or self._made.id != reply_id:
            self.counts["late response.done"] += 1
            return
        reply = self._made
        for item in _sequence(response.get("output")):
            self._take_request(reply, _mapping(item))
        usage = _mapping(response.get("usage")) or {}
        details = _mapping(usage.get("input_token_details")) or {}
        outcome, reason = _outcome(response)
        if outcome == "cancelled" and not reply.cancelled:
            self._events.append(ModelInterrupted(reply_id))
        self._end(
            reply,
            "cancelled" if reply.cancelled else outcome,
            "" if reply.cancelled else reason,
            tokens=_Tokens(
                read=_number(usage.get("input_tokens")),
                cached=_number(details.get("cached_tokens")),
                written=_number(usage.get("output_tokens")),
            ),
        )
        self._ask_if_free()

    def _end(self, reply: _Reply, outcome: Outcome, reason: str = "", *, tokens: _Tokens = _NO_TOKENS) -> None:
        self._made = None
        reply.complete = outcome == "complete"
        _remember(self._over, reply.id, reply)
        for request in reply.requests:
            if request not in self._requests:
                self._requests[request] = ""
                self._tell(NewItem(answer(request, CANCELLED), answers=request))
        self._events.append(
            ModelReplyEnded(
                reply.id,
                outcome,
                reason=reason,
                input_tokens=tokens.read,
                output_tokens=tokens.written,
                cached_tokens=tokens.cached,
            )
        )

    # --- what a reply is made of -------------------------------------------------------------------------------------

    def _wanted(self, fields: Fields) -> _Reply | None:
        """Return the reply that a frame belongs to, unless it is over or cancelled."""
        reply = self._made
        if reply is None or reply.id != fields.get("response_id") or reply.cancelled:
            self.counts[f"late {fields['type']}"] += 1
            return None
        return reply

    def _audio(self, fields: Fields) -> None:
        payload = fields.get("delta")
        if not isinstance(payload, str):
            raise _MalformedError
        try:
            audio = a2b_base64(payload, strict_mode=True)
        except ValueError:
            raise _MalformedError from None
        item, index = _id(fields, "item_id"), fields.get("content_index", 0)
        if not isinstance(index, int):
            raise _MalformedError
        self._has_spoken = True
        if (reply := self._wanted(fields)) is None or not audio:
            return
        if not reply.spoken or (reply.spoken[-1].item, reply.spoken[-1].content_index) != (item, index):
            reply.spoken.append(_Spoken(item, index))
        reply.spoken[-1].audio_bytes += len(audio)
        self._events.append(ModelReplyAudio(reply.id, audio))

    def _words(self, fields: Fields) -> None:
        text, item = _text(fields.get("delta")), _id(fields, "item_id")
        if (reply := self._wanted(fields)) is None or not text:
            return
        if reply.says not in ("", item) and not text[0].isspace():
            text = f" {text}"
        reply.says = item
        self._events.append(ModelReplyText(reply.id, text))

    def _item_began(self, fields: Fields) -> None:
        item = _mapping(fields.get("item"))
        if item is None:
            raise _MalformedError
        reply = self._made
        if reply is not None and reply.id == fields.get("response_id") and item.get("type") == "function_call":
            reply.requests.append(_id(item, "call_id"))

    def _item_done(self, fields: Fields) -> None:
        item = _mapping(fields.get("item"))
        if item is None:
            raise _MalformedError
        reply = self._made
        if reply is None or reply.id != fields.get("response_id"):
            self.counts["late response.output_item.done"] += 1
            return
        self._take_request(reply, item)

    def _take_request(self, reply: _Reply, item: Fields | None) -> None:
        """Pass on a request that is whole and wanted. The end of its arguments does not tell: it comes in any case."""
        if item is None or item.get("type") != "function_call":
            return
        request, name = _id(item, "call_id"), _id(item, "name")
        if request in self._requests:
            return
        reply.requests.append(request)
        if reply.cancelled or item.get("status", "completed") != "completed":
            return
        self._requests[request] = name
        self._open[request] = None
        self._events.append(ModelToolRequested(reply.id, request, name, _text(item.get("arguments"))))

    # --- what has been told ------------------------------------------------------------------------------------------

    def _confirm(self, fields: Fields) -> None:
        item = _mapping(fields.get("item"))
        if item is None:
            raise _MalformedError
        item_id = item.get("id")
        if isinstance(item_id, str):
            self._unconfirmed.pop(item_id, None)

    def _item_refused(self, told: NewItem) -> None:
        # The request may have gone from the conversation, with the reply that made it: then words must do.
        if told.instead is not None:
            self._tell(NewItem(told.instead))

    # --- what the caller said ----------------------------------------------------------------------------------------

    def _partial(self, fields: Fields) -> None:
        item = _id(fields, "item_id")
        so_far = self._heard.get(item, "")
        if so_far is None:
            return
        text = so_far + _text(fields.get("delta"))
        _remember(self._heard, item, text)
        if text.strip() and text != so_far:
            self._events.append(CallerTranscribed(text.strip(), final=False))

    def _final(self, fields: Fields) -> None:
        self._finish_transcript(_id(fields, "item_id"), _text(fields.get("transcript")))

    def _untranscribed(self, fields: Fields) -> None:
        # What had come of it is all there will be.
        item = _id(fields, "item_id")
        self.counts["unneeded transcription failure"] += 1
        self._finish_transcript(item, self._heard.get(item) or "")

    def _finish_transcript(self, item: str, text: str) -> None:
        if item in self._heard and self._heard[item] is None:
            return
        _remember(self._heard, item, None)
        if text.strip():
            self._events.append(CallerTranscribed(text.strip(), final=True))


# --- fields of unknown type ------------------------------------------------------------------------------------------


def _parsed(message: str | bytes) -> Fields | None:
    try:
        return _mapping(json.loads(message))
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> Fields | None:
    return cast("Fields", value) if isinstance(value, dict) else None


def _sequence(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def _text(value: object) -> str:
    """Return text that can be encoded again: a lone surrogate cannot, and would break whoever stores it."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def _id(fields: Fields | None, name: str) -> str:
    value = _text(fields.get(name)) if fields is not None else ""
    if not value:
        raise _MalformedError
    return value


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else 0


def _code(error: Fields) -> str:
    """Return an error's code, or its type, as far as it is a plain name: a message may repeat the caller or a key."""
    for name in ("code", "type"):
        value = error.get(name)
        if isinstance(value, str) and _PLAIN.fullmatch(value):
            return value
    return "unnamed"


def _is_ours(error: Fields) -> bool:
    """Say whether an error is about what was sent: sent again it would be refused again."""
    return error.get("type") == "invalid_request_error"


def _outcome(response: Fields) -> tuple[Outcome, str]:
    """Return the outcome of a reply that nobody here has cancelled, and why."""
    details = _mapping(response.get("status_details")) or {}
    match response.get("status"):
        case "completed":
            return "complete", ""
        case "cancelled":
            return "cancelled", ""
        case "incomplete":
            return "failed", f"it broke off ({_code({'code': details.get('reason')})})"
        case _:
            return "failed", f"it failed ({_code(_mapping(details.get('error')) or {})})"


def _remember(memory: dict[str, _T], key: str, value: _T) -> None:
    memory[key] = value
    while len(memory) > _MAX_REMEMBERED:
        del memory[next(iter(memory))]
