"""Says in our own words why a connection to Gemini Live failed, and whether another one would fare better.

A key or a model's name that is wrong is not refused with an HTTP status but after the handshake, by a close code and
words of the provider's. These are looked at and never passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from voiceagent.models.failures import ModelUnavailable

__all__ = ["closed", "refused"]

_LOCKED_OUT = frozenset({400, 401, 403, 404})
_OVER_QUOTA = re.compile(r"quota|resource_exhausted|rate limit", re.IGNORECASE)
_OVER_BUDGET = re.compile(r"billing|spending cap|prepayment", re.IGNORECASE)
_KEY_OR_NAME = re.compile(
    r"api key|api_key|permission|unauthenticated|not found for api version|not supported for", re.I
)
_WHY = {
    1000: "ended the session",
    1001: "went away",
    1006: "was cut off",
    1007: "refused what it was sent",
    1008: "refused to go on",
    1011: "broke off",
    1012: "is restarted",
    1013: "is overloaded",
}
_REFUSALS = frozenset({1007, 1008})


def refused(model: str, status: int, headers: Mapping[str, str]) -> ModelUnavailable:
    """Return the failure of a handshake that was answered with an HTTP status."""
    reason = f"{model} answered HTTP {status}"
    if status in _LOCKED_OUT:
        return ModelUnavailable(reason, permanent=True)
    retry_after = headers.get("retry-after", "")
    wait_ms = int(retry_after) * 1_000 if re.fullmatch(r"\d{1,6}", retry_after) else None
    return ModelUnavailable(reason, retry_after_ms=0 if wait_ms is None and status >= 500 else wait_ms)


def closed(model: str, code: int, words: str, *, in_setup: bool) -> ModelUnavailable:
    """Return the failure of a connection that was closed.

    Before the setup has been confirmed a refusal is about the key, the model's name or the setup, which are the same
    next time. Afterwards it is about one frame, or a context that is full, and another session begins without both.
    """
    reason = f"{model} {_WHY.get(code, 'closed the connection')} ({code})"
    if _OVER_BUDGET.search(words):
        return ModelUnavailable(f"{reason}: no money is left", permanent=True)
    if _OVER_QUOTA.search(words):
        return ModelUnavailable(f"{reason}: too much was asked of it")
    if _KEY_OR_NAME.search(words):
        return ModelUnavailable(f"{reason}: the key or the model's name is not accepted", permanent=True)
    return ModelUnavailable(reason, permanent=in_setup and code in _REFUSALS, retry_after_ms=None if in_setup else 0)
