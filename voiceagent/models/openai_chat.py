"""Answers the caller with a chat model behind an OpenAI-compatible endpoint, OpenAI's own or a local server's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from voiceagent.models.asking import AskedModel, Asking, Patience
from voiceagent.models.chat_messages import functions_from, messages_from
from voiceagent.models.chat_replies import ChatReader
from voiceagent.models.openai_sdk import openai_client, openai_failure
from voiceagent.models.shown import Shown
from voiceagent.spec.flow import Flow

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk, ChatCompletionFunctionToolParam, ChatCompletionMessageParam

__all__ = ["OpenAIChatModels"]


class OpenAIChatModels:
    """One model of one endpoint, for every call of the process; fulfils `ReplyModelEngine`."""

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
        self._completions = self._client.chat.completions
        self._model = model
        self._patience = patience
        self._is_openai = not base_url
        self._counts_tokens = True
        """Until the server refuses `stream_options`."""

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> AskedModel[ChatCompletionChunk]:
        """Return a handle for one call of this flow; its prompts decide which language is spoken."""
        return AskedModel(self._asking, flow, time_zone=time_zone, patience=self._patience)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _asking(self, shown: Shown) -> Asking[ChatCompletionChunk]:
        # Templates of local models refuse a second system message: https://github.com/vllm-project/vllm/issues/41114
        messages = messages_from(shown, one_system_message=not self._is_openai)
        functions = functions_from(shown.tools)

        async def send() -> AsyncStream[ChatCompletionChunk]:
            return await self._send(messages, functions, cache=shown.cache)

        return Asking(model=self._model, send=send, reader=ChatReader, failure_of=openai_failure)

    async def _send(
        self,
        messages: Sequence[ChatCompletionMessageParam],
        functions: Sequence[ChatCompletionFunctionToolParam],
        *,
        cache: str,
    ) -> AsyncStream[ChatCompletionChunk]:
        from openai import APIStatusError, omit

        counts_tokens = self._counts_tokens
        try:
            return await self._completions.create(
                model=self._model,
                messages=messages,
                tools=functions or omit,
                # Not every compatible server knows this one.
                prompt_cache_key=cache if self._is_openai else omit,
                stream=True,
                stream_options={"include_usage": True} if counts_tokens else omit,
            )
        except APIStatusError as exc:
            if not counts_tokens or exc.status_code not in (400, 422) or "stream_options" not in exc.message:
                raise
            self._counts_tokens = False
            return await self._send(messages, functions, cache=cache)
