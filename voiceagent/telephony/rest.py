"""Requests to a provider's REST interface, whose refusals are told in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import cast

import httpx

from voiceagent.errors import CallLost

__all__ = ["REST_DEADLINE_S", "Rest"]

REST_DEADLINE_S = 5.0
"""For any one request; a caller waits meanwhile."""


class Rest:
    """Requests to one provider, whose refusals are told in words."""

    def __init__(self, client: httpx.AsyncClient, *, provider: str, code_of: Callable[[object], str]) -> None:
        """`code_of` finds the provider's own error code in the body of a refusal; empty where there is none."""
        self._client = client
        self._provider = provider
        self._code_of = code_of

    async def post(
        self,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        ended: str = "",
    ) -> Mapping[str, object]:
        """Post a form or JSON; return the answer's fields.

        A refusal with the code `ended` is an empty answer: what was to be ended is over.
        """
        return await self._ask("POST", path, ended=ended, data=data, json=json)

    async def get(self, path: str, *, ended: str = "") -> Mapping[str, object]:
        """Return the fields of what is there; none where a refusal with the code `ended` says that it is not."""
        return await self._ask("GET", path, ended=ended)

    async def delete(self, path: str, *, ended: str) -> None:
        """Have it there no longer; a refusal with the code `ended` says that it was not."""
        await self._ask("DELETE", path, ended=ended)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        ended: str = "",
        data: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
    ) -> Mapping[str, object]:
        try:
            answer = await self._client.request(method, path, data=data, json=json)
        except httpx.HTTPError as exc:
            raise CallLost(f"{self._provider} cannot be reached: {type(exc).__name__}") from exc
        fields = _fields(answer)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return fields
        code = self._code_of(fields)
        if ended and code == ended:
            return {}
        said = f" ({code})" if code else ""
        raise CallLost(f"{self._provider} refused {path.rpartition('/')[2]} with HTTP {answer.status_code}{said}")

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()


def _fields(answer: httpx.Response) -> Mapping[str, object]:
    try:
        parsed: object = answer.json()
    except ValueError:
        return {}
    return cast("Mapping[str, object]", parsed) if isinstance(parsed, dict) else {}
