"""Models for scripted calls: one that says its lines, and one that follows rules."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from voiceagent.core import effects as fx
from voiceagent.core.sealing import handle_text, handles_in
from voiceagent.errors import ScriptError
from voiceagent.ports import ReplyDone, ReplyModel, ReplyPiece, SentText, ToolRequest

__all__ = ["ModelOfScript", "ModelRule", "RuledModel", "ScriptedModel", "ask_for", "pieces_of", "say"]

_NEWEST = re.compile(r"⟨([A-Za-z_][A-Za-z0-9_]*)⟩")


def say(text: str) -> list[ReplyPiece]:
    """A model's reply of words only."""
    return [SentText(text), ReplyDone()]


def ask_for(name: str, arguments: str = "{}", *, words: str = "", request: str | None = None) -> list[ReplyPiece]:
    """A model's reply that asks for a tool or a move; `arguments` is JSON text.

    `⟨pin⟩` in it stands for the newest secret of that name, whatever number its handle has.
    """
    spoken: list[ReplyPiece] = [SentText(words)] if words else []
    return [*spoken, ToolRequest(request or f"{name}-request", name, arguments), ReplyDone()]


class ModelOfScript(Protocol):
    """What makes the replies of a script."""

    def __call__(self, request: fx.ModelRequest, /) -> Sequence[ReplyPiece]:
        """Return the pieces of one reply. Raises VoiceFailed where the model is to fail."""
        ...


class ScriptedModel:
    """A model that says its lines: per phase a list of replies, one after the other; the last one is repeated."""

    def __init__(self, lines: Mapping[str, Sequence[Sequence[ReplyPiece]]]) -> None:
        self._lines = lines
        self._said: dict[str, int] = {}
        self.requests: list[fx.ModelRequest] = []
        """Everything the model was shown."""

    def __call__(self, request: fx.ModelRequest, /) -> Sequence[ReplyPiece]:
        """Return the next line of this phase."""
        self.requests.append(request)
        lines = self._lines.get(request.phase)
        if not lines:
            raise ScriptError(f"the model has no line for phase {request.phase!r}")
        number = self._said.get(request.phase, 0)
        self._said[request.phase] = number + 1
        return _numbered(lines[min(number, len(lines) - 1)], len(self.requests), request)


@dataclass(frozen=True, slots=True)
class ModelRule:
    """What a model answers where all of this holds; what is None does not matter."""

    reply: tuple[ReplyPiece, ...]
    phase: str | None = None
    caller_says: str | None = None
    """A regular expression, found somewhere in the caller's words, which are the newest entry."""
    after_tool: str | None = None
    """The newest entry is a result of this tool or move."""

    def holds(self, request: fx.ModelRequest) -> bool:
        """Whether the rule fits what the model is shown."""
        newest = request.history[-1] if request.history else None
        if self.phase is not None and request.phase != self.phase:
            return False
        if self.caller_says is not None and (
            newest is None or newest.role != "caller" or not re.search(self.caller_says, newest.text, re.IGNORECASE)
        ):
            return False
        return self.after_tool is None or (
            newest is not None and newest.role == "tool_result" and newest.tool == self.after_tool
        )


class RuledModel:
    """A model that follows rules: the first one that fits makes the reply."""

    def __init__(self, rules: Sequence[ModelRule]) -> None:
        self._rules = rules
        self._replies = 0

    def __call__(self, request: fx.ModelRequest, /) -> Sequence[ReplyPiece]:
        """Return the reply of the first rule that fits."""
        self._replies += 1
        for rule in self._rules:
            if rule.holds(request):
                return _numbered(rule.reply, self._replies, request)
        newest = f"{request.history[-1].role}: {request.history[-1].text}" if request.history else "nothing"
        raise ScriptError(f"no rule of the model fits in phase {request.phase!r} after {newest}")


def pieces_of(model: ModelOfScript | ReplyModel, request: fx.ModelRequest) -> Iterator[ReplyPiece]:
    """Yield the pieces of a model's reply, without an event loop. Raises VoiceFailed where the model fails."""
    if callable(model):
        yield from model(request)
        return
    pieces: AsyncIterator[ReplyPiece] = model.reply(request)
    while True:
        step = anext(pieces)
        try:
            step.__await__().__next__()
        except StopIteration as done:
            yield done.value
        except StopAsyncIteration:
            return
        else:
            raise ScriptError("a model that waits for something cannot be driven without an event loop")


def _numbered(pieces: Sequence[ReplyPiece], number: int, request: fx.ModelRequest) -> list[ReplyPiece]:
    """Return the pieces with ids of their own: two requests must not share one, nor may the same line said twice."""
    return [
        ToolRequest(f"{piece.request}-{number}", piece.name, _with_newest_handles(piece.arguments, request))
        if isinstance(piece, ToolRequest)
        else piece
        for piece in pieces
    ]


def _with_newest_handles(arguments: str, request: fx.ModelRequest) -> str:
    if "⟨" not in arguments:
        return arguments
    newest = {h.slot: h for message in request.history for h in handles_in(message.text)}

    def handle(match: re.Match[str]) -> str:
        known = newest.get(match[1])
        return match[0] if known is None else handle_text(known.handle, known.count)

    return _NEWEST.sub(handle, arguments)
