"""Speaks Nova Sonic's protocol without a socket: the port's calls in, frames out; frames in, the port's events out.

What Nova cannot do, and what is done instead:

- It answers every text that it is sent in mid-call. So what it is only to know (`tell`) is held until it is to speak
  (`ask`), or goes along with the next tool result.
- It goes on by itself once it has a tool's result. So a result is the one thing told that makes it speak, and an `ask`
  that follows it is done already.
- It cannot be asked while it speaks, nor before it hears: an `ask` waits for the end of the reply, and for audio. Where
  the caller cuts in upon that reply, their answer comes first, and is all there is to say if nothing else is held.
- It cannot be stopped. A cancelled reply is made to its end and swallowed; a tool that it asks for in it is answered as
  cancelled, since a tool use must have its result. An `ask` that has been sent cannot be taken back.
- Its history cannot be cut to what was heard. It keeps what the caller let it say, by its own account.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import deque
from collections.abc import Sequence

from pydantic import JsonValue

from voiceagent.core.effects import Message
from voiceagent.models.nova.frames import FRAME_MS, Frame, Frames, Sensitivity
from voiceagent.models.nova.history import live_words, shaped
from voiceagent.models.nova.replies import Replies
from voiceagent.ports import CallerTranscribed, ModelInterrupted, SessionSetup, SpeechModelEvent

__all__ = ["YOUR_TURN", "NovaProtocol"]

_log = logging.getLogger(__name__)

YOUR_TURN = "[Speak to the caller now.]"
"""What an `ask` says where nothing else does: an order, and short."""
_CANCELLED = '{"status":"cancelled"}'
_AUDIO_BEFORE_TEXT = 2
"""Audio frames before the first text: the two must not be started at once (LiveKit waits 50 ms)."""
_REMEMBERED_TEXTS = 8


class NovaProtocol:
    """One session's codec. Nothing is raised for what the provider sends; `Frame`s and events wait to be drained."""

    def __init__(self, setup: SessionSetup, *, session: uuid.UUID, sensitivity: Sensitivity | None = None) -> None:
        self._make = Frames(session, audio_in=setup.audio_in)
        self._replies = Replies()
        self._frames = self._make.beginning(setup, sensitivity=sensitivity)
        self._frame_bytes = FRAME_MS * setup.audio_in.bytes_per_ms
        self._history: list[Message] = []
        self._hearing = False
        self._audio = b""
        self._heard_frames = 0
        self._held: list[str] = []
        """Lines that the model is to know when it next speaks."""
        self._asked = False
        self._awaited_after: int | None = None
        """Something has been sent that Nova answers: how many replies had begun by then."""
        self._yielded_after: int | None = None
        """The caller has cut in upon a reply: how many had begun by then."""
        self._sent_texts: deque[str] = deque(maxlen=_REMEMBERED_TEXTS)
        self._logged: set[str] = set()

    # --- what is to be sent ------------------------------------------------------------------------------------------

    def take_frames(self) -> list[Frame]:
        """Return what is to be sent, in order; it is forgotten here."""
        frames, self._frames = self._frames, []
        return frames

    def hear(self, audio: bytes) -> None:
        """Take caller audio. The first opens the audio content, after the history."""
        if not self._hearing:
            self._hearing = True
            for turn in shaped(self._history):
                # Interactive, it would be answered once more: Strands PR 2188, LiveKit PR 5220.
                self._frames += self._make.text(turn.role, turn.text, interactive=False)
            self._history.clear()
            self._frames.append(self._make.audio_start())
        audio = self._audio + audio
        whole = len(audio) - len(audio) % self._frame_bytes
        for begin in range(0, whole, self._frame_bytes):
            self._frames.append(self._make.audio(audio[begin : begin + self._frame_bytes]))
        self._heard_frames += whole // self._frame_bytes
        self._audio = audio[whole:]
        self._ask_if_it_can_be()

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know. Before the first audio this is history; then a result is sent, all else is held."""
        if not self._hearing:
            self._history += messages
            return
        results = [message for message in messages if self._answers(message)]
        own = self._replies.known_requests
        told = [message for message in messages if message not in results]
        self._held += live_words(
            [message for message in told if message.role != "tool_request" or message.request not in own]
        )
        for message in results:
            last = message is results[-1]
            self._answer(message.request or "", _result(message, meanwhile=self._held if last else []))
        if results:
            self._held.clear()

    def _answers(self, message: Message) -> bool:
        """Whether this is the result of an open request: exactly one is taken for each."""
        if message.role != "tool_result" or message.request not in self._replies.requests:
            return False
        self._replies.requests.discard(message.request or "")
        return True

    def _answer(self, request: str, content: str) -> None:
        self._frames += self._make.tool_result(request, content)
        self._awaited_after = self._replies.begun

    def ask(self) -> None:
        """Have the model speak, once it hears and is not speaking."""
        self._yielded_after = None
        if self._awaits_reply and not self._held:
            return
        self._asked = True
        self._ask_if_it_can_be()

    @property
    def _awaits_reply(self) -> bool:
        return self._awaited_after is not None and self._replies.begun == self._awaited_after

    def _ask_if_it_can_be(self) -> None:
        if not self._asked or self._heard_frames < _AUDIO_BEFORE_TEXT:
            return
        if self._replies.being_made or self._awaits_reply or self._yielded_after == self._replies.begun:
            return
        text = "\n".join([*self._held, YOUR_TURN])
        self._frames += self._make.text("USER", text, interactive=True)
        self._sent_texts.append(text)
        self._held.clear()
        self._asked = False
        self._awaited_after = self._replies.begun

    def cancel(self) -> None:
        """Let nothing more be heard of the reply that is being made, and forget what was asked."""
        self._asked = False
        self._awaited_after = None
        self._replies.cancel()

    def end(self) -> None:
        """End the session in good order, after the last of the caller's audio."""
        rest = self._audio[: len(self._audio) // 2 * 2]
        self._audio = b""
        if rest:
            self._frames.append(self._make.audio(rest))
        self._frames += self._make.ending(audio_begun=self._hearing)

    # --- what has come -----------------------------------------------------------------------------------------------

    @property
    def ignored(self) -> dict[str, int]:
        """What came and said nothing to us, or could not be read: kind → how often."""
        return dict(self._replies.ignored)

    def receive(self, payload: bytes) -> None:
        """Take one output event; it may make something to be sent due."""
        known = len(self._replies.events)
        self._replies.receive(payload)
        for request in self._replies.unwanted:
            self._answer(request, _CANCELLED)
        self._replies.unwanted.clear()
        if any(isinstance(event, ModelInterrupted) for event in self._replies.events[known:]):
            self._yield_the_floor()
        self._ask_if_it_can_be()
        for kind in self._replies.ignored.keys() - self._logged:
            self._logged.add(kind)
            _log.debug("Nova: ignored %s", kind)

    def _yield_the_floor(self) -> None:
        # The caller is speaking and will be answered unasked; what was asked before must not be said over them.
        self._yielded_after = self._replies.begun
        self._asked = self._asked and bool(self._held)

    def take_events(self) -> list[SpeechModelEvent]:
        """Return what has happened, in order; it is forgotten here."""
        events = [event for event in self._replies.events if not self._is_echo(event)]
        self._replies.events.clear()
        return events

    def _is_echo(self, event: SpeechModelEvent) -> bool:
        """Whether these are words of ours, come back as if the caller had said them."""
        return isinstance(event, CallerTranscribed) and event.text.strip() in self._sent_texts


def _result(message: Message, *, meanwhile: Sequence[str]) -> str:
    """Return a tool's result as the JSON object that Nova wants, with what else it is to know before it speaks."""
    try:
        result: JsonValue = json.loads(message.text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        result = message.text
    if message.failed:
        result = {"error": result}
    elif not isinstance(result, dict):
        result = {"result": result}
    if meanwhile:
        result = {"meanwhile": list(meanwhile), **result}
    return json.dumps(result, ensure_ascii=False)


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
