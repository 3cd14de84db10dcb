"""Service: how tools reach the application behind the agent, over connections that all calls of the process share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pydantic import JsonValue

from voiceagent.errors import OperatorError, ToolFailed

if TYPE_CHECKING:
    import httpx

__all__ = ["ConnectionPool", "ServiceUnreachable", "ToolHttp"]

_MOST_CONNECTIONS = 512
_KEPT_OPEN = 64
_KEPT_OPEN_S = 30.0

QueryValue = str | int | float | bool | None


class ServiceUnreachable(ToolFailed):
    """No answer came. `may_have_arrived` tells whether the request may have been carried out all the same."""

    def __init__(self, *, may_have_arrived: bool) -> None:
        super().__init__("the service cannot be reached at the moment")
        self.may_have_arrived = may_have_arrived


class ConnectionPool:
    """The process's connections to services. Cookies are not kept: one caller's session must not become another's."""

    def __init__(self) -> None:
        import httpx

        # Its lines at INFO carry whole URLs, and with them customer numbers; those of httpcore carry headers.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx.AsyncClient(
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(
                max_connections=_MOST_CONNECTIONS,
                max_keepalive_connections=_KEPT_OPEN,
                keepalive_expiry=_KEPT_OPEN_S,
            ),
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, QueryValue] | None = None,
        json: JsonValue = None,
        form: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
    ) -> httpx.Response:
        """Send one request and return the answer, read to its end, whatever its status. Redirects are not followed.

        Without `timeout_ms` it waits as long as it is let: a tool's run has a deadline of its own.
        Raises ServiceUnreachable.
        """
        import httpx

        try:
            return await self._client.request(
                method,
                url,
                headers=dict(headers),
                params=params,
                json=json,
                data=form,
                timeout=None if timeout_ms is None else timeout_ms / 1_000,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as exc:
            raise ServiceUnreachable(may_have_arrived=False) from exc
        except httpx.TransportError as exc:
            raise ServiceUnreachable(may_have_arrived=True) from exc

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class ToolHttp:
    """The agent's service as one run of a tool sees it: paths instead of URLs, the run's credential on every request.

    Answers are returned whatever their status: what a 404 means only the tool knows.
    """

    __slots__ = ("_base_url", "_credential", "_pool")

    def __init__(self, pool: ConnectionPool, base_url: str, credential: Mapping[str, str]) -> None:
        self._pool = pool
        self._base_url = base_url.rstrip("/")
        self._credential = credential

    def __repr__(self) -> str:
        return f"ToolHttp({self._base_url!r})"

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """GET a path of the service. Raises ToolFailed where the service cannot be reached."""
        return await self.request("GET", path, params=params, headers=headers)

    async def post(
        self,
        path: str,
        *,
        json: JsonValue = None,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """POST a JSON body to a path of the service. Raises ToolFailed where the service cannot be reached."""
        return await self.request("POST", path, json=json, params=params, headers=headers)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: JsonValue = None,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request to a path of the service, which begins with `/`. Raises ToolFailed as `get` does."""
        if not self._base_url:
            raise OperatorError("a tool wants its service, and no service URL is set")
        # Arguments that a model wrote stand in paths: they must neither leave the service nor climb to another part.
        if not path.startswith("/") or not {".", ".."}.isdisjoint(unquote(path.partition("?")[0]).split("/")):
            raise ValueError("a path of the service begins with '/' and has no '.' or '..' in it")
        merged = {**(headers or {}), **self._credential}
        return await self._pool.send(method, self._base_url + path, headers=merged, params=params, json=json)
