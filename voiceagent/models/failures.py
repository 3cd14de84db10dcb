"""Why a model did not answer, told apart by what to do next: wait, give it up, or ask another one.

The words are our own and may be recorded: a provider's may repeat a key, or the caller.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from voiceagent.errors import VoiceFailed

__all__ = [
    "CONNECTED_WITHIN_S",
    "FailureOf",
    "ModelUnavailable",
    "ReplyRefused",
    "broken_off",
    "cut_off",
    "own_words",
    "refusal",
]

_log = logging.getLogger(__name__)
CONNECTED_WITHIN_S = 3.0
"""A provider that cannot be connected to by then is not there: the next one is asked."""
_REFUSED = frozenset({400, 413, 422})
"""HTTP statuses that are about this request."""
_LOCKED_OUT = frozenset({401, 402, 403, 404})
"""HTTP statuses that are about the key, the bill or the model's name."""
_OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_error"})
"""Codes of an account that is used up, for which OpenAI answers 429 too, and goes on doing so."""
_PLAIN_CODE = re.compile(r"^[a-z][a-z_]{0,63}$")


class ModelUnavailable(VoiceFailed):
    """A model cannot be reached, is overloaded, or does not let us in: other calls would fare the same."""

    def __init__(self, reason: str, *, permanent: bool = False, retry_after_ms: int | None = None) -> None:
        super().__init__(reason)
        self.permanent = permanent
        """Asking again will not help until somebody mends a key, a name or a bill."""
        self.retry_after_ms = retry_after_ms
        """How long to wait before asking again; 0 is at once, None is unknown."""


class ReplyRefused(VoiceFailed):
    """A model works, and yet will not answer this one request: it does not fit, or nothing came of it."""


FailureOf = Callable[[str, Exception], VoiceFailed | None]
"""(model, what an SDK raised) → the failure it is, or None for what no SDK raises on purpose."""


@contextmanager
def own_words(model: str, failure_of: FailureOf, *, late: str) -> Generator[None]:
    """Turn whatever is raised into ModelUnavailable or ReplyRefused. `late` says what a time-out means."""
    try:
        yield
    except VoiceFailed:
        raise
    except TimeoutError as exc:
        raise ModelUnavailable(f"{model} {late}") from exc
    except Exception as exc:  # the adapter boundary: a server may send anything
        unreadable = ModelUnavailable(f"{model} sent what cannot be read ({type(exc).__name__})")
        raise failure_of(model, exc) or unreadable from exc


def refusal(
    model: str, status: int, code: str | None, *, headers: Mapping[str, str], message: str
) -> ModelUnavailable | ReplyRefused:
    """Return what an HTTP status means, with the provider's own code for it; its `message` is for debugging alone."""
    reason = f"{model} answered HTTP {status}{_code(code)}"
    if status in _REFUSED:
        _log.debug("%s: %s", reason, message)
        return ReplyRefused(reason)
    if status in _LOCKED_OUT or code in _OUT_OF_MONEY:
        return ModelUnavailable(reason, permanent=True)
    wait_ms = _retry_after_ms(headers)
    if wait_ms is None and status >= 500:
        wait_ms = 0
    return ModelUnavailable(reason, retry_after_ms=wait_ms)


def cut_off(model: str) -> ModelUnavailable:
    """Return the failure of a connection."""
    return ModelUnavailable(f"the connection to {model} failed", retry_after_ms=0)


def broken_off(model: str, code: str | None) -> ModelUnavailable:
    """Return the failure of a provider that says in mid-reply that there will be no more of it."""
    return ModelUnavailable(f"{model} broke off{_code(code)}", retry_after_ms=0)


def _code(code: str | None) -> str:
    return f" ({code})" if code is not None and _PLAIN_CODE.match(code) else ""


def _retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """Return what the server asks us to wait, where it says so in seconds or milliseconds."""
    for header, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        value = headers.get(header, "")
        if re.fullmatch(r"\d{1,6}(\.\d+)?", value):
            return int(float(value) * unit_ms)
    return None
