"""What both of OpenAI's protocols share: the official SDK's client, and what its errors mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceagent.errors import MissingExtra, OperatorError, VoiceFailed
from voiceagent.models.failures import CONNECTED_WITHIN_S, ModelUnavailable, broken_off, cut_off, refusal

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["openai_client", "openai_failure"]

_OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY = "none"
"""Sent to servers that ask for no key. Left out, the SDK would send them OpenAI's from the environment."""
_IDLE_CONNECTION_S = 60.0
"""The SDK's 5 s are shorter than most turns of a caller: nearly every reply would begin with a TLS handshake."""


def openai_client(model: str, *, base_url: str | None, api_key: str | None, timeout_ms: int) -> AsyncOpenAI:
    """Return a client; nothing is sent. Without `base_url` it is OpenAI's own, which needs a key.

    Blocks for half a second: the SDK is loaded, certificates are read. Raises MissingExtra, OperatorError.
    """
    if not api_key and not base_url:
        raise OperatorError(f"the model {model!r} needs a key: set OPENAI_API_KEY, or name another server")
    try:
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient
    except ImportError as exc:
        raise MissingExtra("an OpenAI-compatible model", extra="openai") from exc
    limits = httpx2.Limits(max_connections=1_000, max_keepalive_connections=100, keepalive_expiry=_IDLE_CONNECTION_S)
    return AsyncOpenAI(
        api_key=api_key or _NO_KEY,
        base_url=base_url or _OPENAI_URL,
        timeout=httpx2.Timeout(timeout_ms / 1_000, connect=CONNECTED_WITHIN_S),
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(limits=limits),
    )


def openai_failure(model: str, exc: Exception) -> VoiceFailed | None:
    """Return the failure that an error of the SDK is."""
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

    match exc:
        case APITimeoutError():
            return ModelUnavailable(f"{model} did not answer in time")
        case APIStatusError():
            return refusal(model, exc.status_code, exc.code, headers=exc.response.headers, message=exc.message)
        case APIConnectionError():
            return cut_off(model)
        case APIError():
            return broken_off(model, exc.code)
        case _:
            return None
