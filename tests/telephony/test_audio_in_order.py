"""Audio that overtook other audio on its way: heard in its order, each piece once, and never long after its time."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.telephony.test_socket_leg import driven, settle
from tests.telephony.wire_examples import telnyx_media, telnyx_start
from voiceagent.telephony.reordering import MAX_HELD, WAITS_MS, Reordering
from voiceagent.telephony.telnyx import TelnyxDialect

STOP = '{"event":"stop","stream_id":"S1"}'


def frame(number, **changes):
    payload = base64.b64encode(bytes([number]) * 160).decode()
    return telnyx_media(payload, **({"chunk": str(number), "timestamp": str(number * 20)} | changes))


class Line:
    """A line whose audio comes in any order."""

    def __init__(self, rig):
        self.rig = rig
        self._known = 0

    async def hears(self, *messages):
        """Return the numbers of the frames that reach the call now, 255 for 20 ms of silence."""
        await self.rig.hear(*messages)
        new = self.rig.call.audio[self._known :]
        self._known += len(new)
        return [new[at] for at in range(0, len(new), 160)]

    async def hears_after(self, ms):
        self.rig.clock.advance(ms)
        return await self.hears()


def on_a_line(clock, scenario):
    async def with_the_call_begun(rig):
        await rig.hear(telnyx_start())
        rig.leg.attach(rig.call)
        await scenario(Line(rig))

    driven(clock, with_the_call_begun, start=False, dialect=TelnyxDialect())


@pytest.mark.parametrize(
    ("messages", "heard"),
    [
        ([frame(n) for n in (1, 3, 2, 2, 4, 6, 7, 5, 3, 8)], [1, 2, 3, 4, 5, 6, 7, 8]),
        ([frame(n, chunk=None) for n in (1, 3, 2, 4)], [1, 2, 3, 4]),
        ([frame(n, chunk=None, timestamp=None) for n in (1, 3, 2)], [1, 3, 2]),
        ([frame(1), frame(3), STOP], [1, 3]),
    ],
    ids=["by their numbers", "by their time", "by neither", "at the end"],
)
def test_frames_that_overtook_each_other_are_heard_in_order_and_each_once(clock, messages, heard):
    async def scenario(line):
        assert await line.hears(*messages) == heard

    on_a_line(clock, scenario)


def test_a_lost_frame_is_waited_for_until_three_have_come_after_it(clock):
    async def scenario(line):
        assert await line.hears(frame(1), frame(3), frame(4)) == [1]
        assert await line.hears(frame(5), frame(6)) == [3, 4, 5, 6]
        assert await line.hears(frame(2)) == []
        assert line.rig.leg.counts["audio twice or too late"] == 1

    on_a_line(clock, scenario)


def test_what_waits_for_a_lost_frame_is_heard_in_time_and_before_any_silence(clock):
    async def scenario(line):
        assert await line.hears(frame(1)) == [1]
        line.rig.clock.advance(40)
        assert await line.hears(frame(3)) == []
        assert await line.hears_after(WAITS_MS - 20) == []
        assert await line.hears_after(20) == [3]
        assert set(await line.hears_after(100)) == {255}
        assert await line.hears(frame(2), frame(4)) == [4]

    on_a_line(clock, scenario)


def test_a_frame_that_comes_late_while_others_wait_is_heard_where_it_belongs(clock):
    async def scenario(line):
        assert await line.hears(frame(1)) == [1]
        line.rig.clock.advance(40)
        await line.hears(frame(3))
        line.rig.clock.advance(40)
        assert await line.hears(frame(2)) == [2, 3]
        await settle()

    on_a_line(clock, scenario)


@pytest.mark.parametrize("wild", ["999999999", "0"])
def test_numbers_that_jump_cost_ten_frames_at_most(clock, wild):
    async def scenario(line):
        await line.hears(frame(100), frame(101, chunk=wild))
        assert await line.hears(*[frame(n) for n in range(101, 120)]) == list(range(101, 120))
        assert len(await line.hears(*[frame(n) for n in range(1, 30)])) >= 20

    on_a_line(clock, scenario)


@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8), max_size=3))
def test_any_order_gives_a_rising_one_and_keeps_little(order, lost):
    pieces = Reordering()
    out = []
    for number in (0, *order):
        if number in lost:
            continue
        out += pieces.take(number, number, 0) or []
        assert len(pieces._held) < MAX_HELD
    out += pieces.rest()
    assert out == sorted(set(out))


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 100)), max_size=60))
def test_any_numbers_are_taken_each_once_and_never_kept_for_long(numbers):
    pieces = Reordering()
    out, now_ms = [], 0
    for at, (number, later_ms) in enumerate(numbers):
        now_ms += later_ms
        out += pieces.overdue(now_ms)
        out += pieces.take(number, at, now_ms) or []
        assert len(pieces._held) < MAX_HELD
    out += pieces.overdue(now_ms + WAITS_MS)
    assert not pieces.waits
    assert len(out) == len(set(out))
