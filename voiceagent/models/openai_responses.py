"""Answers the caller with a model behind OpenAI's Responses, which replace chat completions there.

Nothing is kept at the provider (`store` is off): what a caller said is in no list of responses, and a model is shown
what the phase shows it, not what an earlier response remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from voiceagent.models.asking import AskedModel, Asking, Patience
from voiceagent.models.failures import ModelUnavailable, ReplyRefused, broken_off
from voiceagent.models.openai_sdk import openai_client, openai_failure
from voiceagent.models.reply_assembly import Called, Crumb, Ended, Tokens, Writing
from voiceagent.models.shown import Exchange, Offered, Said, Shown, ToolUse
from voiceagent.ports import SentText
from voiceagent.spec.flow import Flow

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.responses import (
        FunctionToolParam,
        Response,
        ResponseFunctionToolCall,
        ResponseInputItemParam,
        ResponseOutputItem,
        ResponseStreamEvent,
        ResponseUsage,
    )
    from openai.types.responses.response_usage import InputTokensDetails

__all__ = ["OpenAIResponsesModels", "input_from"]

_TROUBLE = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})
"""Codes of a failed response that are about the model, not about the request."""


class OpenAIResponsesModels:
    """One model of OpenAI's, for every call of the process; fulfils `ReplyModelEngine`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """Prepare connections as `openai_client` does. Raises MissingExtra, OperatorError."""
        self._client = openai_client(model, base_url=base_url, api_key=api_key, timeout_ms=patience.request_timeout_ms)
        # The SDK imports this part when it is first named: in the middle of a call that would hold up the loop.
        self._responses = self._client.responses
        self._model = model
        self._patience = patience

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> AskedModel[ResponseStreamEvent]:
        """Return a handle for one call of this flow; its prompts decide which language is spoken."""
        return AskedModel(self._asking, flow, time_zone=time_zone, patience=self._patience)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _asking(self, shown: Shown) -> Asking[ResponseStreamEvent]:
        from openai import omit

        items = input_from(shown)
        functions = _functions(shown.tools)

        async def send() -> AsyncStream[ResponseStreamEvent]:
            return await self._responses.create(
                model=self._model,
                instructions=shown.prompt or omit,
                input=items,
                tools=functions or omit,
                prompt_cache_key=shown.cache,
                store=False,
                stream=True,
            )

        return Asking(
            model=self._model, send=send, reader=lambda: _ResponseReader(self._model), failure_of=openai_failure
        )


# --- what is sent ----------------------------------------------------------------------------------------------------


def input_from(shown: Shown) -> list[ResponseInputItemParam]:
    """Return what follows the instructions: the late facts, then the conversation."""
    items: list[ResponseInputItemParam] = []
    if shown.late:
        items.append({"role": "system", "content": shown.late, "type": "message"})
    for entry in shown.conversation:
        items += _said(entry) if isinstance(entry, Said) else _exchanged(entry)
    return items


def _said(words: Said) -> Iterator[ResponseInputItemParam]:
    yield {"role": words.party, "content": words.text, "type": "message"}


def _exchanged(exchange: Exchange) -> Iterator[ResponseInputItemParam]:
    for use in exchange.uses:
        yield {"type": "function_call", "call_id": use.id, "name": use.tool, "arguments": use.arguments_text}
    for use in exchange.uses:
        yield {"type": "function_call_output", "call_id": use.id, "output": _output(use)}


def _output(use: ToolUse) -> str:
    return f"Failed: {use.result}" if use.failed else use.result


def _functions(tools: Iterable[Offered]) -> list[FunctionToolParam]:
    # Strict schemas are another dialect: every property required, no defaults. Arguments are validated here anyway.
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": {**tool.parameters},
            "strict": False,
        }
        for tool in tools
    ]


# --- what comes back -------------------------------------------------------------------------------------------------


class _ResponseReader:
    """Understands the events of one response. Those that are of no use to a caller are passed over."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: dict[int, ResponseFunctionToolCall] = {}
        """Place in the output → the request as far as it has come."""

    def read(self, event: ResponseStreamEvent, /) -> Iterator[Crumb]:
        """Yield what the event adds: text at once, tool requests when all of them are there."""
        match event.type:
            case "response.output_text.delta" | "response.refusal.delta":
                yield SentText(event.delta)
            case "response.output_item.added" | "response.output_item.done":
                yield from self._item(event.output_index, event.item)
            case "response.function_call_arguments.delta":
                yield from self._more_arguments(event.output_index, event.delta)
            case "response.completed" | "response.incomplete":
                yield from self._end(event.response)
            case "response.failed":
                error = event.response.error
                raise self._failure(error.code if error is not None else None)
            case "error":
                raise self._failure(event.code)
            case _:
                pass

    def _item(self, place: int, item: ResponseOutputItem) -> Iterator[Crumb]:
        if item.type == "function_call":
            self._calls[place] = item
            yield Writing()

    def _more_arguments(self, place: int, more: str) -> Iterator[Crumb]:
        call = self._calls.get(place)
        if call is not None:
            call.arguments += more
        yield Writing()

    def _end(self, response: Response) -> Iterator[Crumb]:
        for _, call in sorted(self._calls.items()):
            yield Called(call.call_id, call.name, call.arguments)
        if response.usage is not None:
            yield _tokens(response.usage)
        yield Ended()

    def _failure(self, code: str | None) -> ModelUnavailable | ReplyRefused:
        failure = broken_off(self._model, code)
        if code == "rate_limit_exceeded":
            return ModelUnavailable(str(failure))
        return failure if code is None or code in _TROUBLE else ReplyRefused(str(failure))


def _tokens(usage: ResponseUsage) -> Tokens:
    details = cast("InputTokensDetails | None", usage.input_tokens_details)  # compatible servers leave it out
    return Tokens(usage.input_tokens, usage.output_tokens, details.cached_tokens if details is not None else 0)
