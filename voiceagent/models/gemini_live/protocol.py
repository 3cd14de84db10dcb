"""The Gemini Live protocol: what a port's calls and a server's messages make of each other, without any I/O.

The owner calls a method, then takes `outgoing` and `events`: whatever the call has made necessary. Nothing here waits;
what may not be sent yet is kept until the message comes that allows it.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from voiceagent.core.effects import Message
from voiceagent.models.gemini_live.frames import (
    AUDIO_STREAM_END,
    audio_frame,
    content_frame,
    context_update_frame,
    tool_response_frame,
)
from voiceagent.models.gemini_live.generations import PCM_16K, Generation
from voiceagent.models.gemini_live.reading import (
    audio_of,
    duration_ms,
    flag,
    mapping,
    mappings,
    message_of,
    text_of,
    whole,
)
from voiceagent.models.gemini_live.replies import Replies
from voiceagent.models.gemini_live.requests import Requests
from voiceagent.models.gemini_live.telling import Turn, as_note, turns_for
from voiceagent.ports import (
    CallerTranscribed,
    ModelToolRequested,
    RequestsWithdrawn,
    SessionEnding,
    SessionSetup,
    SetupInForce,
    SpeechModelEvent,
)

__all__ = ["MOST_AUDIO_MS", "LiveProtocol", "Outgoing"]

Outgoing = str | SetupInForce
"""A frame; or what is true as soon as every frame before it has been sent, since the server takes them in order."""

MOST_AUDIO_MS = 250
"""Audio in one frame; more is divided."""

_log = logging.getLogger(__name__)
_YOUR_TURN = "[It is your turn to speak.]"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_MOST_KINDS = 64
_SAMPLE_BYTES = 2
_AUDIO = re.compile(r"audio/(?:pcm|l16)(?:; *rate=24000)?", re.IGNORECASE)
_UNREMARKABLE_REASONS = ("TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT")
_CONTENT_OF_NO_INTEREST = frozenset(
    {"groundingMetadata", "interactionStatus", "turnCompleteReason", "urlContextMetadata", "waitingForInput"}
)
_CONTENT = _CONTENT_OF_NO_INTEREST | {
    "generationComplete",
    "inputTranscription",
    "interimInputTranscription",
    "interrupted",
    "modelTurn",
    "outputTranscription",
    "turnComplete",
}
_PARTS_OF_NO_INTEREST = frozenset({"text", "thought", "thoughtSignature", "executableCode", "codeExecutionResult"})


class LiveProtocol:
    """The state of one connection to a Gemini Live model."""

    def __init__(self, setup: SessionSetup, generation: Generation) -> None:
        """Expect the server's answer to the setup."""
        self._generation = generation
        self._setup = setup
        self._counts: Counter[str] = Counter()
        self._outgoing: list[Outgoing] = []
        self._events: list[SpeechModelEvent] = []
        self._replies = Replies(self._events)
        self.ready = False
        """Whether the setup has been confirmed."""
        self._ending = False
        # What is to be said to the model.
        self._begun = False
        self._words: list[Message] = []
        self._asked = False
        self._requests = Requests()
        self._half_sample = b""
        self.hearing = False
        """Whether audio has come since the last pause of it."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What was received and ignored, and how often."""
        return self._counts

    def outgoing(self) -> list[Outgoing]:
        """Take what is to be sent, in order."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def events(self) -> list[SpeechModelEvent]:
        """Take what is to be posted, in order."""
        taken = self._events.copy()
        self._events.clear()
        return taken

    # --- to the model ------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Send caller audio, any length: half a sample waits for its other half."""
        if not audio:
            return
        self._begun = True
        audio = self._half_sample + audio
        odd = len(audio) % _SAMPLE_BYTES
        audio, self._half_sample = audio[: len(audio) - odd], audio[len(audio) - odd :]
        step = MOST_AUDIO_MS * PCM_16K.bytes_per_ms
        self._outgoing += [audio_frame(audio[start : start + step]) for start in range(0, len(audio), step)]
        self.hearing = True

    def pause(self) -> None:
        """Say that no audio comes at the moment: without it the end of the caller's turn would be waited for."""
        if self.hearing:
            self.hearing = False
            self._outgoing.append(AUDIO_STREAM_END)

    def update(self, setup: SessionSetup) -> None:
        """Replace prompt and tools. Nothing confirms it, yet it is processed in order with all other input."""
        frame = context_update_frame(self._setup, setup, self._generation)
        self._setup = setup
        if frame is not None:
            self._outgoing.append(frame)
        self._outgoing.append(SetupInForce(setup.epoch))

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know, without making it speak."""
        for message in messages:
            if message.role == "tool_result" and self._requests.is_open(message.request):
                self._requests.answer(message)
            elif message.role != "tool_request" or not self._requests.knows(message.request):
                self._words.append(message)
        self._go_on()

    def ask(self) -> None:
        """Have the model reply, as soon as it is free to and is owed no result."""
        self._asked = True
        self._go_on()

    def cancel(self) -> None:
        """Give up the reply. The protocol has no word for it: what still comes of it is swallowed."""
        self._asked = False
        self._replies.cancel()

    def _go_on(self) -> None:
        """Send what has been waiting, where it may be sent now."""
        if self._replies.busy:
            # `clientContent` would cut the running reply off.
            return
        owed = self._generation.blocks and self._requests.open
        if self._asked and not owed:
            self._ask_now()
        elif self._words and not owed and not self._requests.answers and (turns := self._take_turns()):
            self._outgoing.append(content_frame(turns, complete=False))

    def _ask_now(self) -> None:
        self._asked = False
        self._replies.asked()
        if self._requests.answers:
            # The answer makes it speak; what `clientContent` says beside it, that reply does not take notice of.
            notes = [note for note in map(as_note, self._take_words()) if note]
            self._outgoing.append(tool_response_frame(self._requests.take_answers(notes=notes)))
            return
        turns = self._take_turns()
        if self._generation.asked_by == "words":
            turns.append(Turn("user", _YOUR_TURN))
        self._outgoing.append(content_frame(turns, complete=True))

    def _take_words(self) -> list[Message]:
        taken, self._words = self._words, []
        return taken

    def _take_turns(self) -> list[Turn]:
        begins, self._begun = not self._begun, True
        return turns_for(
            self._take_words(),
            whole_call=begins,
            ends_with_caller=begins and self._generation.history_ends_with_caller,
        )

    # --- from the model ----------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> None:
        """Take one message of the server's. None is refused: what means nothing is counted."""
        fields = message_of(message)
        if fields is None:
            self._count("malformed message")
            return
        readers = {
            "setupComplete": self._read_setup_complete,
            "usageMetadata": self._read_usage,
            "serverContent": self._read_content,
            "toolCall": self._read_tool_call,
            "toolCallCancellation": self._read_cancellation,
            "goAway": self._read_go_away,
        }
        for kind, read in readers.items():  # in this order: the tokens of a turn come with its end
            if kind not in fields:
                continue
            if (body := mapping(fields[kind])) is None:
                self._count(f"malformed {kind}")
            else:
                read(body)
        for kind in fields.keys() - readers.keys():
            self._count(f"unknown {_named(kind)}")
        self._go_on()

    def _read_setup_complete(self, _: Mapping[str, object]) -> None:
        self.ready = True

    def _read_usage(self, usage: Mapping[str, object]) -> None:
        self._replies.count_tokens(
            taken=whole(usage, "promptTokenCount", "toolUsePromptTokenCount"),
            cached=whole(usage, "cachedContentTokenCount"),
            made=whole(usage, "responseTokenCount", "thoughtsTokenCount"),
        )

    def _read_go_away(self, notice: Mapping[str, object]) -> None:
        left_ms = duration_ms(notice.get("timeLeft"))
        if left_ms is None:
            self._count("malformed timeLeft")
        if self._ending:
            self._count("duplicate goAway")
            return
        self._ending = True
        self._events.append(SessionEnding(left_ms or 0))

    # --- the model speaks --------------------------------------------------------------------------------------------

    def _read_content(self, content: Mapping[str, object]) -> None:
        for kind in content.keys() - _CONTENT:
            self._count(f"unknown {_named(kind)}")
        self._read_caller_words(content)
        if "modelTurn" in content:
            self._read_model_turn(content["modelTurn"])
        if text := text_of(content.get("outputTranscription")):
            self._replies.say(text)
        if flag(content, "interrupted"):
            self._replies.interrupted()
        if flag(content, "turnComplete"):
            reason = content.get("turnCompleteReason")
            gave_up = reason is not None and reason not in _UNREMARKABLE_REASONS
            self._replies.turn_complete(
                f"the model gave up: {_named(reason)}" if gave_up else None,
                working=content.get("interactionStatus") == "IN_PROGRESS",
            )

    def _read_caller_words(self, content: Mapping[str, object]) -> None:
        if interim := text_of(content.get("interimInputTranscription")).strip():
            self._events.append(CallerTranscribed(interim, final=False))
        if (piece := mapping(content.get("inputTranscription"))) is not None:
            self._replies.hear(text_of(piece))
            if flag(piece, "finished"):
                self._replies.finish_caller_words()

    def _read_model_turn(self, turn: object) -> None:
        fields = mapping(turn)
        parts = None if fields is None else mappings(fields.get("parts"))
        if parts is None:
            self._count("malformed modelTurn")
            return
        for part in parts:
            if (blob := mapping(part.get("inlineData"))) is not None:
                self._read_audio(blob)
            elif flag(part, "thought"):
                self._replies.begin()  # it is at work, though nothing is heard yet
            elif not part.keys() & _PARTS_OF_NO_INTEREST:
                self._count("unknown part")

    def _read_audio(self, blob: Mapping[str, object]) -> None:
        kind = blob.get("mimeType")
        audio = audio_of(blob.get("data"))
        if not isinstance(kind, str) or not _AUDIO.fullmatch(kind):
            self._count("audio of another format")
        elif audio is None:
            self._count("malformed audio")
        elif audio:
            self._replies.play(audio)

    # --- the model asks ----------------------------------------------------------------------------------------------

    def _read_tool_call(self, body: Mapping[str, object]) -> None:
        calls = mappings(body.get("functionCalls"))
        if calls is None:
            self._count("malformed toolCall")
            return
        wanted: list[tuple[str, str, str]] = []
        for call in calls:
            name, wire_id = call.get("name"), call.get("id")
            if not isinstance(name, str) or not name or not isinstance(wire_id, str | None):
                self._count("malformed functionCall")
            elif self._requests.knows(wire_id):
                self._count("duplicate functionCall")
            else:
                request = self._requests.expect(name, wire_id)
                wanted.append((request, name, json.dumps(call.get("args", {}), ensure_ascii=False)))
        if not wanted:
            return
        reply = self._replies.begin()
        self._replies.finish_caller_words()  # the request may rest on them
        for request, name, arguments_text in wanted:
            if self._replies.swallowed:
                # Nobody runs it, yet unanswered it would hold the next reply up.
                self._requests.refuse(request)
            else:
                self._events.append(ModelToolRequested(reply, request, name, arguments_text))
        self._replies.requested()

    def _read_cancellation(self, body: Mapping[str, object]) -> None:
        ids = body.get("ids")
        if not isinstance(ids, list):
            self._count("malformed toolCallCancellation")
            return
        withdrawn, told = self._requests.withdraw([str(wire_id) for wire_id in cast("list[object]", ids)])
        self._words += told  # a result that was not sent yet is still worth knowing
        if withdrawn:
            self._events.append(RequestsWithdrawn(tuple(withdrawn)))

    def _count(self, kind: str) -> None:
        if kind not in self._counts and len(self._counts) >= _MOST_KINDS:
            kind = "other"
        if kind not in self._counts:
            _log.debug("from a Gemini Live model: %s", kind)
        self._counts[kind] += 1


def _named(kind: object) -> str:
    """Return a word of the protocol's own; anything else might be words of the caller's."""
    return kind if isinstance(kind, str) and _PLAIN.fullmatch(kind) else "kind"
