"""Reads a chat model's reply from the chunks in which it is streamed.

Servers stray from the protocol in how they number streamed tool calls: Ollama calls all of them 0
(https://github.com/ollama/ollama/issues/15457), Gemini leaves the number out
(https://github.com/openai/openai-python/issues/2806), others the id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from voiceagent.models.reply_assembly import Called, Crumb, Ended, Tokens, Writing
from voiceagent.ports import SentText

if TYPE_CHECKING:
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

__all__ = ["ChatReader"]


@dataclass(slots=True)
class _Call:
    """A tool call that is still being streamed."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class ChatReader:
    """Understands the chunks of one reply."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def read(self, event: ChatCompletionChunk, /) -> Iterator[Crumb]:
        """Yield what the chunk adds: text at once, tool requests when all of them are there."""
        if event.usage is not None:
            yield _tokens(event.usage)
        for choice in event.choices:
            text = (choice.delta.content or "") + (choice.delta.refusal or "")
            if text:
                yield SentText(text)
            for delta in choice.delta.tool_calls or ():
                self._add(delta)
                yield Writing()
            if choice.finish_reason is not None:
                yield from self._end()

    def _end(self) -> Iterator[Crumb]:
        for call in self._calls:
            yield Called(call.id, call.name, call.arguments)
        self._calls.clear()
        yield Ended()

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


def _begins_another(delta: ChoiceDeltaToolCall, call: _Call, *, numbered: bool) -> bool:
    """Whether a delta that seems to go on with a call is another one: it says so by its id, or else by a name."""
    if delta.id:
        return bool(call.id) and delta.id != call.id
    return not numbered and delta.function is not None and bool(delta.function.name)


def _tokens(usage: CompletionUsage) -> Tokens:
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return Tokens(usage.prompt_tokens, usage.completion_tokens, cached or 0)
