"""Tells from Nova's output events when it begins a reply, what it says in it, and when the reply is over.

Nova names contents, not replies; a reply is made of several. Here it begins with the first content of the agent's side
that belongs to none (words announced, audio, or a tool use), and is over with the first of these:

- the end of its audio as END_TURN, the ordinary case: every sentence has a text and an audio of its own, and all but
  the last end as PARTIAL_TURN;
- a tool use, once the audio that is open has ended: what Nova says while the tool runs is another reply. A turn may be
  a tool use and nothing else;
- INTERRUPTED, of any of its contents, or the text `{ "interrupted" : true }`;
- the end of a FINAL text as END_TURN, or words of the caller, when all that was announced has been spoken; or the end
  of the completion. None of them should be needed, but a reply held open would hold back the next one for ever.

A sentence's text comes before its audio as SPECULATIVE, and again as FINAL seconds after it. Only the first is told;
the second tells what has not been heard yet when the caller cuts in, since all of the audio is mostly here by then.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from voiceagent.ports import (
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SpeechModelEvent,
)

__all__ = ["Replies"]

_Kind = Literal["announced", "spoken", "audio", "tool", "caller", "other"]


@dataclass(frozen=True, slots=True)
class _Content:
    """A content that has been started."""

    kind: _Kind
    reply: str | None = None
    final: bool = True
    """Of the caller's words: they will not change."""
    begun: int = 0
    """Replies begun when it was started: an interruption told in it is of no later one."""


class Replies:
    """The output events of one session, read into what the port calls events."""

    def __init__(self) -> None:
        self.events: list[SpeechModelEvent] = []
        """What has been understood, for whoever drains it."""
        self.ignored: Counter[str] = Counter()
        """Events that say nothing to us, and those that cannot be read, by kind."""
        self.requests: set[str] = set()
        """Tool uses that have been posted and not been answered."""
        self.known_requests: set[str] = set()
        """All tool uses of this session."""
        self.unwanted: list[str] = []
        """Tool uses of replies that are over for us; they want an answer all the same."""
        self.begun = 0
        """Replies begun so far."""
        self._open: str | None = None
        self._last: str | None = None
        self._told_over = False
        """The open reply has been cancelled here; Nova goes on making it and nobody hears it."""
        self._ends_with_its_audio = False
        self._contents: dict[str, _Content] = {}
        self._audible: set[str] = set()
        """Contents of the open reply whose audio has not ended."""
        self._unsounded = 0
        """Sentences of the open reply whose audio has not begun."""
        self._unspoken: deque[str] = deque()
        """The reply of each sentence announced whose FINAL text has not come."""
        self._interrupted: set[str] = set()
        self._input_tokens = 0
        self._output_tokens = 0

    @property
    def being_made(self) -> bool:
        """Whether the provider is making a reply, heard or not."""
        return self._open is not None

    def cancel(self) -> None:
        """Let nothing more be heard of the reply that is being made: Nova itself cannot be stopped."""
        if self._open is not None and not self._told_over:
            self._post_end("cancelled")
            self._told_over = True

    # --- events ------------------------------------------------------------------------------------------------------

    def receive(self, payload: bytes) -> None:
        """Take one output event. What cannot be read is counted, and nothing comes of it."""
        try:
            parsed: object = json.loads(payload)
        except (ValueError, RecursionError):
            self.ignored["not JSON"] += 1
            return
        event = _mapping(_mapping(parsed).get("event"))
        for name, body in event.items():
            self._take(name, _mapping(body))
        if not event:
            self.ignored["no event"] += 1

    def _take(self, name: str, body: Mapping[str, object]) -> None:
        match name:
            case "audioOutput":
                self._audio(body)
            case "textOutput":
                self._text(body)
            case "contentStart":
                self._content_start(body)
            case "contentEnd":
                self._content_end(body)
            case "toolUse":
                self._tool_use(body)
            case "usageEvent":
                self._usage(body)
            case "completionStart":
                pass
            case "completionEnd":
                self._end("complete")
            case _:
                self.ignored[f"event {name[:40]}"] += 1

    # --- contents ----------------------------------------------------------------------------------------------------

    def _content_start(self, body: Mapping[str, object]) -> None:
        identity = body.get("contentId")
        if not isinstance(identity, str) or identity in self._contents:
            self.ignored["contentStart twice, or without an id"] += 1
            return
        self._contents[identity] = self._started(identity, body)

    def _started(self, identity: str, body: Mapping[str, object]) -> _Content:
        match body.get("type"), body.get("role"), _stage(body):
            case "TEXT", "USER", stage:
                return _Content("caller", final=stage != "SPECULATIVE", begun=self.begun)
            case "TEXT", "ASSISTANT", "SPECULATIVE":
                reply = self._reply()
                self._unsounded += 1
                self._unspoken.append(reply)
                return _Content("announced", reply, begun=self.begun)
            case "TEXT", "ASSISTANT", _:
                reply = self._unspoken.popleft() if self._unspoken else self._last
                return _Content("spoken", reply, begun=self.begun)
            case "AUDIO", _, _:
                reply = self._reply()
                self._unsounded -= 1
                self._audible.add(identity)
                return _Content("audio", reply, begun=self.begun)
            case "TOOL", _, _:
                reply = self._reply()
                return _Content("tool", reply, begun=self.begun)
            case _:
                self.ignored["contentStart of another type"] += 1
                return _Content("other", begun=self.begun)

    def _content_end(self, body: Mapping[str, object]) -> None:
        identity = body.get("contentId")
        content = self._contents.pop(identity, None) if isinstance(identity, str) else None
        if content is None or not isinstance(identity, str):
            self.ignored["contentEnd of nothing"] += 1
            return
        self._audible.discard(identity)
        if body.get("stopReason") == "INTERRUPTED":
            self._interrupt(content)
            return
        ends_turn = body.get("stopReason") == "END_TURN"
        if content.kind == "spoken" and ends_turn:
            self._unspoken = deque(reply for reply in self._unspoken if reply != content.reply)
        if content.reply is not None and content.reply == self._open:
            self._end_with(content, ends_turn=ends_turn)

    def _end_with(self, content: _Content, *, ends_turn: bool) -> None:
        if content.kind == "audio" and (ends_turn or self._ends_with_its_audio):
            self._end("complete")
        elif content.kind == "tool":
            self._ends_with_its_audio = True
            if not self._audible:
                self._end("complete")
        elif content.kind == "spoken" and ends_turn and self._all_said:
            self._end("complete")

    @property
    def _all_said(self) -> bool:
        """Whether nothing of the open reply is under way: no content of it is open, no sentence waits for its audio."""
        under_way = any(content.reply == self._open for content in self._contents.values() if content.kind != "spoken")
        return self._open is not None and self._unsounded <= 0 and not under_way

    def _content(self, body: Mapping[str, object], what: str) -> _Content | None:
        identity = body.get("contentId")
        content = self._contents.get(identity) if isinstance(identity, str) else None
        if content is None:
            self.ignored[f"{what} without a contentStart"] += 1
        return content

    # --- what is in them ---------------------------------------------------------------------------------------------

    def _audio(self, body: Mapping[str, object]) -> None:
        content = self._content(body, "audioOutput")
        if content is None or (reply := self._audible_to_us(content)) is None:
            return
        payload = body.get("content")
        try:
            audio = a2b_base64(payload) if isinstance(payload, str) else b""
        except ValueError:
            audio = b""
        if audio:
            self.events.append(ModelReplyAudio(reply, audio))
        else:
            self.ignored["audioOutput without audio"] += 1

    def _text(self, body: Mapping[str, object]) -> None:
        text = body.get("content")
        if not isinstance(text, str):
            self.ignored["textOutput without text"] += 1
            return
        if "".join(text.split()) == '{"interrupted":true}':
            identity = body.get("contentId")
            content = self._contents.get(identity) if isinstance(identity, str) else None
            self._interrupt(content or _Content("other", begun=self.begun))
            return
        content = self._content(body, "textOutput")
        if content is None:
            return
        if content.kind == "caller":
            self._heard(text, final=content.final)
        elif content.kind == "announced" and text and (reply := self._audible_to_us(content)):
            self.events.append(ModelReplyText(reply, text))

    def _audible_to_us(self, content: _Content) -> str | None:
        """Return the reply of a content, where it is the one being made and has not been cancelled."""
        return content.reply if content.reply == self._open and not self._told_over else None

    def _heard(self, text: str, *, final: bool) -> None:
        # A text that is not spoken is answered with a transcript of nothing: no words of the caller's.
        if not text.strip():
            return
        if self._all_said:
            self._end("complete")
        self.events.append(CallerTranscribed(text, final))

    def _tool_use(self, body: Mapping[str, object]) -> None:
        request, name, arguments = body.get("toolUseId"), body.get("toolName"), body.get("content")
        if not isinstance(request, str) or not request or not isinstance(name, str):
            self.ignored["toolUse without an id or a name"] += 1
            return
        if request in self.known_requests:
            self.ignored["toolUse twice"] += 1
            return
        self.known_requests.add(request)
        identity = body.get("contentId")
        content = self._contents.get(identity) if isinstance(identity, str) else None
        reply = content.reply if content is not None and content.reply is not None else self._reply()
        if reply != self._open or self._told_over:
            self.unwanted.append(request)
            return
        self.requests.add(request)
        written = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments is not None else ""
        self.events.append(ModelToolRequested(reply, request, name, written))

    def _usage(self, body: Mapping[str, object]) -> None:
        delta = _mapping(_mapping(body.get("details")).get("delta"))
        self._input_tokens += _tokens(delta.get("input"))
        self._output_tokens += _tokens(delta.get("output"))

    # --- replies -----------------------------------------------------------------------------------------------------

    def _reply(self) -> str:
        """Return the reply that is being made; one begins where there is none."""
        if self._open is None:
            self.begun += 1
            self._open = self._last = f"n{self.begun}"
            self._unsounded = 0
            self.events.append(ModelReplyBegan(self._open))
        return self._open

    def _end(self, outcome: Literal["complete", "cancelled"]) -> None:
        if self._open is None:
            return
        if not self._told_over:
            self._post_end(outcome)
        self._open, self._told_over, self._ends_with_its_audio = None, False, False
        self._audible.clear()

    def _post_end(self, outcome: Literal["complete", "cancelled"]) -> None:
        if self._open is None:
            return
        spent = (self._input_tokens, self._output_tokens)
        self.events.append(ModelReplyEnded(self._open, outcome, input_tokens=spent[0], output_tokens=spent[1]))
        self._input_tokens = self._output_tokens = 0

    def _interrupt(self, told_in: _Content) -> None:
        """The caller has cut in: nothing that Nova has not said yet will be said.

        Nova says so several times over, and often when the reply has been delivered, or the next one begun.
        """
        begun = told_in.begun
        stale = [reply for reply in (told_in.reply, *self._unspoken) if reply is not None and _number(reply) <= begun]
        self._unspoken = deque(reply for reply in self._unspoken if _number(reply) > begun)
        if begun:
            stale.append(f"n{begun}")
        for reply in dict.fromkeys(stale):
            if reply in self._interrupted:
                continue
            self._interrupted.add(reply)
            if reply != self._open or not self._told_over:
                self.events.append(ModelInterrupted(reply))
            if reply == self._open:
                self._end("cancelled")


def _number(reply: str) -> int:
    return int(reply[1:])


# --- fields of unknown type ------------------------------------------------------------------------------------------

_NOTHING: Mapping[str, object] = {}


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else _NOTHING


def _stage(body: Mapping[str, object]) -> object:
    """Return `generationStage`, which stands in a string of JSON."""
    more = body.get("additionalModelFields")
    if isinstance(more, str):
        try:
            more = json.loads(more)
        except (ValueError, RecursionError):
            return None
    return _mapping(more).get("generationStage")


def _tokens(counts: object) -> int:
    return sum(count for count in _mapping(counts).values() if isinstance(count, int) and count > 0)
