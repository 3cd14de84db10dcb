"""Tells a Gemini Live model in words what has happened on the call: turns of the caller and of the agent.

A turn is text only: calls of tools and their results are refused there, so they are told in brackets, in the caller's
turns. Neighbours of one role are one turn, the first turn is the caller's, and what is too long loses its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voiceagent.core.effects import Message

__all__ = ["MOST_CHARS", "MOST_CHARS_OF_A_MESSAGE", "Turn", "as_note", "turns_for"]

MOST_CHARS = 48_000
"""A tenth of the smallest context window of these models, at four characters to a token."""
MOST_CHARS_OF_A_MESSAGE = 4_000

_BEGINNING_LEFT_OUT = "[What was said before this is left out.]"
_AGENT_BEGAN = "[The call begins.]"
_GO_ON = "[The call goes on from here.]"


Role = Literal["user", "model"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as it stands on the wire."""

    role: Role
    text: str


def turns_for(
    messages: Sequence[Message],
    *,
    whole_call: bool = True,
    ends_with_caller: bool = False,
    most_chars: int = MOST_CHARS,
) -> list[Turn]:
    """Return the turns that tell what happened, in order; none where there is nothing to tell.

    With `whole_call` they begin with the caller's role, else they go on from turns that were told before. With
    `ends_with_caller` they end with it too.
    """
    told = [part for part in _told(messages) if part[1]]
    kept = _last_that_fit(told, most_chars)
    if len(kept) < len(told):
        kept.insert(0, ("user", _BEGINNING_LEFT_OUT))
    elif whole_call and kept and kept[0][0] == "model":
        kept.insert(0, ("user", _AGENT_BEGAN))
    if ends_with_caller and kept and kept[-1][0] == "model":
        kept.append(("user", _GO_ON))
    turns: list[Turn] = []
    for role, text in kept:
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, f"{turns[-1].text}\n{text}")
        else:
            turns.append(Turn(role, text))
    return turns


def as_note(message: Message, requests: Mapping[str, Message] | None = None) -> str:
    """Return the one line, in brackets, that tells of a message where there are no turns."""
    match message.role:
        case "caller":
            return f"[The caller said: {_cut(message.text)}]"
        case "agent":
            return f"[You said: {_cut(message.text)}]"
        case "note":
            return _cut(message.text)
        case "tool_request":
            return f"[You asked for {_called(message)}; there is no result yet.]"
        case "tool_result":
            request = (requests or {}).get(message.request or "")
            what = _called(request) if request is not None else message.tool
            return f"[Earlier, {what} {'failed' if message.failed else 'returned'}: {_cut(message.text)}]"


def _told(messages: Sequence[Message]) -> list[tuple[Role, str]]:
    requests = {message.request: message for message in messages if message.role == "tool_request" and message.request}
    answered = {message.request for message in messages if message.role == "tool_result"}
    told: list[tuple[Role, str]] = []
    for message in messages:
        if message.role == "agent":
            told.append(("model", _cut(message.text)))
        elif message.role == "caller":
            told.append(("user", _cut(message.text)))
        elif message.role != "tool_request" or message.request not in answered:
            told.append(("user", as_note(message, requests)))
    return told


def _last_that_fit(told: Sequence[tuple[Role, str]], most_chars: int) -> list[tuple[Role, str]]:
    kept: list[tuple[Role, str]] = []
    for role, text in reversed(told):
        most_chars -= len(text)
        if most_chars < 0:
            break
        kept.insert(0, (role, text))
    return kept


def _called(request: Message) -> str:
    return f"{request.tool}({_cut(request.text)})"


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MOST_CHARS_OF_A_MESSAGE else f"{text[: MOST_CHARS_OF_A_MESSAGE - 1]}…"
