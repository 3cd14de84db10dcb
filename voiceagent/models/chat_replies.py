"""Puts a chat model's reply together from the crumbs in which it is streamed.

Servers stray from the protocol in how they number streamed tool calls: Ollama calls all of them 0
(https://github.com/ollama/ollama/issues/15457), Gemini leaves the number out
(https://github.com/openai/openai-python/issues/2806), others the id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from voiceagent.core.effects import Message
from voiceagent.ports import ReplyDone, SentText, ToolRequest

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

__all__ = ["ReplyAssembly"]


@dataclass(slots=True)
class _Call:
    """A tool call that is still being streamed."""

    id: str = ""
    name: str = ""
    arguments: str = ""


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
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def take(self, chunk: ChatCompletionChunk) -> Iterator[SentText | ToolRequest]:
        """Yield what the chunk completes: text at once, tool requests when all of them are there."""
        self.count(chunk)
        for choice in chunk.choices:
            text = (choice.delta.content or "") + (choice.delta.refusal or "")
            if text:
                self.empty = False
                yield SentText(text)
            for delta in choice.delta.tool_calls or ():
                self._add(delta)
            self.finished = self.finished or choice.finish_reason is not None
        if self.finished:
            yield from self._requests()

    def count(self, chunk: ChatCompletionChunk) -> None:
        """Note the tokens, where the chunk counts them."""
        if chunk.usage is not None:
            self.done = ReplyDone(input_tokens=chunk.usage.prompt_tokens, output_tokens=chunk.usage.completion_tokens)

    def _add(self, delta: ChoiceDeltaToolCall) -> None:
        call = self._call_of(delta)
        if delta.function is not None:
            call.name = call.name or delta.function.name or ""
            call.arguments += delta.function.arguments or ""

    def _call_of(self, delta: ChoiceDeltaToolCall) -> _Call:
        index = cast("int | None", delta.index)
        newest = self._calls[-1] if self._calls else None
        call = newest if index is None else self._by_index.get(index)
        if call is None or _begins_another(delta, call, numbered=index is not None):
            call = _Call()
            self._calls.append(call)
            if index is not None:
                self._by_index[index] = call
        call.id = call.id or delta.id or ""
        return call

    def _requests(self) -> Iterator[ToolRequest]:
        for number, call in enumerate(self._calls):
            self.empty = False
            # Some servers count from 0 in every reply, but results find their requests by these ids all through a call.
            request = call.id if call.id and call.id not in self._taken else f"n{self._newest}-{number}"
            self._taken.add(request)
            yield ToolRequest(request, call.name, call.arguments)
        self._calls.clear()


def _begins_another(delta: ChoiceDeltaToolCall, call: _Call, *, numbered: bool) -> bool:
    """Whether a delta that seems to go on with a call is another one: it says so by its id, or else by a name."""
    if delta.id:
        return bool(call.id) and delta.id != call.id
    return not numbered and delta.function is not None and bool(delta.function.name)
