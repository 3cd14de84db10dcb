"""OpenAI Realtime, the GA protocol, without a socket: calls of the port become frames, frames become its events.

What keeps a call from falling silent is in here:

- `response.create` is sent when nothing is being made, and otherwise waits for `response.done`; see `Asking`.
- A request that has no result when a reply is asked for gets one that says so: a provider may refuse to reply while one
  is open, and the real result then follows in words. Requests that were not passed on, since their reply had been
  cancelled or broke off, are answered as soon as that reply is over.
- `session.updated` carries no name of the update, so they are matched by their order, and refusals by their event id.
- An error says in `event_id` which frame it is about. About an update or an ask it ends the session, about an item or a
  cut it is counted: those come about when two frames cross, and the conversation goes on.

Ids are the provider's for replies, requests and what it says, and ours (`told_7`) for what it is told.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.openai_realtime.asking import Asking
from voiceagent.models.openai_realtime.frames import Frames, audio_frame
from voiceagent.models.openai_realtime.history import NewItem, answer, items_for
from voiceagent.models.openai_realtime.reading import (
    FATAL,
    PLAIN,
    UNNEEDED,
    Fields,
    MalformedError,
    code_of,
    identity,
    is_about_what_was_sent,
    mapping,
    parsed,
    sequence,
    text,
)
from voiceagent.models.openai_realtime.replies import Replies, Reply, broke_off, ended
from voiceagent.models.openai_realtime.setup import Turns, first_session, next_session
from voiceagent.models.openai_realtime.transcripts import Transcripts
from voiceagent.ports import (
    AudioFormat,
    ModelInterrupted,
    ModelReplyEnded,
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

_MAX_KINDS = 64
_ACTIVE = "conversation_already_has_active_response"


@dataclass(frozen=True, slots=True)
class Received:
    """What one frame has come to."""

    events: tuple[SpeechModelEvent, ...]
    frames: tuple[str, ...]
    """To be sent now."""


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
        self._frames = Frames()
        self._events: list[SpeechModelEvent] = []
        self._audio_out: AudioFormat | None = None
        self._voice: str | None = None
        self._setup: SessionSetup | None = None
        """What was asked for last."""
        self._updates: dict[str, Epoch | None] = {}
        """Updates in flight in their order; the first setup has no epoch, since nobody waits for its event."""
        self._replies = Replies(self._events, self.counts)
        self._asking = Asking()
        self._unconfirmed: dict[str, NewItem] = {}
        """What has been told and not been confirmed."""
        self._transcripts = Transcripts(self._events, self.counts)
        self._readers: Mapping[str, Callable[[Fields], None]] = {
            "session.updated": self._updated,
            "error": self._error,
            "conversation.item.added": self._confirm,
            "conversation.item.created": self._confirm,  # the name in some servers that speak the protocol
            "conversation.item.done": self._confirm,
            "input_audio_buffer.speech_started": self._transcripts.speech_began,
            "input_audio_buffer.speech_stopped": self._transcripts.speech_ended,
            "conversation.item.input_audio_transcription.delta": self._transcripts.piece,
            "conversation.item.input_audio_transcription.completed": self._transcripts.whole,
            "conversation.item.input_audio_transcription.failed": self._transcripts.failure,
            "response.created": self._began,
            "response.output_item.added": self._replies.item_began,
            "response.output_item.done": self._replies.item_done,
            "response.output_audio.delta": self._replies.audio,
            "response.output_audio_transcript.delta": self._replies.words,
            "response.output_text.delta": self._replies.words,
            "response.done": self._done,
        }

    # --- calls of the port -------------------------------------------------------------------------------------------

    def open(self, setup: SessionSetup) -> Sequence[str]:
        """Return the first frame of a session; `ready` once it has been confirmed."""
        self._audio_out = setup.audio_out
        self._voice, self._setup = setup.voice, setup
        session = first_session(setup, turns=self._turns, transcription=self._transcription, language=self._language)
        self._updates[self._frames.add("session.update", session=session)] = None
        return self._frames.take()

    def hear(self, audio: bytes) -> Sequence[str]:
        """Return the frame that carries caller audio."""
        return (audio_frame(audio),) if audio else ()

    def update(self, setup: SessionSetup) -> Sequence[str]:
        """Replace prompt and tools, language and pace; a voice only as long as nothing has been said."""
        voice = setup.voice if setup.voice != self._voice and not self._replies.have_spoken else None
        self._voice = voice or self._voice
        before, self._setup = self._setup or setup, setup
        session = next_session(setup, before=before, voice=voice, transcription=self._transcription)
        self._updates[self._frames.add("session.update", session=session)] = setup.epoch
        return self._frames.take()

    def tell(self, messages: Sequence[Message]) -> Sequence[str]:
        """Add items to the conversation; none of them makes the model speak."""
        for item in items_for(messages, open_requests=self._replies.open_requests, own_requests=self._replies.requests):
            self._tell(item)
        return self._frames.take()

    def ask(self) -> Sequence[str]:
        """Ask for a reply, now or when the one being made is over. Asked twice with nothing told between is once."""
        self._asking.ask()
        self._ask_if_free()
        return self._frames.take()

    @property
    def awaits(self) -> tuple[str, str] | None:
        """What the provider owes an answer to at once, in words, and which one: a setup, a cancel, an ask."""
        if self._updates:
            return "the new setup", next(iter(self._updates))
        made = self._replies.made
        if made is not None:
            return ("the end of a reply", made.id) if made.cancelled else None
        due = self._asking.under_way
        return ("the beginning of a reply", due) if due is not None else None

    @property
    def waits_to_ask(self) -> bool:
        """Whether an ask was refused though no reply is known to be made: `ask_again` is due in a moment."""
        return self._asking.waits and self._free and not self.lost

    def ask_again(self) -> Sequence[str]:
        """Repeat an ask that was refused."""
        self._ask_if_free()
        return self._frames.take()

    def cancel(self) -> Sequence[str]:
        """Break off the reply being made or under way, and forget an ask that waits."""
        if not self._asking.cancel() and self._replies.made is not None:
            self._cancel(self._replies.made)
        return self._frames.take()

    def truncate(self, reply: str, heard_ms: int) -> Sequence[str]:
        """Cut the item of a reply in which the caller's hearing ended, and delete those after it.

        Nothing at 0: a cut there is refused while there is no audio.
        """
        said = self._replies.of(reply)
        if said is None or heard_ms <= 0 or self._audio_out is None:
            return ()
        for spoken, of_it_ms in said.unheard(heard_ms, bytes_per_ms=self._audio_out.bytes_per_ms):
            if of_it_ms == 0:
                self._frames.add("conversation.item.delete", item_id=spoken.item)
            else:
                self._frames.add(
                    "conversation.item.truncate",
                    item_id=spoken.item,
                    content_index=spoken.content_index,
                    audio_end_ms=of_it_ms,
                )
        return self._frames.take()

    # --- frames out --------------------------------------------------------------------------------------------------

    def _tell(self, told: NewItem) -> None:
        self._unconfirmed[self._frames.add_item(told.item)] = told
        self._asking.told()
        if told.answers is not None:
            self._replies.open_requests.pop(told.answers, None)

    @property
    def _free(self) -> bool:
        return self._replies.made is None and self._asking.under_way is None

    def _ask_if_free(self) -> None:
        if not self._asking.waits or not self._free:
            return
        for request in tuple(self._replies.open_requests):
            self._tell(NewItem(answer(request, NO_RESULT_YET), answers=request))
        self._asking.sent(self._frames.add("response.create"))

    def _cancel(self, reply: Reply) -> None:
        if not reply.cancelled:
            reply.cancelled = True
            self._frames.add("response.cancel", response_id=reply.id)

    # --- frames in ---------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Received:
        """Return what a frame comes to."""
        if self.lost:
            return Received((), ())
        fields = parsed(message)
        kind = fields.get("type") if fields is not None else None
        if fields is None or not isinstance(kind, str):
            self.counts["malformed"] += 1
        elif (reader := self._readers.get(kind)) is not None:
            try:
                reader(fields)
            except MalformedError:
                self.counts[f"malformed {kind}"] += 1
        elif kind in UNNEEDED:
            self.counts[f"unneeded {kind}"] += 1
        else:
            self._count_unknown(kind)
        events = tuple(self._events)
        self._events.clear()
        return Received(events, self._frames.take())

    def _count_unknown(self, kind: str) -> None:
        name = kind if PLAIN.fullmatch(kind) and len(self.counts) < _MAX_KINDS else "of other kinds"
        if f"unknown {name}" not in self.counts:
            _log.debug("%s sends frames that are not known: %s", self._name, name)
        self.counts[f"unknown {name}"] += 1

    def _lose(self, reason: str, *, permanent: bool) -> None:
        self.lost = True
        self._frames.take()
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
        error = mapping(fields.get("error"))
        if error is None:
            raise MalformedError
        code = code_of(error)
        self.counts[f"error {code}"] += 1
        _log.debug("%s reports an error: %s", self._name, code)
        about = text(error.get("event_id")) or None
        if about in self._updates or (about is None and self._is_about_an_update(error)):
            what = "new setup" if self.ready else "session"
            self._lose(f"refused the {what} ({code})", permanent=FATAL.get(code, is_about_what_was_sent(error)))
        elif about is not None and self._asking.is_known(about):
            self._ask_refused(about, error)
        elif about is not None and about in self._unconfirmed:
            self._item_refused(self._unconfirmed.pop(about))
        elif code in FATAL:
            self._lose(f"ended the session ({code})", permanent=FATAL[code])
        elif about is None and self._asking.wanted and not is_about_what_was_sent(error):
            # A failure of the server's own: whether the reply will still begin nobody can tell.
            self._lose(f"did not reply ({code})", permanent=False)

    def _is_about_an_update(self, error: Fields) -> bool:
        """Say whether an error without an event id is about an update: not every server passes the id back."""
        return not self.ready or (bool(self._updates) and text(error.get("param")).startswith("session"))

    # --- asking ------------------------------------------------------------------------------------------------------

    def _ask_refused(self, about: str, error: Fields) -> None:
        reply = self._replies.last
        informed = reply is not None and reply.informed
        match self._asking.refused(about, informed=informed, occupied=code_of(error) == _ACTIVE):
            case "now":
                self._ask_if_free()
            case "later":
                pass  # `ask_again` is due
            case "never":
                self._lose(f"did not reply ({code_of(error)})", permanent=False)

    def _began(self, fields: Fields) -> None:
        reply_id = identity(mapping(fields.get("response")), "id")
        made = self._replies.made
        if made is not None:
            if made.id == reply_id:
                return
            self._end(ModelReplyEnded(made.id, "failed", "another reply took its place"))
        reply = self._replies.begin(reply_id, informed=not self._unconfirmed and not self._updates)
        if self._asking.began(informed=reply.informed):
            self._cancel(reply)

    def _done(self, fields: Fields) -> None:
        response = mapping(fields.get("response"))
        reply_id = identity(response, "id")
        reply = self._replies.made
        if response is None or reply is None or reply.id != reply_id:
            self.counts["late response.done"] += 1
            return
        for item in sequence(response.get("output")):
            self._replies.take_request(reply, mapping(item))
        if broke_off(response) and not reply.cancelled:
            self._events.append(ModelInterrupted(reply_id))
        self._end(ended(reply, response))
        self._ask_if_free()

    def _end(self, event: ModelReplyEnded) -> None:
        for request in self._replies.end(event):
            self._tell(NewItem(answer(request, CANCELLED), answers=request))

    # --- what has been told ------------------------------------------------------------------------------------------

    def _confirm(self, fields: Fields) -> None:
        item = mapping(fields.get("item"))
        if item is None:
            raise MalformedError
        item_id = item.get("id")
        if isinstance(item_id, str):
            self._unconfirmed.pop(item_id, None)

    def _item_refused(self, told: NewItem) -> None:
        # The request may have gone from the conversation, with the reply that made it: then words must do.
        if told.instead is not None:
            self._tell(NewItem(told.instead))
