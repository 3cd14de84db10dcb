"""Tool HTTP: what one run of a tool may ask for, and where; whatever it does not declare is never sent."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pydantic import JsonValue

from voiceagent.errors import OperatorError
from voiceagent.spec.egress import READING, SERVICE, Egress
from voiceagent.tools.service import ConnectionPool, QueryValue, RequestRefused, ServiceUnreachable

if TYPE_CHECKING:
    import httpx

__all__ = ["ToolHttp"]

_log = logging.getLogger(__name__)

_PORTS = {"http": 80, "https": 443}


class ToolHttp:
    """What one run of a tool may reach: its agent's service, by paths, and by whole URLs what it has declared besides.

    The run's credential goes along to the service, and to nobody else. Answers are returned whatever their status:
    what a 404 means only the tool knows. A redirect is an answer too, and is not followed.
    """

    __slots__ = ("_base_url", "_credential", "_pool", "_reach", "_who", "_writes")

    def __init__(
        self, pool: ConnectionPool, base_url: str, credential: Mapping[str, str], *, reach: Sequence[Egress], who: str
    ) -> None:
        """`who` names the run in the log."""
        self._pool = pool
        self._base_url = base_url.rstrip("/")
        self._credential = credential
        self._reach = reach
        self._who = who
        self._writes = 0

    @property
    def may_have_written(self) -> bool:
        """Whether a request that does more than read has been sent, or is under way."""
        return self._writes > 0

    def __repr__(self) -> str:
        return f"ToolHttp({self._base_url!r})"

    async def get(
        self,
        where: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """GET a path of the service, or a declared URL. Raises ToolFailed as `request` does."""
        return await self.request("GET", where, params=params, headers=headers)

    async def post(
        self,
        where: str,
        *,
        json: JsonValue = None,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """POST a JSON body to a path of the service, or to a declared URL. Raises ToolFailed as `request` does."""
        return await self.request("POST", where, json=json, params=params, headers=headers)

    async def request(
        self,
        method: str,
        where: str,
        *,
        json: JsonValue = None,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request to a path of the service, which begins with `/`, or to a URL.

        Raises ServiceUnreachable where no answer comes, RequestRefused where the tool's `egress` does not allow it
        or the address is not public; both are ToolFailed.
        """
        method = method.upper()
        credential: Mapping[str, str] = {}
        try:
            if where.startswith("/"):
                url, credential = self._service_path(method, where), self._credential
            else:
                url = _declared(self._reach, method, where)
            with self._counted(method):
                return await self._pool.send(
                    method, url, headers=_with(credential, headers or {}), params=params, json=json
                )
        except RequestRefused as exc:
            _log.warning("%s: its request is not sent: %s", self._who, exc.reason)
            raise

    @contextmanager
    def _counted(self, method: str) -> Generator[None]:
        """Count a request as a write from before it is sent, unless it reads or turns out never to have arrived."""
        writes = method not in READING
        self._writes += writes
        try:
            yield
        except (RequestRefused, ServiceUnreachable) as exc:
            if isinstance(exc, RequestRefused) or not exc.may_have_arrived:
                self._writes -= writes
            raise

    def _service_path(self, method: str, path: str) -> str:
        _require_method([place for place in self._reach if place.to == SERVICE], method)
        if not self._base_url:
            raise OperatorError("a tool wants its service, and no service URL is set")
        # Arguments that a model wrote stand in paths: they must not climb to another part of the service.
        if not {".", ".."}.isdisjoint(unquote(path.partition("?")[0]).replace("\\", "/").split("/")):
            raise RequestRefused("a path of the service has no '.' or '..' in it")
        return self._base_url + path


def _declared(reach: Sequence[Egress], method: str, where: str) -> str:
    """Return a URL that is one of those declared. What is not is not told: it may be what a caller has said."""
    import httpx

    try:
        url = httpx.URL(where)
    except httpx.InvalidURL as exc:
        raise RequestRefused("it is neither a path of the service nor a URL") from exc
    if url.scheme not in _PORTS or url.userinfo:
        raise RequestRefused("it is neither a path of the service nor a plain URL of http or https")
    origin = (url.scheme, url.host, url.port or _PORTS[url.scheme])
    _require_method([place for place in reach if place.to != SERVICE and place.origin == origin], method)
    return str(url)


def _require_method(places: Sequence[Egress], method: str) -> None:
    if not places:
        raise RequestRefused("it goes to a host that the tool does not declare in `egress`")
    if not any(method in place.methods for place in places):
        raise RequestRefused(f"the tool does not declare {method} for {places[0].to} in `egress`")


def _with(credential: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request; the tool's own stand behind those that say who asks whom."""
    own = {name.lower() for name in credential}
    if any(name.lower() == "host" for name in headers):
        raise RequestRefused("it names its host in a header")
    return {**{name: value for name, value in headers.items() if name.lower() not in own}, **credential}
