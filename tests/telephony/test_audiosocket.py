"""AudioSocket: what its packets say, who is let in, and a call on a real connection."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import serve

from voiceagent.cli.audiosocket_option import audiosocket_ids, audiosocket_lines
from voiceagent.console.lines import open_lines
from voiceagent.core.events import DigitsPressed, LegLost, PlayoutReached
from voiceagent.errors import OperatorError
from voiceagent.ports import AudioFormat
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.admission import Admission
from voiceagent.telephony.audiosocket import AudioSocketDialect, id_of
from voiceagent.telephony.audiosocket_port import MAX_UNDECIDED, admit_audiosocket
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.codec import Answer, ClearAudio, Digit, HangUp, Media, PlayAudio, Refused, SetMark, Started
from voiceagent.telephony.codec import Stopped as StoppedEvent
from voiceagent.telephony.first_bytes import HEAD_DEADLINE_MS
from voiceagent.telephony.settings import AudioSocketLine, TelephonySettings

CALL = UUID("7f9f5d2e-0c0f-4b7a-9f3e-6d3f7a1c2b11")
SECRET = UUID("0a2b6f2c-1111-4222-8333-944455566677")
AGENTS = frozenset({"bank"})


def packet(kind, body=b""):
    return struct.pack("!BH", kind, len(body)) + body


def started(kind=0x10):
    dialect = AudioSocketDialect("c1")
    assert isinstance(dialect.receive(packet(kind, bytes(320)))[0], Started)
    return dialect


@pytest.mark.parametrize(("kind", "rate_hz"), [(0x10, 8_000), (0x12, 16_000)])
def test_the_first_audio_says_how_both_sides_speak(kind, rate_hz):
    audio = AudioFormat("pcm16", rate_hz)
    start, media = AudioSocketDialect("c1").receive(packet(kind, b"\1\2" * 160))
    assert start == Started("c1", "c1", None, None, {}, audio, audio)
    assert media == Media(b"\1\2" * 160)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (packet(0x03, b"#"), Digit("#")),
        (packet(0x03, b"x"), Refused("not a digit")),
        (packet(0x00), StoppedEvent("caller hung up")),
        (packet(0xFF, b"\1"), Refused("error reported")),
        (packet(0x01, bytes(16)), Refused("second id")),
        (packet(0x12, bytes(640)), Refused("another audio format")),
        (packet(0x13, bytes(960)), Refused("audio format not agreed")),
        (packet(0x20, bytes(10)), Refused("unknown kind")),
        (packet(0x10, bytes(3)), Refused("audio of no possible length")),
        (packet(0x10), Refused("audio of no possible length")),
        (packet(0x10, bytes(320))[:-1], Refused("not a packet")),
        ("text", Refused("not a packet")),
    ],
)
def test_packets_say_what_they_say(message, event):
    assert started().receive(message) == (event,)


@pytest.mark.parametrize("kind", [0x11, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18])
def test_audio_too_wide_for_the_engines_is_no_call(kind):
    assert AudioSocketDialect("c1").receive(packet(kind, bytes(8))) == (Refused("audio format not agreed", fatal=True),)


@given(st.binary(max_size=700), st.booleans())
def test_noise_never_raises_and_never_starts_a_second_call(noise, framed):
    message = packet(noise[0] if noise else 0, noise[1:]) if framed else noise
    assert not any(isinstance(event, Started) for event in started().receive(message))


@given(st.integers(1, 40), st.sampled_from([0x10, 0x12]))
def test_audio_goes_out_frame_by_frame(frames, kind):
    frame_bytes = 320 if kind == 0x10 else 640
    audio = random.Random(frames).randbytes(frames * frame_bytes)  # noqa: S311 - the same sound every time
    packets = started(kind).send(PlayAudio(audio))
    assert packets == tuple(packet(kind, audio[at : at + frame_bytes]) for at in range(0, len(audio), frame_bytes))


def test_there_are_no_words_for_anything_but_audio_and_hanging_up():
    assert [started().send(command) for command in (SetMark("0.1"), ClearAudio(), Answer())] == [(), (), ()]
    assert started().send(HangUp()) == (b"\0\0\0",)
    assert AudioSocketDialect("c1").send(PlayAudio(bytes(320))) == ()


def test_only_an_id_is_an_id():
    assert id_of(packet(0x01, CALL.bytes)) == CALL
    assert id_of(packet(0x02, CALL.bytes)) is None
    assert id_of(packet(0x01, CALL.bytes)[:-1]) is None
    assert id_of(b"\1\0\x11" + CALL.bytes) is None


# --- who is let in ---------------------------------------------------------------------------------------------------


def settings(**changes):
    return TelephonySettings(**{"agents": AGENTS, **changes})


def asked_with(clock, identity, *, grant=None, shown_to="bank", **changes):
    """Who is let in with an id; `grant` is what another id was given for, which is shown where none is said."""

    async def run():
        tokens = CallTokens(MemoryStore(clock))
        shown = identity or UUID(await tokens.mint_id(grant))
        return [
            await admit_audiosocket(shown, agent=shown_to, settings=settings(**changes), tokens=tokens) for _ in "12"
        ]

    return asyncio.run(run())


def name_of(admitted):
    (start, _) = admitted.dialect.receive(packet(0x10, bytes(320)))
    return start.call


def test_an_id_that_was_asked_for_lets_one_call_in_once(clock):
    given_for = CallGrant("bank", "17.2", "audiosocket", caller="+4930")
    first, again = asked_with(clock, None, grant=given_for, asterisk_password="s3cret")
    assert (name_of(first), first.grant, again) == ("17.2", given_for, None)
    assert asked_with(clock, None, grant=given_for, shown_to="clinic", asterisk_password="s3cret") == [None, None]
    assert asked_with(clock, None, grant=CallGrant("bank", "17.2", "twilio")) == [None, None]


def test_an_id_that_was_given_out_lets_calls_in_and_names_none(clock):
    for admitted in asked_with(clock, SECRET, audiosocket_ids=frozenset({SECRET})):
        assert name_of(admitted) != str(SECRET), "a secret names no call: names are written down"


@pytest.mark.parametrize(
    "changes",
    [{}, {"audiosocket_ids": frozenset({SECRET})}, {"audiosocket_ids": frozenset({SECRET}), "insecure": True}],
)
def test_no_other_id_lets_anybody_in(clock, changes):
    assert asked_with(clock, CALL, **changes) == [None, None]


def test_to_try_things_out_any_id_will_do_and_names_the_call(clock):
    assert [name_of(admitted) for admitted in asked_with(clock, CALL, insecure=True)] == [str(CALL)] * 2


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])  # noqa: S104 - what is refused
def test_a_port_needs_what_lets_somebody_in(host):
    lines = (AudioSocketLine("bank", 9092, host),)
    with pytest.raises(OperatorError, match=r"set VOICEAGENT_ASTERISK_PASSWORD, .* or give --audiosocket-id"):
        settings(audiosockets=lines)
    settings(audiosockets=lines, audiosocket_ids=frozenset({SECRET}))
    settings(audiosockets=lines, asterisk_password="s3cret")
    settings(audiosockets=lines, insecure=True)


@pytest.mark.parametrize("port", [0, 65_536])
def test_a_port_is_one_that_an_exchange_can_be_told(port):
    with pytest.raises(OperatorError, match="must be 1 to 65535"):
        settings(audiosockets=(AudioSocketLine("bank", port),))


def test_a_port_is_for_an_agent_that_is_served():
    with pytest.raises(OperatorError, match="'shop', which is not served"):
        settings(audiosockets=(AudioSocketLine("shop", 9092),))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("9092", AudioSocketLine("bank", 9092, "127.0.0.1")),
        ("bank=9092", AudioSocketLine("bank", 9092, "127.0.0.1")),
        ("bank=10.0.0.5:9092", AudioSocketLine("bank", 9092, "10.0.0.5")),
        ("[::1]:9092", AudioSocketLine("bank", 9092, "::1")),
    ],
)
def test_the_option_takes_agent_host_and_port(given, line):
    assert audiosocket_lines([given], AGENTS) == (line,)


@pytest.mark.parametrize("given", ["", "bank=", "port", "bank=host:x", "1:2:3"])
def test_an_option_that_is_none_is_explained(given):
    with pytest.raises(OperatorError, match="must look like"):
        audiosocket_lines([given], AGENTS)


def test_with_several_agents_a_port_has_to_name_one():
    with pytest.raises(OperatorError, match="bank=9092"):
        audiosocket_lines(["9092"], {"bank", "shop"})


def test_an_id_is_a_uuid():
    assert audiosocket_ids([str(SECRET)]) == {SECRET}
    with pytest.raises(OperatorError, match="uuidgen"):
        audiosocket_ids(["password"])


# --- on a real connection --------------------------------------------------------------------------------------------


class Call:
    def __init__(self):
        self.audio = b""
        self.events = []
        self.news = asyncio.Event()

    def audio_arrived(self, audio):
        self.audio += audio
        self.news.set()

    def post(self, event):
        self.events.append(event)
        self.news.set()

    async def until(self, what):
        async with asyncio.timeout(5):
            while not what():
                self.news.clear()
                await self.news.wait()


class Exchange:
    """The server with one agent, and the far side of a connection to it."""

    def __init__(self, clock, **changes):
        self.clock = clock
        self.port = None
        self.changes = changes
        self.calls = asyncio.Queue()

    async def take(self, incoming):
        call = Call()
        call.incoming = incoming
        incoming.leg.attach(call)
        self.calls.put_nowait(call)
        await call.until(lambda: any(isinstance(event, LegLost) for event in call.events))

    async def run(self, scenario):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        given = {"insecure": True, **self.changes}
        chosen = settings(port=0, audiosockets=(AudioSocketLine("bank", port=self.port),), **given)
        lines = open_lines(chosen, handler=self.take, healthy=lambda: True, clock=self.clock)
        async with lines as (self.media, self.http_port):
            await scenario(self)

    async def connect(self, *packets):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"".join(packets))
        return reader, writer


async def letting_the_port_run():
    for _ in range(3):  # it is accepted, a task is begun, and that reads
        await asyncio.sleep(0)


async def everything(reader):
    """What comes until the connection is over, however it ends."""
    with suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 5)
    return b""


HELLO = (packet(0x01, CALL.bytes), packet(0x10, b"\1\2" * 160))


def on_a_connection(clock, scenario, **changes):
    async def run():
        await Exchange(clock, **changes).run(scenario)

    asyncio.run(run())


def test_a_call_is_heard_speaks_and_hangs_up_after_its_last_word(running_clock):
    async def scenario(exchange):
        reader, writer = await exchange.connect(*HELLO, packet(0x03, b"4"))
        call = await exchange.calls.get()
        await call.until(lambda: DigitsPressed("4") in call.events)
        assert call.audio[:320] == b"\1\2" * 160
        leg = call.incoming.leg
        leg.play("a1", b"\5\6" * 8 * 205)
        leg.end_clause("a1", 0, last=True)
        await leg.hang_up(drain=True)
        sent = await reader.read()
        assert PlayoutReached("a1", 0, 205, finished=True) in call.events
        assert sent[:3] == b"\x10\x01\x40"
        assert len(sent) == 11 * 323 + 3, "whole frames, the last one filled up, and hanging up"
        assert sent[-3:] == b"\0\0\0"
        writer.close()

    on_a_connection(running_clock, scenario)


def test_the_end_of_the_connection_is_the_caller_hanging_up(running_clock):
    async def scenario(exchange):
        _, writer = await exchange.connect(*HELLO)
        call = await exchange.calls.get()
        writer.close()
        await call.until(lambda: call.events)
        assert call.events == [LegLost(call.incoming.leg.id, "caller hung up", may_return=False)]

    on_a_connection(running_clock, scenario)


def test_who_hangs_up_while_the_agent_speaks_leaves_audio_unread_and_has_hung_up_all_the_same(running_clock):
    async def scenario(exchange):
        reader, writer = await exchange.connect(*HELLO)
        call = await exchange.calls.get()
        call.incoming.leg.play("a1", bytes(16 * 2_000))
        await reader.readexactly(323)
        linger = struct.pack("ii", 1, 0)  # what an operating system does where something is unread: a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        await call.until(lambda: any(isinstance(event, LegLost) for event in call.events))
        assert call.events[-1] == LegLost(call.incoming.leg.id, "caller hung up", may_return=False)

    on_a_connection(running_clock, scenario)


def test_a_connection_that_ends_within_a_packet_is_lost(running_clock):
    async def scenario(exchange):
        _, writer = await exchange.connect(*HELLO, b"\x10\x01\x40half")
        call = await exchange.calls.get()
        writer.close()
        await call.until(lambda: call.events)
        assert call.events == [LegLost(call.incoming.leg.id, "connection lost", may_return=True)]

    on_a_connection(running_clock, scenario)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n\r\n", packet(0x10, bytes(16)), packet(0x01, CALL.bytes)])
def test_who_does_not_begin_with_an_id_that_lets_in_is_cut_off(running_clock, first):
    async def scenario(exchange):
        reader, writer = await exchange.connect(first)
        assert await everything(reader) == b""
        writer.close()
        assert exchange.calls.empty()
        assert exchange.media.live_calls == 0

    on_a_connection(running_clock, scenario, audiosocket_ids=frozenset({SECRET}), insecure=False)


PASSWORD = {"asterisk_password": "s3cret", "insecure": False}
ASKING = "/asterisk/bank/audiosocket?call=17.2&caller=+4930123456&called=1000"


def asking(exchange, **how):
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{exchange.http_port}", trust_env=False, **how)


def test_the_dial_plan_asks_for_an_id_and_says_who_calls(running_clock):
    async def scenario(exchange):
        async with asking(exchange, auth=("asterisk", "s3cret")) as client:
            identity = UUID((await client.get(ASKING)).text)
        _, writer = await exchange.connect(packet(0x01, identity.bytes), HELLO[1])
        incoming = (await exchange.calls.get()).incoming
        assert (incoming.call, incoming.caller_number, incoming.called_number) == ("17.2", "+4930123456", "1000")
        reader, second = await exchange.connect(packet(0x01, identity.bytes), HELLO[1])
        assert await everything(reader) == b"", "it was good once"
        writer.close()
        second.close()

    on_a_connection(running_clock, scenario, **PASSWORD)


@pytest.mark.parametrize(
    ("path", "password", "status"),
    [
        (ASKING, "wrong", 401),
        (ASKING.replace("bank", "shop"), "s3cret", 404),
        (ASKING.replace("bank", "clinic"), "s3cret", 400),
        ("/asterisk/bank/audiosocket", "s3cret", 400),
    ],
)
def test_an_id_is_given_to_nobody_else_and_for_nothing_else(running_clock, path, password, status):
    async def scenario(exchange):
        async with asking(exchange, auth=("asterisk", password)) as client:
            assert (await client.get(path)).status_code == status

    on_a_connection(running_clock, scenario, agents=frozenset({"bank", "clinic"}), **PASSWORD)


def test_no_id_is_given_where_no_call_is_taken(running_clock):
    async def scenario(exchange):
        exchange.media.drain()
        async with asking(exchange, auth=("asterisk", "s3cret")) as client:
            assert (await client.get(ASKING)).status_code == 503

    on_a_connection(running_clock, scenario, **PASSWORD)


def test_whoever_never_says_an_id_locks_nobody_out_and_is_cut_off_in_time(clock):
    async def scenario(exchange):
        silent = []
        for number in range(3 * MAX_UNDECIDED):
            clock.advance(20)
            silent.append(await exchange.connect(b"\1\0" if number % 2 else b""))
            await letting_the_port_run()
        _, writer = await exchange.connect(*HELLO)
        async with asyncio.timeout(5):
            await exchange.calls.get()
        clock.advance(HEAD_DEADLINE_MS)
        assert [await everything(reader) for reader, _ in silent] == [b""] * len(silent)
        assert exchange.media.live_calls == 1
        for each in (writer, *(their for _, their in silent)):
            each.close()

    on_a_connection(clock, scenario)


def test_a_flood_of_packets_is_dropped_and_counted_and_the_call_goes_on(running_clock):
    async def scenario(exchange):
        _, writer = await exchange.connect(*HELLO, packet(0x10, bytes(320)) * 1_000, packet(0x03, b"4"))
        call = await exchange.calls.get()
        await call.until(lambda: DigitsPressed("4") in call.events)
        assert call.incoming.leg.counts["audio faster than time"] > 700
        assert len(call.audio) < 300 * 320
        writer.close()

    on_a_connection(running_clock, scenario)


async def broken(*_):
    raise ValueError("+4930123456")


def test_a_connection_that_fails_says_where_and_not_what(running_clock, caplog):
    async def scenario(exchange):
        exchange.media.carry = broken
        reader, writer = await exchange.connect(*HELLO)
        assert await everything(reader) == b""
        writer.close()
        assert "an AudioSocket connection failed: ValueError at " in caplog.text

    on_a_connection(running_clock, scenario)
    assert "30123456" not in caplog.text


def test_a_connection_made_from_here_that_fails_says_where_and_not_what(running_clock, caplog):
    async def scenario(exchange):
        exchange.media.carry = broken
        async with serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0, subprotocols=["media"]) as asterisk:
            address = f"ws://127.0.0.1:{asterisk.sockets[0].getsockname()[1]}"
            assert exchange.media.connect(address, Admission("bank", AudioSocketDialect("c1"), None))
            async with asyncio.timeout(5):
                while "a media connection failed: ValueError at " not in caplog.text:  # noqa: ASYNC110 - a log has no event
                    await asyncio.sleep(0.01)

    on_a_connection(running_clock, scenario)
    assert "30123456" not in caplog.text


def test_its_calls_count_and_the_next_one_is_refused(running_clock):
    async def scenario(exchange):
        _, writer = await exchange.connect(*HELLO)
        await exchange.calls.get()
        assert exchange.media.live_calls == 1
        reader, second = await exchange.connect(packet(0x01, SECRET.bytes), HELLO[1])
        assert await everything(reader) == b""
        assert exchange.calls.empty()
        writer.close()
        second.close()

    on_a_connection(running_clock, scenario, max_calls=1)


def test_an_id_is_good_for_another_try_once_there_is_room(running_clock):
    async def scenario(exchange):
        async with asking(exchange, auth=("asterisk", "s3cret")) as client:
            first, second = [UUID((await client.get(ASKING.replace("17.2", call))).text) for call in ("17.2", "17.3")]
        _, writer = await exchange.connect(packet(0x01, first.bytes), HELLO[1])
        await exchange.calls.get()
        reader, refused = await exchange.connect(packet(0x01, second.bytes), HELLO[1])
        assert await everything(reader) == b""
        writer.close()
        refused.close()
        async with asyncio.timeout(5):
            await exchange.media.live.none_left()
        _, again = await exchange.connect(packet(0x01, second.bytes), HELLO[1])
        async with asyncio.timeout(5):
            assert (await exchange.calls.get()).incoming.call == "17.3"
        again.close()

    on_a_connection(running_clock, scenario, insecure=False, asterisk_password="s3cret", max_calls=1)


def test_when_the_server_goes_so_do_its_calls(running_clock):
    async def run():
        exchange = Exchange(running_clock)
        held = []

        async def scenario(_):
            held.append(await exchange.connect(*HELLO))
            held.append(await exchange.calls.get())

        async with asyncio.timeout(8):
            await exchange.run(scenario)
        (reader, writer), call = held
        assert isinstance(call.events[-1], LegLost)
        await reader.read()
        writer.close()

    asyncio.run(run())
