"""Service: how tools reach the application behind the agent, over connections that all calls of the process share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pydantic import JsonValue

from voiceagent.breaker import Breaker, Breakers
from voiceagent.errors import OperatorError, ToolFailed
from voiceagent.ports import Clock
from voiceagent.spec.egress import SERVICE, Egress

if TYPE_CHECKING:
    import httpx

__all__ = ["AnswerTooLong", "AnswerUnreadable", "ConnectionPool", "RequestRefused", "ServiceUnreachable", "ToolHttp"]

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 512
_KEPT_OPEN = 64
_KEPT_OPEN_S = 30.0
_CONNECTED_WITHIN_S = 3.0
_HANGS_AFTER_MS = 3_000
"""A request that nobody waits for any more after this has met a service that does not answer."""
_MOST_ANSWER_BYTES = 1024 * 1024
"""More than any tool needs, and little enough to be read on the event loop."""
_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")
"""Headers that say how a body came, which is not how a tool is given it."""
_PORTS = {"http": 80, "https": 443}

QueryValue = str | int | float | bool | None


class ServiceUnreachable(ToolFailed):
    """No answer came. `may_have_arrived` tells whether the request may have been carried out all the same."""

    def __init__(self, *, may_have_arrived: bool, reason: str = "the service cannot be reached at the moment") -> None:
        super().__init__(reason)
        self.may_have_arrived = may_have_arrived


class AnswerUnreadable(ServiceUnreachable):
    """An answer came that nobody will read to its end: what has become of the request is not known."""

    def __init__(self, reason: str = "the service has answered in a form that cannot be read") -> None:
        super().__init__(may_have_arrived=True, reason=reason)


class AnswerTooLong(AnswerUnreadable):
    """It is longer than any that is read."""

    def __init__(self) -> None:
        super().__init__("the service has answered with more than can be read")


class RequestRefused(ToolFailed):
    """Nothing was sent: the tool may not ask for that. The model learns no more; `reason` is for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__("that cannot be reached from here")
        self.reason = reason


class ConnectionPool:
    """The process's connections to services. Cookies are not kept: one caller's session must not become another's."""

    def __init__(self, *, internal: Iterable[str] = (), clock: Clock | None = None) -> None:
        """`internal` are the URLs that the operator has named: all other hosts must have public addresses.

        With a `clock` every host has a circuit breaker, shared by all calls: one that cannot be reached again and
        again is left alone for a while, and requests to it fail at once.
        """
        import httpx

        from voiceagent.tools.network import CheckedNetwork, CheckedTransport

        # Its lines at INFO carry whole URLs, and with them customer numbers; those of httpcore carry headers.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        network = CheckedNetwork([_host_and_port(url) for url in internal if url])
        self._clock = clock
        self._breakers = None if clock is None else Breakers(clock)
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},  # other encodings are not read
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=CheckedTransport(network, most=_MOST_CONNECTIONS, kept_open=_KEPT_OPEN, kept_open_s=_KEPT_OPEN_S),
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
        Raises ServiceUnreachable, AnswerUnreadable and RequestRefused.
        """
        import httpx

        within_s = None if timeout_ms is None else timeout_ms / 1_000
        try:
            request = self._client.build_request(
                method,
                url,
                headers=dict(headers),
                params=params,
                json=json,
                data=form,
                timeout=httpx.Timeout(within_s, connect=min(within_s or _CONNECTED_WITHIN_S, _CONNECTED_WITHIN_S)),
            )
        except httpx.InvalidURL as exc:  # its words quote the URL
            raise RequestRefused("it is no URL") from exc
        if self._clock is None or self._breakers is None:
            return await self._answer(request)
        return await self._guarded(request, self._breakers.of(request.url.netloc.decode("ascii")), self._clock)

    async def _guarded(self, request: httpx.Request, breaker: Breaker, clock: Clock) -> httpx.Response:
        """Send it unless its host rests, and learn from what comes of it."""
        attempt = object()
        if not breaker.admits(attempt):
            raise ServiceUnreachable(may_have_arrived=False)
        asked_ms = clock.now_ms()
        try:
            answer = await self._answer(request)
        except AnswerUnreadable:
            breaker.answered()
            raise
        except ServiceUnreachable:
            breaker.failed()
            raise
        except asyncio.CancelledError:
            if clock.now_ms() - asked_ms >= _HANGS_AFTER_MS:
                breaker.failed()
            raise
        else:
            breaker.answered()
            return answer
        finally:
            breaker.leave(attempt)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        import httpcore

        try:
            answer = await self._client.send(request, stream=True)
            try:
                return await _read(answer)
            finally:
                await answer.aclose()
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as exc:
            raise ServiceUnreachable(may_have_arrived=False) from exc
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as exc:
            raise ServiceUnreachable(may_have_arrived=True) from exc

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class ToolHttp:
    """What one run of a tool may reach: its agent's service, by paths, and by whole URLs what it has declared besides.

    The run's credential goes along to the service, and to nobody else. Answers are returned whatever their status:
    what a 404 means only the tool knows. A redirect is an answer too, and is not followed.
    """

    __slots__ = ("_base_url", "_credential", "_pool", "_reach", "_who")

    def __init__(
        self, pool: ConnectionPool, base_url: str, credential: Mapping[str, str], *, reach: Sequence[Egress], who: str
    ) -> None:
        """`who` names the run in the log."""
        self._pool = pool
        self._base_url = base_url.rstrip("/")
        self._credential = credential
        self._reach = reach
        self._who = who

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
            return await self._pool.send(
                method, url, headers=_with(credential, headers or {}), params=params, json=json
            )
        except RequestRefused as exc:
            _log.warning("%s: its request is not sent: %s", self._who, exc.reason)
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


def _host_and_port(address: str) -> tuple[str, int]:
    import httpx

    url = httpx.URL(address)
    return url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]


async def _read(answer: httpx.Response) -> httpx.Response:
    """Return the answer with its body. Raises AnswerUnreadable before anything is made of a body that has no end.

    An encoded body is not decoded: a few kilobytes unfold to as much memory as there is, and hold up all calls.
    """
    import httpx

    encoded = any(encoding not in ("", "identity") for encoding in _encodings(answer))
    body = bytearray()
    async for part in answer.aiter_raw():
        if encoded and part:
            _log.warning("%s encodes its answers, which are not read then: %r", answer.url.host, _encodings(answer))
            raise AnswerUnreadable
        body += part
        if len(body) > _MOST_ANSWER_BYTES:
            raise AnswerTooLong
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in _OF_THE_WIRE]
    return httpx.Response(answer.status_code, headers=headers, content=bytes(body), request=answer.request)


def _encodings(answer: httpx.Response) -> list[str]:
    """Return what a body is encoded in; an answer without a body may name it too."""
    return [encoding.strip().lower() for encoding in answer.headers.get("content-encoding", "").split(",")]
