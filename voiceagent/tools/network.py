"""Network: looks at every address before it is connected to, so that no name leads a tool into the house."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from typing import cast

import httpcore
import httpx

from voiceagent.tools.addresses import is_public
from voiceagent.tools.service import RequestRefused

__all__ = ["CheckedNetwork", "CheckedTransport"]

Resolve = Callable[[str, int], Awaitable[list[str]]]


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a name once, looks at what came of it, and connects to just that: asked again, a name may lie."""

    def __init__(
        self,
        internal: Collection[tuple[str, int]],
        *,
        resolve: Resolve | None = None,
        beneath: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """`internal` are the hosts and ports that need not be public."""
        self._internal = frozenset(internal)
        self._resolve = resolve or _addresses_of
        self._beneath = beneath or cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's port
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises RequestRefused where one of them is not public."""
        addresses = await self._checked(host, port, timeout)
        each = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._beneath.connect_tcp(address, port, each, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._beneath.connect_tcp(addresses[-1], port, each, local_address, socket_options)

    async def _checked(self, host: str, port: int, within_s: float | None) -> list[str]:
        try:
            async with asyncio.timeout(within_s):
                addresses = await self._resolve(host, port)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout from exc
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError from exc
        if (host, port) not in self._internal:
            for address in addresses:
                if not is_public(address):
                    raise RequestRefused(f"{host} port {port} is at {address}, which is not public")
        return addresses


async def _addresses_of(host: str, port: int) -> list[str]:
    """Return at least one address. Raises OSError where there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedTransport(httpx.AsyncBaseTransport):
    """Sends httpx's requests over a network of our own: it cannot be told one, nor knows any proxy."""

    def __init__(self, network: CheckedNetwork, *, most: int, kept_open: int, kept_open_s: float) -> None:
        self._connections = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=most,
            max_keepalive_connections=kept_open,
            keepalive_expiry=kept_open_s,
            network_backend=network,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it. Raises httpcore's errors and RequestRefused."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = await self._connections.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        extensions = cast("dict[str, object]", answer.extensions)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=extensions)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()
