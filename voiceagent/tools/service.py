"""Service: how tools reach the application behind the agent, over connections that all calls of the process share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from pydantic import JsonValue

from voiceagent.breaker import Breaker, Breakers
from voiceagent.errors import ToolFailed
from voiceagent.ports import Clock

if TYPE_CHECKING:
    import httpx

__all__ = ["AnswerTooLong", "AnswerUnreadable", "ConnectionPool", "QueryValue", "RequestRefused", "ServiceUnreachable"]

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
