"""Tells a new Nova session what the call has been so far, in the only shape that it takes.

It takes words of USER and ASSISTANT, in turns, the USER first, once, before any audio; no tool calls. How much it takes
is told differently by AWS's guide (40 KB, 1 KB in one `textInput`) and by those who have used it (40 messages); what is
made here keeps every one of these limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voiceagent.core.effects import Message

__all__ = ["MAX_HISTORY_BYTES", "MAX_INPUT_BYTES", "MAX_TURNS", "OPENING", "Turn", "live_words", "pieces", "shaped"]

MAX_TURNS = 40
MAX_INPUT_BYTES = 1_024
MAX_HISTORY_BYTES = 40_000
OPENING = "[Earlier in this call.]"
"""Stands where the caller's words should, when the agent spoke first: left out, the model would greet again."""

_MAX_ENTRY_BYTES = 8_000
"""No single entry takes the room of all others."""
_MAX_RESULT_BYTES = 1_000
"""An earlier tool's result is told in short: what mattered of it has been said since."""

_Role = Literal["USER", "ASSISTANT"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said until the other one did."""

    role: _Role
    text: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One message in words."""

    role: _Role
    text: str
    lasting: bool
    """A note, e.g. the phase's facts: kept before anything that was merely said."""

    @property
    def cost(self) -> int:
        return len(self.text.encode()) + 1


# --- before the first audio ------------------------------------------------------------------------------------------


def shaped(messages: Sequence[Message]) -> tuple[Turn, ...]:
    """Return the history as alternating turns, the first one USER, within the limits; the oldest words go first."""
    entries = _fitting([entry for message in _told(messages) if (entry := _entry(message)) is not None])
    turns = _merged(entries)
    while len(turns) > MAX_TURNS:
        oldest = next(place for place, entry in enumerate(entries) if not entry.lasting)
        del entries[oldest]
        turns = _merged(entries)
    return tuple(turns)


def _entry(told: _Told) -> _Entry | None:
    message = told.message
    text = _clean(message.text if message.role in ("caller", "agent") else told.bracketed)
    if not text:
        return None
    role: _Role = "ASSISTANT" if message.role == "agent" else "USER"
    return _Entry(role, _cut(text, _MAX_ENTRY_BYTES), lasting=message.role == "note")


def _fitting(entries: Sequence[_Entry]) -> list[_Entry]:
    left = MAX_HISTORY_BYTES - len(OPENING) - 1
    kept: set[int] = set()
    for lasting in (True, False):
        for place in reversed(range(len(entries))):
            entry = entries[place]
            if entry.lasting is not lasting:
                continue
            if entry.cost > left:
                break
            left -= entry.cost
            kept.add(place)
    return [entry for place, entry in enumerate(entries) if place in kept]


def _merged(entries: Iterable[_Entry]) -> list[Turn]:
    turns: list[Turn] = []
    for entry in entries:
        if not turns and entry.role == "ASSISTANT":
            turns.append(Turn("USER", OPENING))
        if turns and turns[-1].role == entry.role:
            turns[-1] = Turn(entry.role, f"{turns[-1].text}\n{entry.text}")
        else:
            turns.append(Turn(entry.role, entry.text))
    return turns


# --- in the middle of a call -----------------------------------------------------------------------------------------


def live_words(messages: Sequence[Message]) -> list[str]:
    """Return what has happened as lines for a live session, where all text is the USER's.

    Short and in brackets: instruction-like prose makes Nova call a tool again (measured on a branch of pipecat).
    """
    lines: list[str] = []
    for told in _told(messages):
        message = told.message
        match message.role:
            case "caller":
                line = message.text
            case "agent":
                line = f"[You have said: {message.text.strip()}]" if message.text.strip() else ""
            case "tool_request" | "tool_result" | "note":
                line = told.bracketed
        if line := _clean(line):
            lines.append(_cut(line, _MAX_ENTRY_BYTES))
    return lines


# --- words -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """A message, and the request that it is the result of."""

    message: Message
    request: Message | None

    @property
    def bracketed(self) -> str:
        """What the framework says about it; empty where there is nothing to say."""
        message = self.message
        text = message.text.strip()
        match message.role:
            case "tool_request":
                return f"[You asked for {_called(message)}; there is no result yet.]"
            case "tool_result":
                how = "failed" if message.failed else "returned"
                what = _called(self.request) if self.request is not None else message.tool or "a tool"
                return f"[Earlier, {what} {how}: {_cut(text, _MAX_RESULT_BYTES) or 'nothing'}]"
            case "caller" | "agent" | "note":
                return text if not text or text.startswith("[") else f"[{text}]"


def _told(messages: Sequence[Message]) -> Iterator[_Told]:
    """Yield what is to be told: a request whose result follows is told with it."""
    requests: Mapping[str, Message] = {
        message.request: message for message in messages if message.role == "tool_request" and message.request
    }
    answered = {message.request for message in messages if message.role == "tool_result"}
    for message in messages:
        if message.role == "tool_request" and message.request in answered:
            continue
        yield _Told(message, requests.get(message.request or "") if message.role == "tool_result" else None)


def _called(request: Message) -> str:
    return f"{request.tool or 'a tool'}({_cut(request.text.strip(), _MAX_RESULT_BYTES)})"


def _clean(text: str) -> str:
    """Return text that can be encoded: a lone surrogate, which JSON can hold, cannot."""
    return text.strip().encode("utf-8", "replace").decode()


def _cut(text: str, limit: int) -> str:
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= limit else encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def pieces(text: str, limit: int = MAX_INPUT_BYTES) -> Iterator[str]:
    """Yield the text in pieces of at most `limit` bytes, cut between words if it has any; joined they are the text."""
    encoded = text.encode("utf-8", "replace")
    begin = 0
    while len(encoded) - begin > limit:
        end = begin + limit
        while encoded[end] & 0xC0 == 0x80:  # in the middle of a character
            end -= 1
        space = encoded.rfind(b" ", begin + 1, end)
        if space > begin + limit // 2:
            end = space
        yield encoded[begin:end].decode()
        begin = end
    yield encoded[begin:].decode()
