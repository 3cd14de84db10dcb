"""Puts a model's reply together from the crumbs in which a provider streams it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from voiceagent.core.effects import Message
from voiceagent.ports import ReplyDone, SentText, ToolRequest

__all__ = ["Called", "Crumb", "Ended", "ReplyAssembly", "Tokens", "Writing"]


@dataclass(frozen=True, slots=True)
class Called:
    """A whole tool request. Told together with the end of the reply: half a reply must start nothing."""

    id: str
    name: str
    arguments: str
    """JSON as the model wrote it, right or wrong."""


@dataclass(frozen=True, slots=True)
class Writing:
    """The model is at work on a tool request."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The model has said that this is all."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the reply has cost; `read` includes what came `from_cache`."""

    read: int
    written: int
    from_cache: int = 0


Crumb = SentText | Called | Writing | Ended | Tokens


class ReplyAssembly:
    """One reply in the making."""

    def __init__(self, history: Sequence[Message]) -> None:
        """Begin the reply to this history: requests are told apart from those that are in it."""
        self.finished = False
        """Whether the model has said that this is all."""
        self.empty = True
        """Whether nothing has come of it: neither words nor a request."""
        self.done = ReplyDone()
        """The last piece, as far as the tokens are known."""
        self._taken = {message.request for message in history}
        self._newest = history[-1].number if history else 0
        self._calls = 0

    def take(self, crumbs: Iterable[Crumb]) -> Iterator[SentText | ToolRequest]:
        """Yield what the crumbs complete."""
        for crumb in crumbs:
            match crumb:
                case SentText(text):
                    if text:
                        self.empty = False
                        yield crumb
                case Called():
                    self.empty = False
                    yield ToolRequest(self._id_of(crumb), crumb.name, crumb.arguments)
                case Ended():
                    self.finished = True
                case Tokens():
                    self.count(crumb)
                case Writing():
                    pass

    def count(self, tokens: Tokens) -> None:
        """Note the tokens; a later count replaces an earlier one."""
        self.done = ReplyDone(input_tokens=tokens.read, output_tokens=tokens.written, cached_tokens=tokens.from_cache)

    def _id_of(self, call: Called) -> str:
        # Some servers count from 0 in every reply, but results find their requests by these ids all through a call.
        request = call.id if call.id and call.id not in self._taken else f"n{self._newest}-{self._calls}"
        self._calls += 1
        self._taken.add(request)
        return request
