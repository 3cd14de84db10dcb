"""Attempts: counts who tries to be somebody, before the try, so that guesses made side by side do not slip past."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from voiceagent.caller_numbers import counted_number
from voiceagent.errors import OperatorError, VoiceAgentError
from voiceagent.ports import AttemptLimits, Clock
from voiceagent.spec.attempts import Attempts
from voiceagent.spec.tool import Tool

__all__ = ["AttemptGate", "CountedAttempt", "InProcessLimits", "is_granted", "nothing_granted"]

_log = logging.getLogger(__name__)

_MOST_COUNTED = 100_000
_SECRET_BYTES = 32


class InProcessLimits:
    """Counts for the calls of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[int, int]] = {}
        """Key → how many, and when the window closes."""

    async def count(self, key: str, *, window_ms: int) -> int:
        """Return the how manieth this is in its window."""
        now_ms = self._clock.now_ms()
        count, closes_ms = self._windows.get(key, (0, 0))
        if closes_ms <= now_ms:
            self._make_room(now_ms)
            count, closes_ms = 0, now_ms + window_ms
        self._windows[key] = (count + 1, closes_ms)
        return count + 1

    async def reset(self, key: str) -> None:
        """Close the window of a count."""
        self._windows.pop(key, None)

    def _make_room(self, now_ms: int) -> None:
        if len(self._windows) < _MOST_COUNTED:
            return
        self._windows = {key: window for key, window in self._windows.items() if window[1] > now_ms}
        if len(self._windows) >= _MOST_COUNTED:
            raise OperatorError("more attempts are being counted than there is room for")


@dataclass(frozen=True, slots=True)
class CountedAttempt:
    """One attempt, counted before it is made."""

    allowed: bool
    left: int
    """How many more the call has."""
    account: str
    """Key of the account's count."""


class AttemptGate:
    """Decides whether somebody may try once more, for all calls."""

    def __init__(self, limits: AttemptLimits, *, secret: bytes | None = None) -> None:
        """`secret` keys what accounts and numbers are counted by; workers that share counts share it."""
        self._limits = limits
        self._secret = secret or secrets.token_bytes(_SECRET_BYTES)

    async def attempt(
        self, tool: Tool, attempts: Attempts, *, call: str, caller_number: str | None, account: Sequence[object]
    ) -> CountedAttempt:
        """Count an attempt, and say whether it may be made. Where nobody can count, it may not."""
        named = self._key(tool, "account", *account)
        number = counted_number(caller_number)
        kinds = {
            "call": (self._key(tool, "call", call), attempts.per_call),
            "account": (named, attempts.per_account),
            "caller": (self._key(tool, "caller", number), attempts.per_caller),
        }
        if number is None:  # those who withhold theirs would lock each other out
            del kinds["caller"]
        left, beyond = 0, list[str]()
        try:
            for kind, (key, most) in kinds.items():
                count = await self._limits.count(key, window_ms=attempts.within_ms)
                if count > most:
                    beyond.append(kind)
                if kind == "call":
                    left = max(0, most - count)
        except VoiceAgentError as exc:
            beyond.append(str(exc))
        if beyond:
            _log.warning("call %s: tool %s is not tried: too many attempts (%s)", call, tool.name, ", ".join(beyond))
        return CountedAttempt(allowed=not beyond, left=left, account=named)

    async def succeeded(self, attempt: CountedAttempt) -> None:
        """It was them: what was tried at their account before is forgotten."""
        try:
            await self._limits.reset(attempt.account)
        except VoiceAgentError as exc:
            _log.warning("attempts at an account are not forgotten: %s", exc)

    def _key(self, tool: Tool, kind: str, *values: object) -> str:
        text = json.dumps([tool.name, *(" ".join(str(value).split()).casefold() for value in values)])
        return f"attempts:{kind}:{hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()}"


def nothing_granted(tool: Tool, attempts: Attempts, left: int) -> JsonValue:
    """Return what every attempt comes to that grants nothing, whatever was wrong with it."""
    granted: dict[str, JsonValue] = {}
    for name in reversed((tool.grants_when or "").split(".")):
        granted = {name: granted or False}
    return {**granted, attempts.left: left}


def is_granted(tool: Tool, result: JsonValue) -> bool:
    """Whether a result says that they are who they say."""
    found: JsonValue | Mapping[str, JsonValue] = result
    for name in (tool.grants_when or "").split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found is True
