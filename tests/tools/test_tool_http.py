"""How tools reach their service."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.tools.tool_runs import http_to
from voiceagent.errors import OperatorError
from voiceagent.tools.service import AnswerTooLong, AnswerUnreadable, ConnectionPool, RequestRefused, ServiceUnreachable


def test_a_tool_names_paths_and_its_credential_goes_along(serve) -> None:
    async def answer(request):
        return 200, {"target": request.target}

    async def main() -> None:
        async with serve(answer) as service:
            pool = ConnectionPool(internal=[service.url])
            http = http_to(service.url + "/v1/", pool, {"Authorization": "Bearer t"})
            got = await http.get("/accounts", params={"limit": 3}, headers={"authorization": "mine", "X-A": "b"})
            assert got.json() == {"target": "/v1/accounts?limit=3"}
            await http.post("/transfers", json={"amount": "1.00"}, headers={"Idempotency-Key": "k"})
            first, second = service.seen
            assert first.headers["authorization"] == "Bearer t"
            assert first.headers["x-a"] == "b"
            assert (second.method, second.body) == ("POST", '{"amount":"1.00"}')
            assert "Bearer" not in repr(http)
            await pool.close()

    asyncio.run(main())


def test_an_answer_is_an_answer_whatever_its_status(serve) -> None:
    async def answer(request):
        return 404, {}

    async def main() -> None:
        async with serve(answer) as service:
            pool = ConnectionPool(internal=[service.url])
            assert (await http_to(service.url, pool).get("/nothing")).status_code == 404
            await pool.close()

    asyncio.run(main())


def test_one_callers_cookies_do_not_become_anothers(serve) -> None:
    async def answer(request):
        return 200, {}

    async def main() -> None:
        async with serve(answer) as service:
            pool = ConnectionPool(internal=[service.url])
            await http_to(service.url, pool).get("/a")
            await http_to(service.url, pool).get("/b")
            assert all("cookie" not in request.headers for request in service.seen)
            await pool.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "path",
    ["accounts", "http://elsewhere.example/", "@elsewhere.example/", "/a/../admin", "/a/%2e%2e/admin", "/a/..\\b", ""],
)  # fmt: skip
def test_an_argument_in_a_path_cannot_leave_the_service(path: str) -> None:
    async def main() -> None:
        pool = ConnectionPool()
        with pytest.raises(RequestRefused):
            await http_to("http://127.0.0.1:9", pool).get(path)
        await pool.close()

    asyncio.run(main())


def test_a_service_that_is_not_there_cannot_have_got_the_request(serve) -> None:
    async def answer(request):
        return None

    async def main() -> None:
        async with serve(answer) as service:
            pool = ConnectionPool(internal=[service.url])
            with pytest.raises(ServiceUnreachable) as hung_up:
                await http_to(service.url, pool).get("/")
            assert hung_up.value.may_have_arrived
        with pytest.raises(ServiceUnreachable) as refused:
            await http_to(service.url, pool).get("/")
        assert not refused.value.may_have_arrived
        assert "127.0.0.1" not in str(refused.value)
        await pool.close()

    asyncio.run(main())


def test_a_service_whose_name_nobody_knows_cannot_have_got_the_request() -> None:
    async def main() -> None:
        pool = ConnectionPool()
        with pytest.raises(ServiceUnreachable) as unknown:
            await http_to("http://no-such-host.invalid", pool).get("/")
        assert not unknown.value.may_have_arrived
        await pool.close()

    asyncio.run(main())


def test_a_tool_without_a_service_is_the_operators_mistake() -> None:
    async def main() -> None:
        pool = ConnectionPool()
        with pytest.raises(OperatorError, match="no service URL is set"):
            await http_to("", pool).get("/")
        await pool.close()

    asyncio.run(main())


@asynccontextmanager
async def _answering(encoding: str, body: bytes) -> AsyncIterator[str]:
    """Run a service that encodes its answers so, whatever it was asked to do; return its URL."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            length = f"content-encoding: {encoding}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{length}".encode() + (b"" if request.startswith(b"HEAD") else body))
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("encoding", ["gzip", "Deflate", "identity, gzip", "br"])
def test_an_answer_that_would_unfold_is_not_unfolded_and_the_log_says_why(
    encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    bomb = gzip.compress(bytes(4_000_000))

    async def main() -> None:
        async with _answering(encoding, bomb) as url:
            pool = ConnectionPool(internal=[url])
            with pytest.raises(AnswerUnreadable) as unread:
                await http_to(url, pool).get("/")
            assert not isinstance(unread.value, AnswerTooLong), "it was not even counted"
            assert unread.value.may_have_arrived
            await pool.close()

    asyncio.run(main())
    assert "127.0.0.1 encodes its answers" in caplog.text


def test_an_answer_without_a_body_or_in_no_encoding_is_read() -> None:
    async def main() -> None:
        async with _answering("gzip", b"unread") as url:
            pool = ConnectionPool(internal=[url])
            assert (await http_to(url, pool).request("HEAD", "/")).status_code == 200
            await pool.close()
        async with _answering("Identity", b"[1]") as url:
            pool = ConnectionPool(internal=[url])
            assert (await http_to(url, pool).get("/")).json() == [1]
            await pool.close()

    asyncio.run(main())
