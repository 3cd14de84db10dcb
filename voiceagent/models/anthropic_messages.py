"""Answers the caller with a model behind Anthropic's Messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from voiceagent.errors import MissingExtra, OperatorError, VoiceFailed
from voiceagent.models.asking import AskedModel, Asking, Patience
from voiceagent.models.failures import CONNECTED_WITHIN_S, ModelUnavailable, cut_off, refusal
from voiceagent.models.reply_assembly import Called, Crumb, Ended, Tokens, Writing
from voiceagent.models.shown import Exchange, Offered, Said, Shown, ToolUse
from voiceagent.ports import SentText
from voiceagent.spec.flow import Flow

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types import (
        ContentBlockParam,
        MessageDeltaUsage,
        MessageParam,
        RawMessageStreamEvent,
        TextBlockParam,
        ToolParam,
        Usage,
    )

__all__ = ["AnthropicModels", "messages_from", "system_from"]

_ANTHROPIC_URL = "https://api.anthropic.com"
_NO_KEY = "none"
"""Sent to servers that ask for no key. Left out, the SDK would send them one of the environment's."""
_IDLE_CONNECTION_S = 60.0
"""As for OpenAI: connections outlive a caller's turn."""
_MOST_TOKENS = 4_096
"""The protocol asks for a bound, and what a model thinks counts too. Of speech it is twenty minutes."""
_CALLER_IS_THERE = "[The caller is on the line.]"
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What an error in mid-stream would have been as an HTTP status: https://docs.anthropic.com/en/api/errors."""


class AnthropicModels:
    """One model of Anthropic's, for every call of the process; fulfils `ReplyModelEngine`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """Prepare connections; nothing is sent. Without `base_url` it is Anthropic's own, which needs a key.

        Blocks for a second: the SDK is loaded, certificates are read. Raises MissingExtra, OperatorError.
        """
        if not api_key and not base_url:
            raise OperatorError(f"the model {model!r} needs a key: set ANTHROPIC_API_KEY, or name another server")
        self._client = _client(base_url or _ANTHROPIC_URL, api_key or _NO_KEY, patience.request_timeout_ms)
        # The SDK imports this part when it is first named: in the middle of a call that would hold up the loop.
        self._messages = self._client.messages
        self._model = model
        self._patience = patience

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> AskedModel[RawMessageStreamEvent]:
        """Return a handle for one call of this flow; its prompts decide which language is spoken."""
        return AskedModel(self._asking, flow, time_zone=time_zone, patience=self._patience)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _asking(self, shown: Shown) -> Asking[RawMessageStreamEvent]:
        from anthropic import omit

        system = system_from(shown)
        messages = messages_from(shown)
        tools = _tools(shown.tools)

        async def send() -> AsyncStream[RawMessageStreamEvent]:
            return await self._messages.create(
                model=self._model,
                max_tokens=_MOST_TOKENS,
                system=system,
                messages=messages,
                tools=tools or omit,
                stream=True,
            )

        return Asking(model=self._model, send=send, reader=_MessageReader, failure_of=_failure)


def _client(base_url: str, api_key: str, timeout_ms: int) -> AsyncAnthropic:
    try:
        import httpx2
        from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
    except ImportError as exc:
        raise MissingExtra("a model of Anthropic's", extra="anthropic") from exc
    limits = httpx2.Limits(max_connections=1_000, max_keepalive_connections=100, keepalive_expiry=_IDLE_CONNECTION_S)
    return AsyncAnthropic(
        api_key=api_key,
        base_url=base_url,
        timeout=httpx2.Timeout(timeout_ms / 1_000, connect=CONNECTED_WITHIN_S),
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(limits=limits),
    )


def _failure(model: str, exc: Exception) -> VoiceFailed | None:
    import httpx2
    from anthropic import APIConnectionError, APIStatusError, APITimeoutError

    match exc:
        case APITimeoutError() | httpx2.TimeoutException():
            return ModelUnavailable(f"{model} did not answer in time")
        case APIStatusError():
            # In mid-stream the status is that of the stream, which began well.
            status = exc.status_code if exc.status_code >= 400 else _STATUS_OF.get(exc.type or "", 500)
            return refusal(model, status, exc.type, headers=exc.response.headers, message=exc.message)
        case APIConnectionError() | httpx2.TransportError():
            return cut_off(model)
        case _:
            return None


# --- what is sent ----------------------------------------------------------------------------------------------------


def system_from(shown: Shown) -> list[TextBlockParam]:
    """Return the prompt, marked as the end of what is to be cached, and the late facts.

    The tools come before the system in what is cached, so the one mark is for both:
    https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching.
    """
    blocks: list[TextBlockParam] = []
    if shown.prompt.strip():
        blocks.append({"type": "text", "text": shown.prompt, "cache_control": {"type": "ephemeral"}})
    if shown.late.strip():
        blocks.append({"type": "text", "text": shown.late})
    return blocks


def messages_from(shown: Shown) -> list[MessageParam]:
    """Return the conversation: the parties take turns, the user begins, and no content is blank.

    The results of tools stand at the beginning of the message that follows their requests.
    """
    turns = [turn for entry in shown.conversation for turn in _turns(entry)]
    if turns[0].party == "assistant":
        turns.insert(0, _Turn("user", [{"type": "text", "text": _CALLER_IS_THERE}]))
    merged: list[_Turn] = []
    for turn in turns:
        if merged and merged[-1].party == turn.party:
            merged[-1].content.extend(turn.content)
        else:
            merged.append(turn)
    return [_message(turn) for turn in merged]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A message in the making."""

    party: Literal["user", "assistant"]
    content: list[ContentBlockParam]


def _message(turn: _Turn) -> MessageParam:
    if turn.party == "user":
        return {"role": "user", "content": turn.content}
    return {"role": "assistant", "content": turn.content}


def _turns(entry: Said | Exchange) -> Iterator[_Turn]:
    if isinstance(entry, Said):
        yield _Turn(entry.party, [{"type": "text", "text": entry.text}])
        return
    yield _Turn("assistant", [_request(use) for use in entry.uses])
    yield _Turn("user", [_result(use) for use in entry.uses])


def _request(use: ToolUse) -> ContentBlockParam:
    return {"type": "tool_use", "id": use.id, "name": use.tool, "input": {**use.arguments}}


def _result(use: ToolUse) -> ContentBlockParam:
    return {"type": "tool_result", "tool_use_id": use.id, "content": use.result, "is_error": use.failed}


def _tools(tools: Iterable[Offered]) -> list[ToolParam]:
    return [{"name": tool.name, "description": tool.description, "input_schema": {**tool.parameters}} for tool in tools]


# --- what comes back -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """A tool request that is still being streamed."""

    id: str
    name: str
    arguments: str = ""


class _MessageReader:
    """Understands the events of one message. Those that are of no use to a caller are passed over."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        """Place in the content → the request as far as it has come."""
        self._read = 0
        self._written = 0
        self._from_cache = 0

    def read(self, event: RawMessageStreamEvent, /) -> Iterator[Crumb]:
        """Yield what the event adds: text at once, tool requests when all of them are there."""
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start":
                block = event.content_block
                if block.type == "tool_use":
                    # The arguments follow; where they are here already the server is none of Anthropic's.
                    begun = json.dumps(block.input, ensure_ascii=False) if block.input else ""
                    self._calls[event.index] = _Call(block.id, block.name, begun)
                    yield Writing()
                elif block.type == "text" and block.text:
                    yield SentText(block.text)
            case "content_block_delta":
                if event.delta.type == "text_delta":
                    yield SentText(event.delta.text)
                elif event.delta.type == "input_json_delta":
                    yield from self._more_arguments(event.index, event.delta.partial_json)
            case "message_delta":
                self._count(event.usage)
                if event.delta.stop_reason is not None:
                    yield from self._end()
            case _:
                pass

    def _more_arguments(self, place: int, more: str) -> Iterator[Crumb]:
        call = self._calls.get(place)
        if call is not None:
            call.arguments += more
        yield Writing()

    def _end(self) -> Iterator[Crumb]:
        for call in self._calls.values():
            yield Called(call.id, call.name, call.arguments)
        yield Tokens(self._read, self._written, self._from_cache)
        yield Ended()

    def _count(self, usage: Usage | MessageDeltaUsage | None) -> None:
        """Note the tokens so far: what was read anew, written to the cache and read from it are counted apart."""
        if usage is None:
            return  # compatible servers leave it out
        self._written = usage.output_tokens
        if usage.input_tokens is not None:
            self._from_cache = usage.cache_read_input_tokens or 0
            self._read = usage.input_tokens + (usage.cache_creation_input_tokens or 0) + self._from_cache
