"""Audio that overtook other audio on its way: heard in its order, each piece once, and never long after its time."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.telephony.test_socket_leg import driven, settle
from tests.telephony.wire_examples import telnyx_media, telnyx_start
from voiceagent.telephony.codec import Place
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


def test_an_echo_of_ten_frames_is_not_heard_and_costs_nothing(clock):
    async def scenario(line):
        assert await line.hears(*[frame(n) for n in range(1, 31)]) == list(range(1, 31))
        assert await line.hears(*[frame(n) for n in range(11, 31)]) == []
        assert await line.hears(frame(31), frame(32)) == [31, 32]

    on_a_line(clock, scenario)


def test_a_frame_waits_for_its_own_gap_and_not_for_the_one_before(clock):
    async def scenario(line):
        assert await line.hears(frame(1), frame(3)) == [1]
        line.rig.clock.advance(40)
        assert await line.hears(frame(5), frame(2)) == [2, 3]
        assert await line.hears_after(20) == []
        assert await line.hears(frame(4)) == [4, 5]

    on_a_line(clock, scenario)


@pytest.mark.parametrize("times", [(20, 39, 61, 79, 100), (20, 40, 40, 60, 80), (20, 49, 60, 80, 100)])
def test_times_that_are_not_exact_cost_no_frame(clock, times):
    async def scenario(line):
        frames = [frame(n, chunk=None, timestamp=str(ms)) for n, ms in enumerate(times, start=1)]
        heard = await line.hears(*frames)
        assert heard + await line.hears_after(WAITS_MS) == [1, 2, 3, 4, 5]

    on_a_line(clock, scenario)


def test_a_piece_twice_as_long_stands_where_its_time_says(clock):
    async def scenario(line):
        both = base64.b64encode(b"\x02" * 320).decode()
        assert await line.hears(
            frame(1, chunk=None), telnyx_media(both, chunk=None, timestamp="40"), frame(4, chunk=None, timestamp="80")
        ) == [1, 2, 2, 4]

    on_a_line(clock, scenario)


@st.composite
def overtaking(draw, places):
    """Return (number, place, arrival in ms): two others at most overtake each, which comes less than 60 ms later."""
    waiting, arrivals, now_ms = list(range(1, len(places))), [(0, places[0], 0)], 0
    overtaken = {number: [] for number in waiting}
    while waiting:
        due = next((at for at, number in enumerate(waiting) if len(overtaken[number]) == MAX_HELD - 1), MAX_HELD - 1)
        chosen = waiting.pop(draw(st.integers(0, min(due, len(waiting) - 1))))
        until_ms = min((overtaken[number][0] for number in (chosen, *waiting) if overtaken[number]), default=now_ms)
        now_ms += draw(st.integers(0, until_ms + WAITS_MS - 1 - now_ms))
        for number in waiting:
            overtaken[number] += [now_ms] if number < chosen else []
        arrivals.append((chosen, places[chosen], now_ms))
    return arrivals


def heard_of(arrivals):
    """Return (number, how long it waited) of what is heard, looking at the clock every millisecond."""
    pieces, came_ms, heard, looked_ms = Reordering(), {}, [], 0
    for number, place, at_ms in arrivals:
        for now_ms in range(looked_ms, at_ms + 1):
            heard += [(piece, now_ms - came_ms[piece]) for piece in pieces.overdue(now_ms)]
        freed = pieces.take(place, number, at_ms)
        if freed is not None:
            came_ms[number] = at_ms
            heard += [(piece, at_ms - came_ms[piece]) for piece in freed]
        assert len(pieces._held) < MAX_HELD
        looked_ms = at_ms
    for at_ms in range(looked_ms, looked_ms + WAITS_MS + 1):
        heard += [(piece, at_ms - came_ms[piece]) for piece in pieces.overdue(at_ms)]
    assert not pieces.waits
    return heard


NUMBERED = [Place(number) for number in range(20)]


@given(st.data())
def test_nothing_is_lost_or_doubled_that_is_overtaken_within_the_window_and_nothing_waits_for_long(data):
    heard = heard_of(data.draw(overtaking(NUMBERED)))
    assert [number for number, _ in heard] == list(range(20))
    assert max(waited for _, waited in heard) <= WAITS_MS


@given(st.data())
def test_so_it_is_where_there_are_times_only_and_they_are_not_exact(data):
    places = [Place(number * 20 + data.draw(st.integers(-4, 4)), 20) for number in range(20)]
    heard = heard_of(data.draw(overtaking(places)))
    assert [number for number, _ in heard] == list(range(20))
    assert max(waited for _, waited in heard) <= WAITS_MS


@given(st.permutations(range(1, 13)), st.sets(st.integers(1, 12), max_size=4), st.lists(st.integers(0, 50)))
def test_in_any_order_with_losses_and_echoes_nothing_is_heard_twice_and_nothing_waits_for_long(order, lost, gaps):
    now_ms, arrivals = 0, [(0, Place(0), 0)]
    for at, number in enumerate(number for number in order if number not in lost):
        now_ms += gaps[at % len(gaps)] if gaps else 20
        arrivals.append((number, Place(number), now_ms))
    heard = heard_of([*arrivals, *((number, place, now_ms) for number, place, _ in arrivals)])
    assert len({number for number, _ in heard}) == len(heard)
    assert max(waited for _, waited in heard) <= WAITS_MS


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 100), st.sampled_from([1, 20])), max_size=60))
def test_any_places_are_taken_each_once_and_never_kept_for_long(numbers):
    pieces = Reordering()
    out, now_ms = [], 0
    for at, (number, later_ms, length) in enumerate(numbers):
        now_ms += later_ms
        out += pieces.overdue(now_ms)
        out += pieces.take(Place(number, length), at, now_ms) or []
        assert len(pieces._held) < MAX_HELD
    out += pieces.overdue(now_ms + WAITS_MS)
    assert not pieces.waits
    assert len(out) == len(set(out))
