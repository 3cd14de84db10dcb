"""Requests of a Gemini Live model for tools: which are open, and what has been answered and not been sent yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from voiceagent.core.effects import Message

__all__ = ["Requests"]

_REFUSED = "[Not done: the caller cut in.]"


@dataclass(frozen=True, slots=True)
class _Request:
    name: str
    wire_id: str | None
    """The model's own id; some send none, and then take none back."""


class Requests:
    """The requests of one model session, by the ids under which they were posted."""

    def __init__(self) -> None:
        self._known: dict[str, _Request] = {}
        self._open: list[str] = []
        self._answers: dict[str, Message | None] = {}
        """Answers to be sent, in the order they came; None says that nobody has run the tool."""

    @property
    def open(self) -> bool:
        """Whether a result is owed."""
        return bool(self._open)

    @property
    def answers(self) -> bool:
        """Whether there are results to be sent."""
        return bool(self._answers)

    def knows(self, request: str | None) -> bool:
        """Return whether the request was made in this session."""
        return request is not None and request in self._known

    def is_open(self, request: str | None) -> bool:
        """Return whether a result of this request is owed."""
        return request is not None and request in self._open

    def expect(self, name: str, wire_id: str | None) -> str:
        """Note a request, and return the id under which it is known here."""
        request = wire_id or f"request{len(self._known) + 1}"
        self._known[request] = _Request(name, wire_id or None)
        self._open.append(request)
        return request

    def answer(self, result: Message) -> None:
        """Take a result: the request that it is for is no longer open."""
        request = result.request or ""
        self._open.remove(request)
        self._answers[request] = result

    def refuse(self, request: str) -> None:
        """Answer an open request with the news that nothing has been done."""
        self._open.remove(request)
        self._answers[request] = None

    def withdraw(self, wire_ids: Sequence[str]) -> tuple[list[str], list[Message]]:
        """Forget requests that the model has given up.

        Returns those whose result was owed, and the results that had come and can no longer be sent as answers.
        """
        owed = [request for request in wire_ids if request in self._open]
        unsent = [self._answers.pop(request) for request in wire_ids if request in self._answers]
        self._open = [request for request in self._open if request not in owed]
        return owed, [result for result in unsent if result is not None]

    def take_answers(self, *, notes: Sequence[str] = ()) -> list[dict[str, JsonValue]]:
        """Take the function responses to be sent; the last one carries `notes` about anything else."""
        answers, self._answers = self._answers, {}
        responses: list[dict[str, JsonValue]] = []
        for place, (request, result) in enumerate(answers.items()):
            known = self._known[request]
            told = notes if place == len(answers) - 1 else ()
            response: dict[str, JsonValue] = {"name": known.name, "response": _response(result, told)}
            if known.wire_id is not None:
                response["id"] = known.wire_id
            responses.append(response)
        return responses


def _response(result: Message | None, notes: Sequence[str]) -> dict[str, JsonValue]:
    value = _REFUSED if result is None else _value(result.text)
    told: JsonValue = {"result": value, "notes": list(notes)} if notes else value
    return {"error" if result is None or result.failed else "output": told}


def _value(text: str) -> JsonValue:
    """Return a result as JSON; where it is not, as the text it is."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value
