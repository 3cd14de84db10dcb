"""Media sockets that come by somebody else's web server: what its events mean, and who is let in."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.telephony.doors import opened
from tests.telephony.wire_examples import twilio_start
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.asgi import AsgiSocket, target_of
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.leg_socket import MAX_WAITING_BYTES
from voiceagent.telephony.port import MAX_MESSAGE_BYTES
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import sign
from voiceagent.telephony.websocket import CLOSE_DEADLINE_MS

CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


class WebServer:
    """What a web server does for one connection."""

    def __init__(self):
        self.coming = asyncio.Queue()
        self.sent = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.refuses = None

    async def receive(self):
        return await self.coming.get()

    async def send(self, message):
        await self.takes.wait()
        if self.refuses is not None:
            raise self.refuses
        self.sent.append(message)

    def hears(self, **message):
        self.coming.put_nowait({"type": "websocket.receive", **message})

    def closes(self, **how):
        self.coming.put_nowait({"type": "websocket.disconnect", **how})


def over(clock, scenario):
    """Run a scenario with a socket and the web server behind it."""

    async def run():
        server = WebServer()
        socket = AsgiSocket(server.receive, server.send, clock=clock)
        async with asyncio.timeout(5), socket.sending():
            return await scenario(socket, server)

    return asyncio.run(run())


async def heard(socket):
    return [message async for message in socket]


async def turns(many=5):
    for _ in range(many):
        await asyncio.sleep(0)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_text_and_bytes_are_heard_in_order_until_the_far_side_closes(clock):
    async def scenario(socket, server):
        server.hears(text="a")
        server.hears(bytes=b"b", text=None)
        server.closes(code=1000, reason="")
        assert await heard(socket) == ["a", b"b"]
        assert (socket.closed_in_order, socket.end) == (True, "connection closed (1000)")

    over(clock, scenario)


@pytest.mark.parametrize("how", [{"code": 1006}, {"code": 1012}, {"code": 1005}, {"code": None}, {}])
def test_a_connection_that_may_have_broken_is_not_closed_in_order(clock, how):
    async def scenario(socket, server):
        server.closes(**how)
        assert await heard(socket) == []
        assert not socket.closed_in_order
        assert socket.end == f"connection lost ({how.get('code') or 1005})"

    over(clock, scenario)


@pytest.mark.parametrize("message", [{"text": "x" * (MAX_MESSAGE_BYTES + 1)}, {"bytes": bytes(MAX_MESSAGE_BYTES + 1)}])
def test_a_message_that_is_too_long_closes_with_1009(clock, message):
    async def scenario(socket, server):
        server.hears(text="x" * MAX_MESSAGE_BYTES)
        server.hears(**message)
        assert len(await heard(socket)) == 1
        await socket.close(1000, "")
        assert [(sent["type"], sent["code"]) for sent in server.sent] == [("websocket.close", 1009)]

    over(clock, scenario)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_what_is_written_is_sent_in_order_and_closing_comes_last(clock):
    async def scenario(socket, server):
        reading = asyncio.ensure_future(heard(socket))
        await turns()
        socket.write("a")
        socket.write(b"b")
        assert socket.unsent_bytes == 2
        await socket.close(1000, "agent hung up")
        socket.write("too late")
        await turns()
        assert server.sent == [
            {"type": "websocket.send", "text": "a"},
            {"type": "websocket.send", "bytes": b"b"},
            {"type": "websocket.close", "code": 1000, "reason": "agent hung up"},
        ]
        assert socket.unsent_bytes == 0
        assert await reading == [], "nobody waits for a far side that says nothing more"
        assert not socket.closed_in_order, "it was us"

    over(clock, scenario)


def test_what_a_web_server_does_not_take_is_counted_and_given_up_when_closing_is_overdue(clock):
    async def scenario(socket, server):
        server.takes.clear()
        socket.write("x" * 1_000)
        await turns()
        assert socket.unsent_bytes == 1_000
        closing = asyncio.ensure_future(socket.close(1000, ""))
        await turns()
        clock.advance(CLOSE_DEADLINE_MS - 1)
        await turns()
        assert not closing.done()
        clock.advance(1)
        await closing
        assert (socket.unsent_bytes, server.sent) == (0, [])

    over(clock, scenario)


def test_a_web_server_that_never_takes_anything_does_not_fill_the_memory(clock):
    async def scenario(socket, server):
        server.takes.clear()
        reading = asyncio.ensure_future(heard(socket))
        await turns()
        for _ in range(MAX_WAITING_BYTES // 1_000 + 2):
            socket.write("x" * 1_000)
        assert socket.unsent_bytes == 0
        assert await reading == []
        assert socket.end == "connection lost (1006)"
        await socket.close(1000, "")

    over(clock, scenario)


@pytest.mark.parametrize("refusal", [OSError("gone"), RuntimeError("Unexpected ASGI message, after websocket.close")])
def test_a_connection_that_the_web_server_has_ended_takes_nothing_and_says_how_it_ended(clock, refusal):
    async def scenario(socket, server):
        server.refuses = refusal
        socket.write("a")
        await turns()
        socket.write("b")
        assert socket.unsent_bytes == 0
        server.closes(code=1001)
        assert await heard(socket) == []
        assert socket.closed_in_order
        await socket.close(1000, "")

    over(clock, scenario)


# --- who is let in ---------------------------------------------------------------------------------------------------

SECRET = "12345"
PUBLIC = "https://voice.example.com/phone"
SECURE = TelephonySettings(agents=frozenset({"bank"}), public_url=PUBLIC, twilio_auth_token=SECRET)


def calling(settings, scenario, clock, tmp_path, *, handler=None, state=None):
    async def run():
        parts = {"handler": handler, "healthy": lambda: True, "clock": clock, "state": state}
        async with (
            asyncio.timeout(20),
            opened("in an app, websockets-sansio", settings, folder=tmp_path, **parts) as door,
        ):
            await scenario(door)

    asyncio.run(run())


async def status_of(door, path, headers=None):
    with pytest.raises(InvalidStatus) as refused:
        await connect(door.url + path, additional_headers=headers or {})
    return refused.value.response.status_code, refused.value.response.body


def test_a_refusal_has_the_status_that_it_has_on_a_port_of_our_own(running_clock, tmp_path):
    async def scenario(door):
        wrong = {"X-Twilio-Signature": "guess"}
        assert await status_of(door, "/media/twilio/bank/token") == (401, b"Unauthorized\n")
        assert await status_of(door, "/media/twilio/bank/token", wrong) == (403, b"Forbidden\n")
        assert await status_of(door, "/media/asterisk/bank") == (401, b"Unauthorized\n")
        assert await status_of(door, "/media/nobody/bank") == (404, b"Not Found\n")
        door.media.drain()
        assert await status_of(door, "/media/twilio/bank/token") == (503, b"Service Unavailable\n")
        assert len(door.media.live) == 0

    calling(SECURE, scenario, running_clock, tmp_path)


def test_a_signature_is_over_the_public_address_and_not_over_where_the_app_is_mounted(running_clock, tmp_path):
    state = MemoryStore(running_clock)
    taken = asyncio.Event()

    async def handler(incoming):
        assert (incoming.call, incoming.agent) == ("CA0", "bank")
        taken.set()

    async def scenario(door):
        path = f"/media/twilio/bank/{await CallTokens(state).mint(CallGrant('bank', 'CA0'))}"
        signed = {"X-Twilio-Signature": sign(SECRET, "wss://voice.example.com/phone" + path)}
        async with connect(door.url + path, additional_headers=signed) as line:
            await line.send(CONNECTED)
            await line.send(twilio_start())
            await taken.wait()
            await line.wait_closed()
            assert line.close_code == 1000
        await door.media.drained()

    calling(SECURE, scenario, running_clock, tmp_path, handler=handler, state=state)


def test_one_call_too_many_is_told_503_and_closing_ends_those_there_are_with_1001(running_clock, tmp_path):
    settings = TelephonySettings(agents=frozenset({"bank"}), insecure=True, max_calls=1)

    async def scenario(door):
        line = await connect(door.url + "/media/twilio/bank")
        assert await status_of(door, "/media/twilio/bank") == (503, b"Service Unavailable\n")
        await line.close()
        await door.media.drained()
        line = await connect(door.url + "/media/twilio/bank")
        await door.media.live.close(1001, "server is going away")
        await line.wait_closed()
        assert line.close_code == 1001

    calling(settings, scenario, running_clock, tmp_path)


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        ({"path": "/phone/a b", "raw_path": b"/phone/a%20b", "root_path": "/phone"}, "/a%20b"),
        ({"path": "/phone/a b", "root_path": "/phone"}, "/a%20b"),
        ({"path": "/a", "raw_path": b"/a", "query_string": b"b=%2B1"}, "/a?b=%2B1"),
        ({"path": "/my phone/a", "raw_path": b"/my%20phone/a", "root_path": "/my phone"}, "/a"),
    ],
)
def test_the_target_is_what_was_asked_for_below_the_mount(scope, target):
    assert target_of({"query_string": b"", **scope}) == target
