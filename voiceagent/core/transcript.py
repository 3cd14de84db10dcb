"""The transcript: what was said, heard, asked and answered, in order; and the window of it that a model is shown."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from voiceagent.core.agent_speech import Spoken
from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch, UtteranceId
from voiceagent.core.sealing import without_these
from voiceagent.spec.phase import Carry, LastMessages

__all__ = ["Transcript"]

_AWAITED_WITHIN = 40
"""Entries: words that come later than that are of no use any more."""

Role = Literal["caller", "agent", "tool_request", "tool_result", "note"]


@dataclass(slots=True)
class _Words:
    """Words of the caller, and where they stand among all that the caller has said."""

    text: str
    place: int
    awaited: UtteranceId | None = None
    """They are those of this utterance, and have not come yet."""


@dataclass(slots=True)
class _Entry:
    number: int
    role: Role
    epoch: Epoch
    text: str
    request: str | None = None
    tool: str | None = None
    failed: bool = False
    in_audio: bool = False
    spoken: Spoken | None = None
    """The agent's words are read from here as long as they may still be cut short."""
    words: list[_Words] = field(default_factory=list[_Words])
    """What the caller said, in the order in which they said it."""
    shown: Message | None = None
    """As a model was last shown it."""

    def message(self, *, awaited: bool = False) -> Message | None:
        text = self.spoken.heard_text if self.spoken else self.text
        awaits = tuple(words.awaited for words in self.words if words.awaited is not None) if awaited else ()
        if not text and self.role in ("caller", "agent") and not awaits:
            return None
        shown = self.shown
        if shown is None or shown.text != text or shown.in_audio != self.in_audio or shown.awaits != awaits:
            self.shown = shown = Message(
                self.number, self.role, text, self.epoch, self.request, self.tool, self.failed, self.in_audio, awaits
            )
        return shown

    def says(self, words: _Words) -> None:
        """Put words of the caller in their place."""
        later = next((at for at, other in enumerate(self.words) if other.place > words.place), len(self.words))
        self.words.insert(later, words)
        self.read()

    def read(self) -> None:
        """Words have come, or have gone elsewhere."""
        self.text = " ".join(words.text for words in self.words if words.text)


class Transcript:
    """All entries of one call."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._count = 0
        self._places: dict[UtteranceId, int] = {}
        """The caller's utterances, in the order in which they began."""

    def began(self, utterance: UtteranceId) -> None:
        """The caller's voice came on: whatever its words will be, they come after those of what began earlier."""
        self._places.setdefault(utterance, len(self._places))

    def caller(self, said: str | Mapping[UtteranceId, str | None], epoch: Epoch, *, in_audio: bool = False) -> None:
        """The caller said this; words that follow before anybody has answered go on with what was said.

        Of utterances with None the words are still to come: they will stand here, before the answer to them.
        """
        last = self._entries[-1] if self._entries else None
        if last is None or last.role != "caller" or last.epoch != epoch or last.in_audio != in_audio:
            last = self._add("caller", epoch, "", in_audio=in_audio)
        if isinstance(said, str):
            last.says(_Words(said, last.words[-1].place if last.words else len(self._places)))
            return
        for utterance, text in said.items():
            last.says(_Words(text or "", self._place(utterance), awaited=utterance if text is None else None))

    @contextmanager
    def supposing(self, said: Mapping[UtteranceId, str], epoch: Epoch) -> Generator[None]:
        """Be as if the caller had said this, for as long as the block lasts."""
        count, last = self._count, self._entries[-1] if self._entries else None
        before = replace(last, words=list(last.words)) if last is not None else None
        self.caller(said, epoch)
        try:
            yield
        finally:
            if self._count > count:
                self._entries.pop()
                self._count = count
            elif before is not None:
                self._entries[-1] = before

    def words_came(self, utterance: UtteranceId, text: str) -> bool:
        """The words of an utterance that was answered before they were known; False where nobody awaits them."""
        for entry in reversed(self._entries[-_AWAITED_WITHIN:]):
            for words in entry.words:
                if words.awaited == utterance:
                    words.text, words.awaited = text, None
                    entry.read()
                    return True
        return False

    def late(self, utterance: UtteranceId, text: str, epoch: Epoch, *, in_audio: bool) -> None:
        """Words have come that nobody waits for any more: they stand before what the caller has said since."""
        place = self._place(utterance)
        for at in range(max(0, len(self._entries) - _AWAITED_WITHIN), len(self._entries)):
            entry = self._entries[at]
            if any(words.place > place for words in entry.words):
                if in_audio and entry.in_audio:
                    entry.says(_Words(text, place))
                else:
                    self._put_before(at, _Words(text, place), epoch, in_audio=in_audio)
                return
        self.caller({utterance: text}, epoch, in_audio=in_audio)

    def _put_before(self, at: int, words: _Words, epoch: Epoch, *, in_audio: bool) -> None:
        """Add an entry of its own, so that it is news to whoever was told the ones around it."""
        later = self._entries[at]
        earlier = replace(later, words=[other for other in later.words if other.place <= words.place])
        later.words = [other for other in later.words if other.place > words.place]
        later.read()
        earlier.read()
        added = self._add("caller", epoch, words.text, in_audio=in_audio, words=[words])
        self._entries[at:] = [*([earlier] if earlier.words else []), added, *self._entries[at:-1]]

    def _place(self, utterance: UtteranceId) -> int:
        """Return where an utterance stands; one of which only the model knows, after all that have begun so far."""
        return self._places.get(utterance, len(self._places))

    def untold(self, told: int) -> None:
        """Another session of the speech model knows nothing of what comes after this message, though it was audible."""
        for entry in self._entries:
            if entry.number > told:
                entry.in_audio = False

    def agent(self, spoken: Spoken, epoch: Epoch, *, in_audio: bool = False) -> None:
        """The agent says this; what counts is what is heard of it."""
        self._add("agent", epoch, "", spoken=spoken, in_audio=in_audio)

    def requested(self, request: str, tool: str, arguments: str, epoch: Epoch) -> None:
        """The model asked for a tool or a move."""
        self._add("tool_request", epoch, arguments, request=request, tool=tool)

    def answered(self, request: str, tool: str, result: str, epoch: Epoch, *, failed: bool) -> None:
        """A request has its result."""
        self._add("tool_result", epoch, result, request=request, tool=tool, failed=failed)

    def retract(self, request: str) -> None:
        """A request that nothing has come of was overtaken by the caller: it is as if it had not been made."""
        for at in range(len(self._entries) - 1, -1, -1):
            if self._entries[at].role == "tool_request" and self._entries[at].request == request:
                del self._entries[at]
                return

    def note(self, text: str, epoch: Epoch) -> None:
        """The framework tells the model something."""
        self._add("note", epoch, text)

    def forget(self, handles: Collection[str]) -> None:
        """These secrets are gone: nothing must look as if they were known."""
        for entry in self._entries:
            for words in entry.words:
                words.text = without_these(words.text, handles)
            if entry.words:
                entry.read()

    @property
    def last_said(self) -> str | None:
        """The agent's last sentence, whole, where nothing has come after it; a filler is none."""
        for entry in reversed(self._entries):
            if entry.role == "agent" and entry.spoken is not None and entry.spoken.kind != "filler":
                return entry.spoken.text
            if entry.role not in ("agent", "note"):
                return None
        return None

    def messages(self) -> tuple[Message, ...]:
        """Return everything, as it was heard."""
        return tuple(message for entry in self._entries if (message := entry.message()) is not None)

    def window(self, epoch: Epoch, carry: Carry, at_most: int, *, awaited: bool = False) -> tuple[Message, ...]:
        """Return what the model of this phase is shown: the newest messages, a result never without its request.

        With `awaited` a message names the utterances in it that are still being transcribed, and may be without text.
        """
        # Only the tail can be shown, so only the tail is read: cost per turn stays the same in a long call.
        before: list[Message] = []
        here: list[Message] = []
        for entry in self._entries[-2 * at_most :]:
            message = entry.message(awaited=awaited)
            if message is not None:
                (before if message.epoch < epoch else here).append(message)
        match carry:
            case "facts_only":
                # The result that led here is not history: it is what the new phase begins with.
                before = _last_exchange(before)
            case LastMessages(count=count):
                before = before[-count:]
            case "all":
                pass
        return tuple(_without_orphans([*before, *here][-at_most:]))

    def _add(self, role: Role, epoch: Epoch, text: str, **more: object) -> _Entry:
        self._count += 1
        entry = _Entry(self._count, role, epoch, text)
        for name, value in more.items():
            setattr(entry, name, value)
        self._entries.append(entry)
        return entry


def _without_orphans(messages: list[Message]) -> Iterator[Message]:
    """Leave out results whose request was cut off; a model may use the id of a request again later."""
    requested: set[str | None] = set()
    for message in messages:
        if message.role == "tool_request":
            requested.add(message.request)
        if message.role != "tool_result" or message.request in requested:
            yield message


def _last_exchange(messages: list[Message]) -> list[Message]:
    """Return the request and result at the very end, if the phase was left by one."""
    if not messages or messages[-1].role != "tool_result":
        return []
    request = messages[-1].request
    return [m for m in messages if m.request == request]
