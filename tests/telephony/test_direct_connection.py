"""A connection that is read in a shorter way says what the library says, whatever comes and in whatever pieces."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from voiceagent.telephony import direct_connection
from voiceagent.telephony.direct_connection import HANDED_OVER_AT_ONCE, DirectConnection

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MOST_BYTES = 1_000
TEXT, BINARY, CLOSE, PING, PONG, CONT = 0x81, 0x82, 0x88, 0x89, 0x8A, 0x80


def frame(head, body, *, mask=b"\x01\x02\x03\x04", says=None):
    """Return a frame as a client sends it; `says` is a length that it does not have."""
    length = len(body) if says is None else says
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 65_536:
        size = bytes([0xFE]) + struct.pack("!H", length)
    else:
        size = bytes([0xFF]) + struct.pack("!Q", length)
    if not mask:
        size = bytes([size[0] & 0x7F]) + size[1:]
        return bytes([head]) + size + body
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
    return bytes([head]) + size + mask + masked


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.ended = False
        self.paused = self.most_paused = 0

    def write(self, data):
        self.written += bytes(data)

    def write_eof(self):
        self.ended = True

    def can_write_eof(self):
        return True

    def is_closing(self):
        return False

    def abort(self):
        self.ended = True

    def pause_reading(self):
        self.paused += 1
        self.most_paused = max(self.most_paused, self.paused)

    def resume_reading(self):
        self.paused -= 1

    def set_write_buffer_limits(self, high=None, low=None):
        pass


class Reading:
    """A connection on a wire that the test holds, and what is read of it."""

    def __init__(self, kind, hands_over, *, behind=b""):
        self.handler_tasks = set()
        self.heard = []
        self.directly = 0
        self._hands_over = hands_over
        self.wire = Wire()
        self.connection = kind(
            ServerProtocol(max_size=MOST_BYTES, extensions=None),
            self,
            ping_interval=None,
            close_timeout=None,
            max_queue=32,
        )
        self.connection.connection_made(self.wire)
        self.connection.data_received(UPGRADE + behind)

    def is_serving(self):
        return True

    def _directly(self, message):
        self.directly += 1
        self.heard.append(message)

    async def handler(self, connection):
        await connection.handshake(server_header=None)
        if self._hands_over:
            connection.hand_to(self._directly)
        try:
            while True:
                self.heard.append(await connection.recv())
        except ConnectionClosed:
            self.heard.append("closed")

    async def ended(self):
        """Let the far side go, and wait until that is known."""
        self.connection.eof_received()
        self.connection.connection_lost(None)
        await asyncio.gather(*self.handler_tasks)


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def heard_of(pieces, kind, *, hands_over):
    """Return what was read, written and said in the end of a connection on which these pieces came in."""
    reading = Reading(kind, hands_over)
    await settle()
    reading.wire.written = b""
    for piece, is_read_at_once in pieces:
        reading.connection.data_received(piece)
        if is_read_at_once:
            await settle()
    await settle()
    await reading.ended()
    protocol = reading.connection.protocol
    return reading, (reading.heard, reading.wire.written, protocol.close_code, protocol.close_reason)


bodies = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"", b"\xff", b"\xc3", bytes(125), bytes(126), bytes(MOST_BYTES), bytes(MOST_BYTES + 1)]),
)
masks = st.sampled_from([b"\x00\x00\x00\x00", b"\x81\x82\xfe\x7f", b"abcd"])
whole = st.builds(lambda head, body, mask: frame(head, body, mask=mask), st.sampled_from([TEXT, BINARY]), bodies, masks)
readable = st.builds(lambda text, mask: frame(TEXT, text.encode(), mask=mask), st.text(max_size=200), masks)
fragments = st.builds(
    lambda head, first, more, last: frame(head, first) + b"".join(frame(0, body) for body in more) + frame(CONT, last),
    st.sampled_from([0x01, 0x02]),
    bodies,
    st.lists(bodies, max_size=2),
    bodies,
)
control = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=130))
closing = st.sampled_from(
    [frame(CLOSE, b""), frame(CLOSE, b"\x03\xe8bye"), frame(CLOSE, b"\x03"), frame(CLOSE, b"\x03\xe8\xff")]
)
wrong = st.sampled_from(
    [
        frame(TEXT, b"unmasked", mask=b""),
        frame(0xC1, b"a reserved bit"),
        frame(0x83, b"unknown"),
        frame(0x8B, b"unknown"),
        frame(CONT, b"of nothing"),
        frame(0x01, b"begun"),
        frame(TEXT, b"", says=2**40),
        frame(TEXT, b"", says=MOST_BYTES + 1),
        bytes([TEXT, 0xFE, 0, 3]) + bytes(4) + b"abc",  # longer written than need be
        bytes([TEXT, 0xFF]) + struct.pack("!Q", 3) + bytes(4) + b"abc",
        b"\x00",
    ]
)
# Whose second half, come by itself, looks like a message.
deceptive = st.sampled_from(
    [frame(BINARY, within + frame(TEXT, b"not one"), mask=bytes(4)) for within in (b"", b"abc")]
    + [frame(TEXT, b"abcd", mask=b"\x81\x82\xfe\x7f")]
)
frames = st.one_of(readable, readable, readable, whole, fragments, control, closing, wrong, deceptive)


@st.composite
def pieces(draw):
    """Return what comes in, in the pieces in which it does, each with whether it is read before the next.

    Frames come by themselves, in two pieces or behind others.
    """
    each = []
    for one in draw(st.lists(frames, max_size=12)):
        at = draw(st.one_of(st.just(0), st.just(0), st.integers(0, len(one)), st.sampled_from([2, 4, 6, 8])))
        each += [one[:at], one[at:]]
    joined = [b""]
    for piece in each:
        if draw(st.booleans()):
            joined.append(piece)
        else:
            joined[-1] += piece
    return [(piece, draw(st.booleans())) for piece in joined if piece]


_NO_TEXT = (frame(TEXT, b"\x80", mask=bytes(4)), False)
"""It is only found to be none when it is read, which is after the next piece."""


@settings(max_examples=200, deadline=None)
@given(pieces())
@example([_NO_TEXT, (b"\x83\x87", True)])
@example([_NO_TEXT, (b"\x81\xfe\xff\xff", True)])
@example([_NO_TEXT, (b"\x81\x7f", True)])
def test_what_comes_is_read_as_the_library_reads_it(given_pieces):
    async def both():
        _, expected = await heard_of(given_pieces, ServerConnection, hands_over=False)
        _, heard = await heard_of(given_pieces, DirectConnection, hands_over=True)
        assert heard == expected

    asyncio.run(both())


@pytest.mark.parametrize("most", [1, 7, 4_000])
def test_whole_messages_are_handed_over_and_wake_nobody(most):
    async def run():
        data = frame(TEXT, "grüß".encode()) + frame(BINARY, bytes(300)) + frame(TEXT, b"")
        in_pieces = [(data[at : at + most], True) for at in range(0, len(data), most)]
        reading, (heard, *_) = await heard_of(in_pieces, DirectConnection, hands_over=True)
        assert heard[:3] == ["grüß", bytes(300), ""]
        assert reading.directly == 3

    asyncio.run(run())


TREACHEROUS = [
    frame(TEXT, b"abcd", mask=b"\x81\x82\xfe\x7f"),  # the mask begins like a message
    frame(BINARY, frame(TEXT, b"not one"), mask=bytes(4)),
    frame(BINARY, b"abc" + frame(TEXT, b"not one"), mask=bytes(4)),
    frame(BINARY, frame(TEXT, b"not one") * 20, mask=bytes(4)),
    frame(PING, frame(TEXT, b"not one"), mask=bytes(4)),
    frame(0x02, frame(TEXT, b"not one"), mask=bytes(4)) + frame(CONT, frame(TEXT, b"nor this"), mask=bytes(4)),
    bytes([BINARY, 0xFF]) + struct.pack("!Q", 13) + bytes(4) + frame(TEXT, b"not one"),
]


@pytest.mark.parametrize("one", TREACHEROUS)
def test_wherever_a_frame_is_cut_in_two_nothing_within_it_is_taken_for_a_message(one):
    async def run():
        whole = await heard_of([(one + frame(TEXT, b"after"), True)], ServerConnection, hands_over=False)
        for at in range(1, len(one)):
            came = [(one[:at], True), (one[at:] + frame(TEXT, b"after"), True)]
            _, heard = await heard_of(came, DirectConnection, hands_over=True)
            assert heard == whole[1], f"cut at {at}"

    asyncio.run(run())


def test_of_one_read_only_so_many_messages_are_handed_over():
    async def run():
        many = b"".join(frame(TEXT, b"%d" % number) for number in range(2 * HANDED_OVER_AT_ONCE))
        reading, (heard, *_) = await heard_of([(many, True)], DirectConnection, hands_over=True)
        assert heard == [*map(str, range(2 * HANDED_OVER_AT_ONCE)), "closed"]
        assert reading.directly == HANDED_OVER_AT_ONCE
        assert reading.wire.most_paused == 1, "the rest is read no faster than it is taken"

    asyncio.run(run())


def test_where_something_came_right_behind_the_request_the_library_reads_by_itself():
    async def run():
        one = frame(TEXT, b"abcd", mask=b"\x81\x82\xfe\x7f")
        reading = Reading(DirectConnection, hands_over=True, behind=one[:2])
        await settle()
        reading.connection.data_received(one[2:] + frame(TEXT, b"after"))
        await settle()
        assert reading.heard == ["abcd", "after"]
        assert reading.directly == 0
        await reading.ended()

    asyncio.run(run())


@pytest.mark.parametrize("lacking", ["recv_messages.frames", "protocol.max_message_size"])
def test_a_library_that_has_changed_serves_by_itself_and_it_is_told_once(lacking, caplog):
    async def run():
        for _ in range(2):
            reading = Reading(DirectConnection, hands_over=True)
            await settle()
            holder, attribute = lacking.split(".")
            owner = getattr(reading.connection, holder)
            kept = getattr(owner, attribute)
            delattr(owner, attribute)
            reading.connection._see_where_it_begins(b"")
            setattr(owner, attribute, kept)
            reading.connection.data_received(frame(TEXT, b"all the same"))
            await settle()
            assert reading.heard == ["all the same"]
            assert reading.directly == 0
            await reading.ended()

    direct_connection._tell_unfamiliar.cache_clear()
    asyncio.run(run())
    assert [record.message for record in caplog.records] == [
        "this version of websockets is not known here: messages take the library's longer way"
    ]


def test_a_message_that_is_too_long_is_not_handed_over_either():
    async def run():
        came = [(frame(TEXT, bytes(MOST_BYTES)) + frame(TEXT, bytes(MOST_BYTES + 1)), True)]
        reading, (heard, *_) = await heard_of(came, DirectConnection, hands_over=True)
        assert heard == ["\0" * MOST_BYTES, "closed"]
        assert reading.connection.protocol.close_sent.code == 1009

    asyncio.run(run())


def test_a_message_in_the_middle_of_another_is_as_wrong_as_ever():
    async def run():
        came = [(frame(0x01, b"begun"), True), (frame(TEXT, b"another"), True)]
        reading, (heard, *_) = await heard_of(came, DirectConnection, hands_over=True)
        assert heard == ["closed"]
        assert reading.wire.written.startswith(b"\x88"), "it is closed with a reason"

    asyncio.run(run())


def test_after_what_is_left_to_the_library_messages_are_handed_over_again():
    async def run():
        came = [
            (frame(0x01, b"frag") + frame(CONT, b"ment"), True),
            (frame(TEXT, b"whole"), True),
            (frame(PING, b"?"), True),
        ]
        reading, (heard, written, *_) = await heard_of(
            [*came, (frame(TEXT, b"again"), True)], DirectConnection, hands_over=True
        )
        assert heard == ["fragment", "whole", "again", "closed"]
        assert reading.directly == 2
        assert written.endswith(b"\x8a\x01?")

    asyncio.run(run())


def test_a_message_does_not_overtake_one_that_nobody_has_read_yet():
    async def run():
        came = [(frame(0x01, b"first, ") + frame(CONT, b"in two"), False), (frame(TEXT, b"second"), False)]
        _, (heard, *_) = await heard_of(came, DirectConnection, hands_over=True)
        assert heard == ["first, in two", "second", "closed"]

    asyncio.run(run())


def test_whoever_takes_no_more_leaves_the_rest_to_be_read():
    async def run():
        reading = Reading(DirectConnection, hands_over=False)
        await settle()

        def only_one(message):
            reading.heard.append(f"directly: {message}")
            reading.connection.hand_to(None)

        reading.connection.hand_to(only_one)
        reading.connection.data_received(frame(TEXT, b"one") + frame(TEXT, b"two"))
        await settle()
        assert reading.heard == ["directly: one", "two"]
        await reading.ended()

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_what_is_written_is_what_the_library_writes(kind, size):
    async def run():
        message = "é" * (size // 2) + "x" * (size % 2) if kind == "text" else bytes(size)
        ours, theirs = Reading(DirectConnection, hands_over=False), Reading(ServerConnection, hands_over=False)
        await settle()
        ours.wire.written = theirs.wire.written = b""
        ours.connection.write_message(message)
        await theirs.connection.send(message)
        assert ours.wire.written == theirs.wire.written
        await ours.ended()
        await theirs.ended()

    asyncio.run(run())


def test_nothing_is_written_on_a_connection_that_is_being_closed():
    async def run():
        reading = Reading(DirectConnection, hands_over=False)
        await settle()
        reading.connection.data_received(frame(CLOSE, b"\x03\xe8"))
        written = reading.wire.written
        reading.connection.write_message("too late")
        assert reading.wire.written == written
        await reading.ended()

    asyncio.run(run())


def test_what_is_added_to_the_librarys_connection_takes_no_room_in_its_dictionary():
    async def scenario():
        ours, theirs = Reading(DirectConnection, hands_over=True), Reading(ServerConnection, hands_over=False)
        assert vars(ours.connection).keys() == vars(theirs.connection).keys()
        assert len(vars(ours.connection)) <= 30, "Python 3.11 keeps no more beside each other"

    asyncio.run(scenario())
