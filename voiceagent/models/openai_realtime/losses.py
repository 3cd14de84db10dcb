"""Says in our own words why a session with a realtime server failed, and whether another one would fare better."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed, InvalidStatus

from voiceagent.errors import VoiceFailed
from voiceagent.models.failures import ModelUnavailable

__all__ = ["closed", "own_words"]

_LOCKED_OUT = frozenset({400, 401, 403, 404})
"""HTTP statuses that are about the key, the model's name or the address."""
_REFUSED_CLOSES = frozenset({3000, 3003, 4000})
"""Close codes that stand for an HTTP status of that kind: OpenAI gives the error as their reason."""
_CLOSE_REASON = re.compile(r"invalid_request_error\.([a-z][a-z_]{0,63})")


def closed(model: str, exc: ConnectionClosed) -> ModelUnavailable:
    """Return the failure of a session whose socket was closed."""
    if exc.rcvd is None:
        return ModelUnavailable(f"{model} is gone without a word")
    # A reason is the provider's text; of OpenAI's form only the plain code in it is passed on.
    named = _CLOSE_REASON.fullmatch(exc.rcvd.reason)
    code = f"{exc.rcvd.code} {named[1]}" if named is not None else f"{exc.rcvd.code}"
    expired = named is not None and named[1] == "session_expired"
    permanent = exc.rcvd.code in _REFUSED_CLOSES and not expired
    return ModelUnavailable(f"{model} closed the session ({code})", permanent=permanent)


@contextmanager
def own_words(model: str, *, late: str) -> Generator[None]:
    """Turn what the library raises into words that may be recorded."""
    try:
        yield
    except VoiceFailed:
        raise
    except TimeoutError as exc:
        raise ModelUnavailable(f"{model} {late}") from exc
    except InvalidStatus as exc:
        raise _refusal(model, exc) from None  # its response may repeat the key
    except ConnectionClosed as exc:
        raise closed(model, exc) from None
    except OSError as exc:
        raise ModelUnavailable(f"the connection to {model} failed", retry_after_ms=0) from exc
    except Exception as exc:  # noqa: BLE001 - adapter boundary; without its cause, since a refused header is the key
        raise ModelUnavailable(f"{model} is not a realtime server ({type(exc).__name__})") from None


def _refusal(model: str, exc: InvalidStatus) -> ModelUnavailable:
    status = exc.response.status_code
    reason = f"{model} answered HTTP {status}"
    # When the money is used up OpenAI answers 429 too, and goes on doing so.
    if status in _LOCKED_OUT or b"insufficient_quota" in (exc.response.body or b""):
        return ModelUnavailable(reason, permanent=True)
    wait_ms = _retry_after_ms(exc)
    if wait_ms is None and status >= 500:
        wait_ms = 0
    return ModelUnavailable(reason, retry_after_ms=wait_ms)


def _retry_after_ms(exc: InvalidStatus) -> int | None:
    """Return what the server asks us to wait, where it says so in seconds or milliseconds."""
    for header, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        value = exc.response.headers.get(header, "")
        if re.fullmatch(r"\d{1,6}(\.\d+)?", value):
            return int(float(value) * unit_ms)
    return None
