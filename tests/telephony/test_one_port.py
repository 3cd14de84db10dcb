"""Web requests and media sockets through one door, and what that door keeps out."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voiceagent.errors import OperatorError
from voiceagent.telephony.first_bytes import HEAD_DEADLINE_MS, MAX_HEAD_BYTES, UNREAD_MS
from voiceagent.telephony.live import LiveLines
from voiceagent.telephony.port import REQUEST_DEADLINE_MS, OnePort
from voiceagent.telephony.settings import TelephonySettings


async def _hello(request):
    return PlainTextResponse(f"hello {request.url.path}\n")


async def _length(request):
    return PlainTextResponse(str(len(await request.body())))


async def _broken(request):
    raise ValueError("broken")


APP = Starlette(
    routes=[
        Route("/hello/{n}", _hello),
        Route("/length", _length, methods=["POST"]),
        Route("/broken", _broken),
    ]
)


async def echo(connection, admitted):
    async for message in connection:
        await connection.send(f"{admitted}:{message}")
    await connection.close()


async def admit(request):
    return HTTPStatus.FORBIDDEN if request.path == "/forbidden" else request.path


@asynccontextmanager
async def listening(clock, *, serve=echo, sockets=10, others=10, admit=admit, proxy=None):
    live = LiveLines(most=sockets)
    port = OnePort(
        admit=admit,
        serve=serve,
        app=APP,
        clock=clock,
        live=live,
        max_http_connections=others,
        is_proxy=lambda address: address == proxy,
    )
    number = await port.open("127.0.0.1", 0)
    try:
        yield port, number
    finally:
        await port.close()
        assert not port.handler_tasks


async def raw(number):
    return await asyncio.open_connection("127.0.0.1", number)


async def read_all(reader):
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def letting_the_server_run(until):
    """Let the loop turn until something is so."""
    async with asyncio.timeout(5):
        while not until():  # noqa: ASYNC110  the thing waited for has no event
            await asyncio.sleep(0)


def test_a_large_post_and_a_socket_share_the_port(running_clock):
    async def scenario():
        async with (
            listening(running_clock) as (_, number),
            httpx.AsyncClient() as http,
            connect(f"ws://127.0.0.1:{number}/media", compression=None) as ws,
        ):
            posted = await http.post(f"http://127.0.0.1:{number}/length", content=b"x" * 50_000)
            await ws.send("one")
            assert (posted.text, await ws.recv()) == ("50000", "/media:one")
            assert (await http.get(f"http://127.0.0.1:{number}/hello/1")).text == "hello /hello/1\n"

    asyncio.run(scenario())


def test_pipelined_requests_are_answered_in_order(running_clock):
    async def scenario():
        async with listening(running_clock) as (_, number):
            reader, writer = await raw(number)
            last = b"GET /hello/4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            writer.write(b"".join(b"GET /hello/%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(4)) + last)
            answers = (await read_all(reader)).split(b"HTTP/1.1 200")
            assert [answer.splitlines()[-1] for answer in answers[1:]] == [b"hello /hello/%d" % n for n in range(5)]
            writer.close()

    asyncio.run(scenario())


def test_a_head_that_comes_in_pieces_is_put_together(running_clock):
    async def scenario():
        async with listening(running_clock) as (_, number):
            reader, writer = await raw(number)
            for piece in (b"GET /hello/1 HT", b"TP/1.1\r\nHost: x\r\nConnection: close\r", b"\n\r", b"\n"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            assert (await read_all(reader)).endswith(b"hello /hello/1\n")
            writer.close()

    asyncio.run(scenario())


def test_a_refused_upgrade_never_becomes_a_socket(running_clock):
    async def scenario():
        async with listening(running_clock) as (_, number):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{number}/forbidden")
            assert refused.value.response.status_code == 403

    asyncio.run(scenario())


def test_a_second_request_on_a_web_connection_cannot_become_a_socket(running_clock):
    async def scenario():
        async with listening(running_clock) as (port, number):
            reader, writer = await raw(number)
            upgrade = (
                b"GET /media HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            writer.write(b"GET /hello/1 HTTP/1.1\r\nHost: x\r\n\r\n" + upgrade)
            answers = await read_all(reader)
            assert b"101" not in answers
            assert b"404" in answers
            assert not port.handler_tasks
            writer.close()

    asyncio.run(scenario())


def test_two_hundred_slow_connections_are_cut_off_and_others_are_served_meanwhile(clock):
    async def scenario():
        async with listening(clock, others=400) as (_, number):
            slow = [await raw(number) for _ in range(200)]
            for _, writer in slow:
                writer.write(b"GET /media HTTP/1.1\r\nUpg")
            async with connect(f"ws://127.0.0.1:{number}/media", compression=None) as ws:
                await ws.send("one")
                assert await ws.recv() == "/media:one"
            clock.advance(HEAD_DEADLINE_MS)
            answers = await asyncio.gather(*(read_all(reader) for reader, _ in slow))
            assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)
            for _, writer in slow:
                writer.close()

    asyncio.run(scenario())


def test_a_head_that_is_too_long_is_refused(running_clock):
    async def scenario():
        async with listening(running_clock) as (_, number):
            reader, writer = await raw(number)
            writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES)
            assert (await read_all(reader)).startswith(b"HTTP/1.1 431")
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"GET /hello/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /hello/2 HT",
    ],
)
def test_a_request_that_is_never_finished_is_cut_off(clock, begun):
    async def scenario():
        async with listening(clock) as (port, number):
            reader, writer = await raw(number)
            writer.write(begun)
            await letting_the_server_run(lambda: clock.timers == 1 and not port._undecided)
            if begun.startswith(b"GET"):
                await reader.readuntil(b"hello /hello/1\n")
            clock.advance(REQUEST_DEADLINE_MS)
            assert await read_all(reader) == b""
            writer.close()

    asyncio.run(scenario())


def test_one_socket_too_many_is_told_503_before_it_is_one(running_clock):
    async def scenario():
        async with listening(running_clock, sockets=1) as (_, number), httpx.AsyncClient() as http:
            async with connect(f"ws://127.0.0.1:{number}/media", compression=None):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(f"ws://127.0.0.1:{number}/media")
                assert refused.value.response.status_code == 503
                assert (await http.get(f"http://127.0.0.1:{number}/hello/1")).status_code == 200
            async with connect(f"ws://127.0.0.1:{number}/media", compression=None) as ws:
                await ws.send("free again")
                assert await ws.recv() == "/media:free again"

    asyncio.run(scenario())


def waiting_of(port, address):
    return sum(its == address for its, _ in port._undecided._waiting.values())


async def half_heads(port, number, count, *, clock, address="127.0.0.1"):
    """Open so many connections, one after the other, that begin a request and leave it at that."""
    opened = []
    for _ in range(count):
        clock.advance(UNREAD_MS // 8)
        opened.append(await asyncio.open_connection("127.0.0.1", number, local_addr=(address, 0)))
        opened[-1][1].write(b"GET")
    await letting_the_server_run(lambda: waiting_of(port, address) == min(count, 10))
    return opened


def test_whoever_leaves_requests_unfinished_locks_nobody_out(clock):
    async def scenario():
        async with listening(clock, sockets=10, others=10) as (port, number), httpx.AsyncClient() as http:
            opened = await half_heads(port, number, 50, clock=clock)
            opened += await half_heads(port, number, 50, clock=clock, address="127.0.0.2")
            assert (await http.get(f"http://127.0.0.1:{number}/hello/1")).status_code == 200
            async with connect(f"ws://127.0.0.1:{number}/media", compression=None) as ws:
                await ws.send("one")
                assert await ws.recv() == "/media:one"
            for _, writer in opened:
                writer.close()

    asyncio.run(scenario())


def test_who_opens_too_many_connections_closes_their_own_oldest(clock):
    async def scenario():
        async with listening(clock, sockets=10, others=10) as (port, number):
            (patient,) = await half_heads(port, number, 1, clock=clock, address="127.0.0.2")
            opened = await half_heads(port, number, 11, clock=clock)
            assert await read_all(opened[0][0]) == b""
            patient[1].write(b" /hello/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await read_all(patient[0])).endswith(b"hello /hello/1\n")
            for _, writer in [patient, *opened]:
                writer.close()

    asyncio.run(scenario())


def test_a_rush_of_connections_is_read_before_any_of_them_is_cut_off(clock):
    async def scenario():
        async with listening(clock, sockets=10, others=10) as (port, number):
            opened = [await raw(number) for _ in range(30)]
            await letting_the_server_run(lambda: waiting_of(port, "127.0.0.1") == 30)
            for _, writer in opened[:5]:
                writer.write(b"GET /hello/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            for reader, _ in opened[:5]:
                assert (await read_all(reader)).endswith(b"hello /hello/1\n")
            clock.advance(UNREAD_MS)
            opened.append(await raw(number))
            await letting_the_server_run(lambda: waiting_of(port, "127.0.0.1") == 10)
            for _, writer in opened:
                writer.close()

    asyncio.run(scenario())


def test_a_rush_has_its_bound_too(clock):
    async def scenario():
        async with listening(clock, sockets=5, others=5) as (port, number):
            opened = [await raw(number) for _ in range(60)]
            assert await read_all(opened[0][0]) == b""
            assert waiting_of(port, "127.0.0.1") <= 20
            for _, writer in opened:
                writer.close()

    asyncio.run(scenario())


def test_one_web_request_too_many_is_told_503_and_media_sockets_are_taken(running_clock):
    async def scenario():
        async with listening(running_clock, others=1) as (port, number):
            held, other = await raw(number), await raw(number)
            held[1].write(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            await letting_the_server_run(lambda: port._http_state.connections)
            other[1].write(b"GET /hello/1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await read_all(other[0])).startswith(b"HTTP/1.1 503")
            async with connect(f"ws://127.0.0.1:{number}/media", compression=None) as ws:
                await ws.send("one")
                assert await ws.recv() == "/media:one"
            for _, writer in (held, other):
                writer.close()

    asyncio.run(scenario())


REQUEST = b"GET /hello/1 HTTP/1.1\r\nHost: x\r\n\r\n"


async def kept_open(number, count, *, clock, address="127.0.0.1"):
    """Make so many requests, each on a connection that is kept, a second apart."""
    opened = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", number, local_addr=(address, 0))
        writer.write(REQUEST)
        await reader.readuntil(b"hello /hello/1\n")
        clock.advance(1_000)
        opened.append((reader, writer))
    return opened


async def still_answers(connection):
    reader, writer = connection
    writer.write(REQUEST)
    return b"hello" in await reader.read(1_000)


def test_connections_that_are_kept_open_do_not_keep_others_out(clock):
    async def scenario():
        async with listening(clock, others=4) as (_, number):
            kept = await kept_open(number, 2, clock=clock)
            kept += await kept_open(number, 2, clock=clock, address="127.0.0.2")
            assert await still_answers(kept[0]), "the second is the one that has been idle for longest now"
            clock.advance(1_000)
            kept += await kept_open(number, 1, clock=clock, address="127.0.0.3")
            assert await read_all(kept[1][0]) == b""
            assert all([await still_answers(kept[number]) for number in (0, 2, 3, 4)])
            for _, writer in kept:
                writer.close()

    asyncio.run(scenario())


def test_half_of_what_comes_by_a_proxy_is_not_half_of_everything(clock):
    async def scenario():
        async with listening(clock, sockets=10, others=4, proxy="127.0.0.1") as (port, number):
            kept = await kept_open(number, 4, clock=clock)
            assert all([await still_answers(each) for each in kept])
            unread = []
            for _ in range(12):
                clock.advance(UNREAD_MS // 8)
                unread.append(await asyncio.open_connection("127.0.0.1", number))
            await letting_the_server_run(lambda: waiting_of(port, "127.0.0.1") == 12)
            for _, writer in (*kept, *unread):
                writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("public_url", "address", "is_one"),
    [
        ("https://voice.example.com", "127.0.0.1", True),
        ("https://voice.example.com", "172.18.0.2", True),
        ("https://voice.example.com", "", True),
        ("https://voice.example.com", "8.8.8.8", False),
        ("http://127.0.0.1:8080", "127.0.0.1", False),
        (None, "127.0.0.1", False),
    ],
)
def test_everybody_comes_from_an_address_of_ours_where_somebody_else_speaks_tls(public_url, address, is_one):
    settings = TelephonySettings(agents=frozenset({"bank"}), public_url=public_url, insecure=True)
    assert settings.is_proxy(address) == is_one


def test_who_keeps_too_many_open_closes_their_own(clock):
    async def scenario():
        async with listening(clock, others=4) as (_, number):
            theirs = await kept_open(number, 1, clock=clock, address="127.0.0.2")
            kept = await kept_open(number, 3, clock=clock)
            assert await read_all(kept[0][0]) == b""
            assert all([await still_answers(each) for each in (*theirs, *kept[1:])])
            for _, writer in (*theirs, *kept):
                writer.close()

    asyncio.run(scenario())


def test_who_begins_another_request_and_leaves_it_at_that_makes_room_too(clock):
    async def scenario():
        async with listening(clock, others=2) as (port, number):
            kept = await kept_open(number, 1, clock=clock)
            kept[0][1].write(b"GET")
            await letting_the_server_run(lambda: all(one._cancel_deadline for one in port._http_state.connections))
            kept += await kept_open(number, 1, clock=clock)
            assert await read_all(kept[0][0]) == b""
            for _, writer in kept:
                writer.close()

    asyncio.run(scenario())


def test_nobody_makes_room_who_is_being_answered(clock):
    async def scenario():
        async with listening(clock, others=2) as (port, number):
            held, other = await kept_open(number, 1, clock=clock), await raw(number)
            held[0][1].write(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            await letting_the_server_run(lambda: port._http_state.tasks)
            other[1].write(REQUEST)
            assert (await read_all(other[0])).startswith(b"HTTP/1.1 503")
            held[0][1].write(b"123456789")
            await held[0][0].readuntil(b"\r\n\r\n9")
            for _, writer in (*held, other):
                writer.close()

    asyncio.run(scenario())


def test_a_message_that_is_too_long_closes_its_socket_with_1009(running_clock):
    async def scenario():
        async with (
            listening(running_clock) as (_, number),
            connect(f"ws://127.0.0.1:{number}/media", compression=None) as ws,
        ):
            await ws.send("x" * 65_537)
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd.code == 1009

    asyncio.run(scenario())


def test_no_compression_is_agreed_to(running_clock):
    async def scenario():
        async with (
            listening(running_clock) as (_, number),
            connect(f"ws://127.0.0.1:{number}/media", compression="deflate") as ws,
        ):
            assert "Sec-WebSocket-Extensions" not in ws.response.headers

    asyncio.run(scenario())


def test_a_failing_page_and_a_failing_socket_touch_nobody_else(running_clock, caplog):
    async def serve(connection, path):
        if path == "/bad":
            raise ValueError("broken")
        await echo(connection, path)

    async def scenario():
        async with (
            listening(running_clock, serve=serve) as (_, number),
            httpx.AsyncClient() as http,
            connect(f"ws://127.0.0.1:{number}/good", compression=None) as good,
        ):
            bad = await connect(f"ws://127.0.0.1:{number}/bad", compression=None)
            with pytest.raises(ConnectionClosed):
                await bad.recv()
            assert (await http.get(f"http://127.0.0.1:{number}/broken")).status_code == 500
            await good.send("still here")
            assert await good.recv() == "/good:still here"

    asyncio.run(scenario())
    assert "a media connection failed" in caplog.text


def test_sockets_that_are_looked_at_together_do_not_slip_past_the_limit(running_clock):
    async def scenario():
        all_look = asyncio.Barrier(6)

        async def slowly(request):
            await all_look.wait()
            return request.path

        async with listening(running_clock, sockets=3, admit=slowly) as (_, number):
            opening = [asyncio.ensure_future(connect(f"ws://127.0.0.1:{number}/{n}")) for n in range(6)]
            opened = await asyncio.gather(*opening, return_exceptions=True)
            refused = [one.response.status_code for one in opened if isinstance(one, InvalidStatus)]
            let_in = [one for one in opened if not isinstance(one, BaseException)]
            assert (refused, len(let_in)) == ([503] * 3, 3)

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_named(running_clock):
    async def scenario():
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            number = other.getsockname()[1]
            port = OnePort(
                admit=admit, serve=echo, app=APP, clock=running_clock, live=LiveLines(most=1), max_http_connections=1
            )
            with pytest.raises(OperatorError, match=f"port {number} on 127.0.0.1 is taken"):
                await port.open("127.0.0.1", number)
            await port.close()

    asyncio.run(scenario())


def test_closing_ends_what_is_open_in_good_order(running_clock):
    async def scenario():
        async with listening(running_clock) as (port, number):
            ws = await connect(f"ws://127.0.0.1:{number}/media", compression=None)
            _, half_open = await raw(number)
            http = httpx.AsyncClient()
            await http.get(f"http://127.0.0.1:{number}/hello/1")
            await port.close()
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd.code == 1001
            assert not port.is_serving()
            with pytest.raises(OSError, match=r".*"):
                await raw(number)
            half_open.close()
            await http.aclose()

    asyncio.run(scenario())
