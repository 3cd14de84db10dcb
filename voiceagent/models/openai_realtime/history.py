"""Tells OpenAI Realtime what has happened on the call, as items of its conversation.

The shape is free: any number of items, in any order of roles. Only a result must answer a request that the session
itself has made, once; every other request and result is history and is told in words, in brackets, as a message of the
user: a tool's text never speaks with the system's voice. Notes are the framework's own words and do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import JsonValue

from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.effects import Message

__all__ = ["MAX_RESULT_CHARS", "NewItem", "answer", "items_for"]

MAX_RESULT_CHARS = 4_000
"""Of a result that is told in words: what is longer has been answered already, and costs tokens with every reply."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to be added to the conversation."""

    item: dict[str, JsonValue]
    """As it stands on the wire, without an id."""
    answers: str | None = None
    """The session's own request that it answers."""
    instead: dict[str, JsonValue] | None = None
    """The same in words, where the provider does not know the request any more."""


def items_for(
    messages: Sequence[Message], *, open_requests: Collection[str], own_requests: Collection[str]
) -> tuple[NewItem, ...]:
    """Return the items that tell these messages.

    `own_requests` are all that the session has made, so that it knows them; `open_requests` those without a result.
    """
    return _Telling(messages, set(open_requests), own_requests).items()


def answer(request: str, output: str) -> dict[str, JsonValue]:
    """Return the item that answers a request."""
    return {"type": "function_call_output", "call_id": request, "output": output}


@dataclass(frozen=True, slots=True)
class _Words:
    role: Literal["user", "assistant"]
    text: str

    def item(self) -> dict[str, JsonValue]:
        kind = "output_text" if self.role == "assistant" else "input_text"
        return {"type": "message", "role": self.role, "content": [{"type": kind, "text": self.text}]}


class _Telling:
    """Goes through a conversation, entry by entry."""

    def __init__(self, messages: Sequence[Message], open_requests: set[str], own_requests: Collection[str]) -> None:
        self._messages = messages
        self._open = open_requests
        self._own = own_requests
        self._told: list[NewItem | _Words] = []
        self._waiting: dict[str, Message] = {}
        """Requests of another session whose result has not come by yet."""
        self._answered = {message.request for message in messages if message.role == "tool_result"}

    def items(self) -> tuple[NewItem, ...]:
        for message in self._messages:
            match message.role:
                case "caller":
                    self._say("user", message.text)
                case "agent":
                    self._say("assistant", message.text)
                case "note":
                    # What tools return may stand in it: it must not speak with the voice of the system.
                    self._say("user", message.text if message.text.startswith("[") else f"[{message.text}]")
                case "tool_request":
                    self._tell_request(message)
                case "tool_result":
                    self._tell_result(message)
        return tuple(NewItem(told.item()) if isinstance(told, _Words) else told for told in self._told)

    def _say(self, role: Literal["user", "assistant"], text: str) -> None:
        if not text.strip():
            return
        before = self._told[-1] if self._told else None
        if isinstance(before, _Words) and before.role == role:
            self._told[-1] = replace(before, text=f"{before.text}\n{text}")
        else:
            self._told.append(_Words(role, text))

    def _tell_request(self, message: Message) -> None:
        if message.request is not None and message.request in self._own:
            return
        if message.request is not None and message.request in self._answered:
            self._waiting[message.request] = message
        else:
            self._say("user", f"[You asked for {_called(message)}; there is no result yet.]")

    def _tell_result(self, message: Message) -> None:
        answered = message.request
        request = self._waiting.pop(answered, None) if answered is not None else None
        what = _called(request) if request is not None else message.tool
        text = message.text if len(message.text) <= MAX_RESULT_CHARS else f"{message.text[:MAX_RESULT_CHARS]}…"
        words = f"[Earlier, {what} {'failed' if message.failed else 'returned'}: {text}]"
        if answered is not None and answered in self._open:
            self._open.remove(answered)
            item = answer(answered, f"Failed: {message.text}" if message.failed else message.text)
            self._told.append(NewItem(item, answers=answered, instead=_Words("user", words).item()))
        else:
            self._say("user", words)


def _called(request: Message) -> str:
    arguments, problem = parsed_arguments(request.text)
    return f"{request.tool}({request.text if arguments and problem is None else '{}'})"
