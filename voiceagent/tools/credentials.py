"""Credentials: short-lived tokens that let exactly one tool of one phase of one call into a service."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from voiceagent.errors import OperatorError, ToolFailed
from voiceagent.json_reader import JsonReader
from voiceagent.ports import Clock
from voiceagent.tools.service import ConnectionPool, RequestRefused, ServiceUnreachable

__all__ = ["EnvironmentCredential", "NoCredentials", "OAuthClientCredentials"]

_log = logging.getLogger(__name__)

_LIFETIME_S = 120
"""Asked for: longer than a tool runs, shorter than a call."""
_SPARE_MS = 15_000
"""A token that expires sooner is not used any more: the tool that gets it still has to run."""
_ANSWER_WITHIN_MS = 5_000
_REFUSED = "the service did not let the agent in"

_Key = tuple[str, str, str, tuple[str, ...], str | None]
"""Call, phase, tool, scopes, subject."""


class NoCredentials:
    """The `CredentialBroker` of a service that lets everybody in."""

    async def token(
        self, *, call: str, phase: str, tool: str, scopes: Sequence[str], subject: str | None
    ) -> Mapping[str, str]:
        """Return no headers."""
        del call, phase, tool, scopes, subject
        return {}


class EnvironmentCredential:
    """The `CredentialBroker` of a service that knows one key and no scopes: it stands in a variable."""

    def __init__(self, variable: str, environment: Mapping[str, str]) -> None:
        """The key is read once, now. Raises OperatorError where there is none."""
        key = environment.get(variable)
        if not key:
            raise OperatorError(f"the environment has no {variable}, which is to hold the key of the service")
        self._variable = variable
        self._headers = {"Authorization": f"Bearer {key}"}

    def __repr__(self) -> str:
        return f"EnvironmentCredential({self._variable!r})"

    async def token(
        self, *, call: str, phase: str, tool: str, scopes: Sequence[str], subject: str | None
    ) -> Mapping[str, str]:
        """Return the Authorization header."""
        del call, phase, tool, scopes, subject
        return self._headers


class _Granted(BaseModel):
    """What a token endpoint answers: RFC 6749, section 5.1."""

    access_token: str
    token_type: str
    expires_in: int = _LIFETIME_S
    """Seconds."""


_granted = JsonReader(_Granted)


@dataclass(frozen=True, slots=True)
class _Token:
    headers: Mapping[str, str] = field(repr=False)
    fresh_until_ms: int


class OAuthClientCredentials:
    """The `CredentialBroker` for an OAuth 2 token endpoint, by the grant of RFC 6749, section 4.4.

    Besides `scope` it sends `subject`, the one customer whom the token is for, and `expires_in`, in seconds;
    an endpoint that knows neither ignores them.
    """

    def __init__(
        self, pool: ConnectionPool, clock: Clock, *, token_url: str, client_id: str, client_secret: str
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._token_url = token_url
        # Form-encoded first: RFC 6749, section 2.3.1.
        pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
        self._authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._tokens: dict[_Key, _Token] = {}
        self._asking: dict[_Key, asyncio.Task[_Token]] = {}

    async def token(
        self, *, call: str, phase: str, tool: str, scopes: Sequence[str], subject: str | None
    ) -> Mapping[str, str]:
        """Return the Authorization header for exactly this; from memory while it is fresh. Raises ToolFailed."""
        key = (call, phase, tool, tuple(scopes), subject)
        known = self._tokens.get(key)
        if known is not None and self._clock.now_ms() < known.fresh_until_ms:
            return known.headers
        asking = self._asking.get(key)
        if asking is None:
            # A task of its own: who asked first may be cancelled while others wait for the same token.
            asking = asyncio.create_task(self._ask(key), name="credential")
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._asked(key, done))
        return (await asyncio.shield(asking)).headers

    def _asked(self, key: _Key, done: asyncio.Task[_Token]) -> None:
        del self._asking[key]
        if done.cancelled() or done.exception() is not None:
            return
        now_ms = self._clock.now_ms()
        self._tokens = {of: token for of, token in self._tokens.items() if now_ms < token.fresh_until_ms}
        self._tokens[key] = done.result()

    async def _ask(self, key: _Key) -> _Token:
        _, _, tool, scopes, subject = key
        form = {"grant_type": "client_credentials", "scope": " ".join(scopes), "expires_in": str(_LIFETIME_S)}
        if subject is not None:
            form["subject"] = subject
        asked_ms = self._clock.now_ms()
        try:
            answer = await self._pool.send(
                "POST",
                self._token_url,
                headers={"Authorization": self._authorization},
                form=form,
                timeout_ms=_ANSWER_WITHIN_MS,
            )
        except ServiceUnreachable as exc:
            # A token that may have been granted has done nothing: to ask again is harmless, even for a write.
            raise ServiceUnreachable(may_have_arrived=False) from exc
        except RequestRefused as exc:
            _log.error("no credential for tool %s: %s", tool, exc.reason)
            raise ToolFailed(_REFUSED) from exc
        if answer.status_code != 200:
            _log.error("no credential for tool %s: HTTP %d from %s", tool, answer.status_code, self._token_url)
            raise ToolFailed(_REFUSED)
        try:
            granted = _granted.read(answer.content)
        except ValidationError:
            # Its text has the token in it: it is neither logged nor chained.
            _log.error("no credential for tool %s: %s answers without a token", tool, self._token_url)
            raise ToolFailed(_REFUSED) from None
        return _Token(
            {"Authorization": f"{granted.token_type} {granted.access_token}"},
            asked_ms + granted.expires_in * 1_000 - _SPARE_MS,
        )
