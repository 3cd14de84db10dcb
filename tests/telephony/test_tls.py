"""TLS on the one port: who speaks it is served as ever, who does not harms nobody."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import pytest
import uvloop
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as serve_sockets
from websockets.exceptions import InvalidStatus

from tests.telephony.certificates import new_pair
from voiceagent.errors import CallLost, OperatorError
from voiceagent.telephony.certificate import Certificate
from voiceagent.telephony.first_bytes import HEAD_DEADLINE_MS, UNREAD_MS
from voiceagent.telephony.live import LiveLines
from voiceagent.telephony.port import OnePort
from voiceagent.telephony.reach import ReachingLine
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.websocket import WebSocket
from voiceagent.testing.webhook import ask_where_to_connect


async def _scheme(request):
    return PlainTextResponse(f"{request.url.scheme} {request.url.path}")


APP = Starlette(routes=[Route("/{page}", _scheme)])


async def echo(connection, admitted):
    async for message in connection:
        await connection.send(f"{admitted}:{message}")
    await connection.close()


async def admit(request):
    return HTTPStatus.FORBIDDEN if request.path == "/forbidden" else request.path


@asynccontextmanager
async def listening(clock, pair, *, serve=echo, sockets=10, others=10):
    port = OnePort(
        admit=admit,
        serve=serve,
        app=APP,
        clock=clock,
        live=LiveLines(most=sockets),
        max_http_connections=others,
    )
    certificate = await asyncio.to_thread(Certificate, pair.cert, pair.key)
    number = await port.open("127.0.0.1", 0, certificate=certificate)
    try:
        yield number
    finally:
        await port.close()
        assert not port.handler_tasks


async def is_served(number, pair):
    async with httpx.AsyncClient(verify=pair.trusting(), trust_env=False) as client:
        answer = await client.get(f"https://127.0.0.1:{number}/well")
    return answer.text == "https /well"


async def letting_the_server_run(until):
    async with asyncio.timeout(5):
        while not until():  # noqa: ASYNC110  the thing waited for has no event
            await asyncio.sleep(0)


async def read_all(reader):
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


# --- who speaks it ---------------------------------------------------------------------------------------------------


def test_a_socket_and_a_request_share_the_port_behind_tls(running_clock, tmp_path):
    pair = new_pair(tmp_path)

    async def scenario():
        async with listening(running_clock, pair) as number:
            async with connect(f"wss://127.0.0.1:{number}/media", ssl=pair.trusting()) as socket:
                await socket.send("x" * 60_000)
                assert await socket.recv() == "/media:" + "x" * 60_000
                assert await is_served(number, pair)
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"wss://127.0.0.1:{number}/forbidden", ssl=pair.trusting())
            assert refused.value.response.status_code == 403

    asyncio.run(scenario())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_whoever_speaks_tls_is_understood_on_every_event_loop(running_clock, tmp_path, run):
    pair = new_pair(tmp_path)
    trusting = pair.trusting()

    async def scenario():
        async with listening(running_clock, pair, others=100) as number:
            for _ in range(20):  # uvloop may read before TLS is begun
                one, other = await asyncio.gather(
                    *(asyncio.open_connection("127.0.0.1", number, ssl=trusting) for _ in range(2))
                )
                for reader, writer in (one, other):
                    writer.write(b"GET /well HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    assert b"https /well" in await read_all(reader)
                    writer.close()

    run(scenario())


def test_of_protocols_http_1_is_spoken_and_of_versions_none_that_is_old(running_clock, tmp_path):
    pair = new_pair(tmp_path)
    context = pair.trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])

    async def scenario():
        async with listening(running_clock, pair) as number:
            _, writer = await asyncio.open_connection("127.0.0.1", number, ssl=context)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.close()
            await writer.wait_closed()

    asyncio.run(scenario())
    assert Certificate(pair.cert, pair.key).context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_head_in_pieces_is_put_together_behind_tls(running_clock, tmp_path):
    pair = new_pair(tmp_path)

    async def scenario():
        async with listening(running_clock, pair) as number:
            reader, writer = await asyncio.open_connection("127.0.0.1", number, ssl=pair.trusting())
            for byte in b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
            assert b"https /slow" in await read_all(reader)
            writer.close()

    asyncio.run(scenario())


def test_what_a_far_side_does_not_take_is_seen_though_tls_lies_between(running_clock, tmp_path):
    pair = new_pair(tmp_path)
    seen = asyncio.Queue()

    async def serve(connection, _):
        socket = WebSocket(connection, clock=running_clock)
        for _ in range(20_000):
            socket.write(b"x" * 1_000)
            if socket.unsent_bytes:
                break
            await asyncio.sleep(0)
        # Below TLS there is a buffer of asyncio's own: nothing of what is counted above may lie in there uncounted.
        seen.put_nowait((socket.unsent_bytes, connection.transport._ssl_protocol._transport.get_write_buffer_size()))

    async def scenario():
        async with listening(running_clock, pair, serve=serve) as number:
            address = f"wss://127.0.0.1:{number}/media"
            async with asyncio.timeout(20), connect(address, ssl=pair.trusting(), max_queue=1, close_timeout=0.1):
                unsent, hidden = await seen.get()
        assert 0 < unsent < 2_000
        assert hidden < 2_000

    asyncio.run(scenario())


# --- who does not ----------------------------------------------------------------------------------------------------


def test_plain_http_is_cut_off_and_others_are_served(running_clock, tmp_path, caplog):
    pair = new_pair(tmp_path)

    async def scenario():
        async with listening(running_clock, pair) as number:
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(b"GET /well HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"HTTP" not in await read_all(reader)
            writer.close()
            assert await is_served(number, pair)

    asyncio.run(scenario())
    assert not caplog.records


def test_a_handshake_that_is_never_finished_is_cut_off_in_the_time_of_a_head(clock, tmp_path):
    pair = new_pair(tmp_path)

    async def scenario():
        async with listening(clock, pair) as number:
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(b"\x16\x03\x01")  # the first bytes of a ClientHello
            await letting_the_server_run(lambda: clock.timers)
            clock.advance(HEAD_DEADLINE_MS - 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read()
            clock.advance(1)
            assert await read_all(reader) == b""
            writer.close()
            assert clock.timers == 0

    asyncio.run(scenario())


def test_whoever_begins_handshakes_without_end_locks_nobody_out(clock, tmp_path):
    pair = new_pair(tmp_path)

    async def scenario():
        async with listening(clock, pair, sockets=2, others=2) as number:
            first, first_writer = await asyncio.open_connection("127.0.0.1", number)
            await letting_the_server_run(lambda: clock.timers == 1)
            clock.advance(UNREAD_MS)
            _, second_writer = await asyncio.open_connection("127.0.0.1", number)
            await letting_the_server_run(lambda: clock.timers == 2)
            assert await is_served(number, pair)  # of one address two may be undecided: the oldest gave way
            assert await read_all(first) == b""
            first_writer.close()
            second_writer.close()

    asyncio.run(scenario())


def test_closing_the_port_ends_handshakes_as_well(running_clock, tmp_path):
    pair = new_pair(tmp_path)

    async def scenario():
        async with listening(running_clock, pair) as number:
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            await asyncio.sleep(0)
        assert await read_all(reader) == b""
        writer.close()

    asyncio.run(scenario())


# --- the certificate -------------------------------------------------------------------------------------------------


def _missing(pair, other):
    pair.cert.unlink()
    return "certificate .*server.pem cannot be read: No such file"


def _folder(pair, other):
    pair.key.unlink()
    pair.key.mkdir()
    return "key .*server.key cannot be read: Is a directory"


def _no_certificate(pair, other):
    pair.cert.write_text("hello")
    return "certificate .*server.pem is none in PEM"


def _swapped(pair, other):
    pair.key.write_bytes(pair.cert.read_bytes())
    return "key .*server.key is none in PEM"


def _mismatch(pair, other):
    pair.key.write_bytes(other.key.read_bytes())
    return "key .*server.key does not belong to the certificate .*server.pem"


def _encrypted(pair, other):
    pair.replaced_by(other)
    return "key .*server.key is encrypted"


def _torn(pair, other):
    pair.cert.write_bytes(pair.cert.read_bytes()[:300])
    return "cannot be used"


@pytest.mark.parametrize("spoiled", [_missing, _folder, _no_certificate, _swapped, _mismatch, _encrypted, _torn])
def test_a_certificate_of_no_use_is_named_and_so_is_why(tmp_path, spoiled):
    pair = new_pair(tmp_path)
    other = new_pair(tmp_path, "other", password="secret" if spoiled is _encrypted else None)
    said = spoiled(pair, other)
    with pytest.raises(OperatorError, match=said):
        Certificate(pair.cert, pair.key)


def test_a_renewed_certificate_meets_new_connections_and_a_bad_one_does_not(tmp_path):
    pair, newer, wrong = new_pair(tmp_path), new_pair(tmp_path, "newer"), new_pair(tmp_path, "wrong")
    certificate = Certificate(pair.cert, pair.key)
    first = certificate.context
    pair.cert.write_bytes(wrong.cert.read_bytes())
    with pytest.raises(OperatorError):
        certificate.renew()
    assert certificate.context is first
    pair.replaced_by(newer)
    certificate.renew()
    assert certificate.context is not first


def test_a_certificate_without_a_key_is_refused(tmp_path):
    with pytest.raises(OperatorError, match="give --tls-cert and --tls-key"):
        TelephonySettings(agents=frozenset({"bank"}), tls_cert=tmp_path / "cert.pem")


# --- trying it -------------------------------------------------------------------------------------------------------


def test_who_tries_a_server_that_nobody_vouches_for_is_told_so_and_not_that_nobody_listens(
    running_clock, tmp_path, monkeypatch
):
    pair = new_pair(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def scenario():
        async with listening(running_clock, pair) as number:
            url = f"https://127.0.0.1:{number}/answer"
            with pytest.raises(OperatorError, match="certificate verify failed"):
                await ask_where_to_connect(url, call="CA1", caller_number=None, auth_token=None)
            monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))
            with pytest.raises(OperatorError, match="other than TwiML"):  # it was let through to the page
                await ask_where_to_connect(url, call="CA1", caller_number=None, auth_token=None)

    asyncio.run(scenario())


# --- where we connect to others --------------------------------------------------------------------------------------


@asynccontextmanager
async def exchange(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)

    async def carry(connection):
        await connection.send("MEDIA_START")

    async with serve_sockets(carry, "127.0.0.1", 0, ssl=context) as server:
        yield f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"


def test_an_exchange_whose_certificate_nobody_vouches_for_is_not_spoken_to(tmp_path):
    async def scenario():
        async with exchange(new_pair(tmp_path)) as url:
            with pytest.raises(CallLost, match="CertVerification"):
                async with ReachingLine(url).reached():
                    pass

    asyncio.run(scenario())


def test_an_exchange_whose_certificate_the_machine_trusts_is(tmp_path, monkeypatch):
    pair = new_pair(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))

    async def scenario():
        async with exchange(pair) as url, ReachingLine(url).reached() as connection:
            assert await connection.recv() == "MEDIA_START"

    asyncio.run(scenario())
