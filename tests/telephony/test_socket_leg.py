"""The driver on a clock that the test moves: gaps, pacing, clears, and how a leg ends."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from dataclasses import replace

import pytest

from voiceagent.core.events import DigitsPressed, LegLost, PlayoutReached, PlayoutStarted, PlayoutStopped
from voiceagent.core.ids import LegId
from voiceagent.errors import CallLost
from voiceagent.ports import Announcement
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_control import Dialled
from voiceagent.telephony.codec import Answer, BufferFree, BufferFull, HangUp
from voiceagent.telephony.consultations import Consultations
from voiceagent.telephony.detecting import DetectingDialect
from voiceagent.telephony.driver import (
    MAX_DROPPED,
    MAX_EARLY_MS,
    MAX_REFUSED,
    SEND_DEADLINE_MS,
    SETTLE_MS,
    START_DEADLINE_MS,
    SocketLeg,
)
from voiceagent.telephony.leg_ending import ANSWERED_WITHIN_MS, LEAVES_WITHIN_MS
from voiceagent.telephony.leg_socket import MAX_WAITING_BYTES
from voiceagent.telephony.pacing import CATCH_UP_MS, MARK_GRACE_MS
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import ASKED_WITHIN_MS, Handover, Transfers
from voiceagent.telephony.twilio import TWILIO_FEATURES, TwilioDialect

START = json.dumps(
    {
        "event": "start",
        "streamSid": "MZ0",
        "start": {
            "streamSid": "MZ0",
            "callSid": "CA0",
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
)
STOP = '{"event":"stop","streamSid":"MZ0"}'
SILENT_FRAME = b"\xff" * 160


def media(audio=b"\x11" * 160):
    return json.dumps({"event": "media", "media": {"payload": base64.b64encode(audio).decode()}})


def digit(key):
    return json.dumps({"event": "dtmf", "dtmf": {"digit": key}})


def mark(name):
    return json.dumps({"event": "mark", "mark": {"name": name}})


class PairedSocket:
    """A socket whose other end is in the test's hand."""

    def __init__(self):
        self.incoming = asyncio.Queue()
        self.written = []
        self.unsent_bytes = 0
        self.closed_with = None
        self.closed_in_order = False

    async def __aiter__(self):
        while (message := await self.incoming.get()) is not None:
            yield message

    def come(self, message):
        self.incoming.put_nowait(message)

    def write(self, message):
        self.written.append(json.loads(message))

    @property
    def end(self):
        return "connection lost (1006)"

    async def close(self, code, reason):
        if self.closed_with is None:
            self.closed_with = (code, reason)
            self.incoming.put_nowait(None)

    def abort(self):
        if self.closed_with is None:
            self.closed_with = "aborted"
            self.incoming.put_nowait(None)


class HandingSocket(PairedSocket):
    """One that gives messages away where they come in, as far as somebody takes them."""

    receive = None

    def hand_to(self, receive):
        self.receive = receive

    def come(self, message):
        if message is None or self.receive is None or not self.incoming.empty():
            super().come(message)
        else:
            self.receive(message)


@pytest.fixture(params=[PairedSocket, HandingSocket], autouse=True)
def kind_of_socket(request, monkeypatch):
    monkeypatch.setattr(Rig, "kind_of_socket", request.param)


class Call:
    """What a session would get."""

    def __init__(self):
        self.audio = b""
        self.events = []
        self.order = []

    def audio_arrived(self, audio):
        self.audio += audio
        self.order.append("audio")

    def post(self, event):
        self.events.append(event)
        self.order.append(event)


async def settle():
    """Let every task run as far as it can without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


class Rig:
    """A leg, the far end of its socket, and the call that it reports to."""

    kind_of_socket = PairedSocket

    def __init__(self, clock, dialect, controls=None, **extra):
        self.clock = clock
        self.transfers = Transfers({"support": "+4930"}, clock, MemoryStore(clock))
        self.socket = self.kind_of_socket()
        self.ticker = Ticker(clock)
        self.leg = SocketLeg(
            LegId("l1"),
            socket=self.socket,
            dialect=dialect,
            clock=clock,
            ticker=self.ticker,
            lead_ms=400,
            transfers=self.transfers,
            controls=controls,
            **extra,
        )
        self.call = Call()
        self.started = []
        self.refusal = None

    async def serve(self):
        await self.socket.close(*await self.leg.run(self.on_start))

    def on_start(self, started):
        self.started.append(started)
        return self.refusal

    async def hear(self, *messages):
        for message in messages:
            self.socket.come(message)
        await settle()

    async def pass_ms(self, ms):
        """Pass time with the caller silent but connected: a frame every 20 ms."""
        for _ in range(ms // 20):
            self.clock.advance(20)
            await self.hear(media())

    @property
    def kinds(self):
        return [message["event"] for message in self.socket.written]

    @property
    def marks(self):
        return [message["mark"]["name"] for message in self.socket.written if message["event"] == "mark"]

    @property
    def sent_ms(self):
        return sum(len(base64.b64decode(m["media"]["payload"])) for m in self.socket.written if "media" in m) // 8


def driven(clock, scenario, *, start=True, attach=True, dialect=None, controls=None, **extra):
    """Run a scenario against a leg, and see that nothing is left of it afterwards."""

    async def run():
        rig = Rig(clock, dialect or TwilioDialect(), controls, **extra)
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(rig.serve())
            if start:
                await rig.hear(START)
                if attach:
                    rig.leg.attach(rig.call)
            await scenario(rig)
            rig.socket.abort()
            await reader
        assert not rig.ticker.running or clock.timers <= 1
        clock.advance(20)
        assert clock.timers == 0, "a leg that is over leaves no timer behind"
        assert sum(isinstance(event, LegLost) for event in rig.call.events) <= 1

    asyncio.run(run())


def test_caller_audio_and_digits_reach_the_call_in_order(clock):
    async def scenario(rig):
        await rig.hear(media(b"\x01" * 160), digit("4"), media(b"\x02" * 160))
        assert rig.call.audio == b"\x01" * 160 + b"\x02" * 160
        assert rig.call.order == ["audio", DigitsPressed("4"), "audio"]

    driven(clock, scenario)


def steps(do):
    """Return how many functions of the package are called, properties and all: what a frame costs, on any machine."""
    counted = 0

    def count(frame, event, _):
        nonlocal counted
        counted += event == "call" and "voiceagent/" in frame.f_code.co_filename

    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(None)
    return counted


def test_a_frame_takes_few_steps_to_the_call_and_the_beat_of_a_listening_call_hardly_any(clock):
    async def scenario(rig):
        if not isinstance(rig.socket, HandingSocket):
            return
        await rig.hear(media(), media())
        assert steps(lambda: rig.socket.come(media())) <= 10
        clock.advance(20)
        await rig.hear(media())
        assert steps(lambda: clock.advance(20)) <= 6

    driven(clock, scenario)


def test_nothing_is_heard_behind_the_end_of_the_stream(clock):
    async def scenario(rig):
        rig.socket.come(STOP)
        rig.socket.come(media())
        rig.socket.come(digit("4"))
        await settle()
        assert (rig.call.audio, [type(event) for event in rig.call.events]) == (b"", [LegLost])
        assert rig.socket.closed_with == (1000, "caller hung up")

    driven(clock, scenario)


def test_what_goes_wrong_over_a_message_ends_its_leg_and_is_told_to_whoever_serves_it(clock):
    class Broken(TwilioDialect):
        def receive(self, message):
            return super().receive(message) if message == START else [1 / 0]

    async def run():
        rig = Rig(clock, Broken())
        serving = asyncio.create_task(rig.serve())
        await rig.hear(START)
        rig.leg.attach(rig.call)
        rig.socket.come(media())
        rig.socket.come(media())
        with pytest.raises(ZeroDivisionError):
            await serving
        assert [type(event) for event in rig.call.events] == [LegLost]
        clock.advance(20)
        assert clock.timers == 0

    asyncio.run(run())


def test_what_came_before_the_call_listened_is_handed_over_first(clock):
    async def scenario(rig):
        await rig.hear(media(b"\x01" * 160), digit("4"), digit("2"))
        rig.leg.attach(rig.call)
        await rig.hear(media(b"\x02" * 160))
        assert rig.call.order == ["audio", DigitsPressed("4"), DigitsPressed("2"), "audio"]

    driven(clock, scenario, attach=False)


def test_a_call_that_listens_when_the_caller_has_gone_hears_them_out_and_then_that_they_have_gone(clock):
    async def scenario(rig):
        await rig.hear(media(b"\x01" * 160), digit("4"), STOP)
        await settle()
        rig.leg.attach(rig.call)
        assert rig.call.order == ["audio", DigitsPressed("4"), LegLost(rig.leg.id, "caller hung up", may_return=False)]
        rig.leg.detected("machine_start")
        assert len(rig.call.order) == 3, "nothing is told of a leg that is over"

    driven(clock, scenario, attach=False)


def test_only_the_latest_audio_is_kept_for_a_call_that_does_not_come(clock):
    async def scenario(rig):
        for number in range(15):
            clock.advance(1000)
            await rig.hear(*[media(bytes([number]) * 8000)] * 1)
        rig.leg.attach(rig.call)
        assert len(rig.call.audio) <= MAX_EARLY_MS * 8
        assert rig.call.audio.endswith(bytes([14]) * 8000)
        assert rig.leg.counts["early audio dropped"] > 0

    driven(clock, scenario, attach=False)


def test_where_the_carrier_sends_nothing_silence_arrives_in_time(clock):
    async def scenario(rig):
        await rig.hear(media())
        clock.advance(1000)
        silence = rig.call.audio[160:]
        assert set(silence) == {0xFF}
        assert 900 <= len(silence) // 8 <= 1000
        await rig.pass_ms(200)
        heard = len(rig.call.audio) // 8
        assert heard <= 1240

    driven(clock, scenario)


def test_no_silence_is_added_while_frames_come(clock):
    async def scenario(rig):
        await rig.pass_ms(2_000)
        assert rig.call.audio == b"\x11" * 16_000

    driven(clock, scenario)


def test_speech_is_played_and_what_was_heard_is_told(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 800)
        assert rig.kinds == ["media"]
        assert rig.call.events == [PlayoutStarted("a1", clock.now_ms())]
        rig.leg.end_clause("a1", 0, last=True)
        assert rig.kinds == ["media", "mark"]
        await rig.pass_ms(120)
        await rig.hear(mark(rig.marks[0]))
        assert rig.call.events[-1] == PlayoutReached("a1", 0, 100, finished=True)

    driven(clock, scenario)


def test_a_long_reply_stays_four_hundred_milliseconds_ahead(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 3_000)
        assert rig.sent_ms == CATCH_UP_MS, "it begins at once, but not with a burst"
        await rig.pass_ms(300)
        for passed in range(300, 2_000, 100):
            assert 280 <= rig.sent_ms - passed <= 400
            await rig.pass_ms(100)

    driven(clock, scenario)


def test_clear_reaches_the_socket_before_anything_else_happens(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 3_000)
        rig.leg.end_clause("a1", 0, last=True)
        await rig.pass_ms(200)
        rig.leg.clear()
        assert rig.kinds[-1] == "clear"
        assert rig.call.events[-1] == PlayoutStopped("a1", 200, exact=False)
        written = len(rig.socket.written)
        await rig.pass_ms(500)
        assert len(rig.socket.written) == written

    driven(clock, scenario)


def test_marks_that_a_clear_sends_back_complete_nothing(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 800)
        rig.leg.end_clause("a1", 0, last=True)
        rig.leg.clear()
        events = len(rig.call.events)
        await rig.hear(mark(rig.marks[0]))
        assert len(rig.call.events) == events
        assert rig.leg.counts["mark of no meaning"] == 0, "a carrier does so after every clear"
        await rig.hear(mark("9.1"), mark("x"), mark("0" * 5_000 + ".1"))
        assert rig.leg.counts["mark of no meaning"] == 3
        rig.leg.play("a2", b"x" * 800)
        rig.leg.end_clause("a2", 0, last=True)
        await rig.hear(mark(rig.marks[0]), mark(rig.marks[1]))
        assert rig.call.events[-1] == PlayoutReached("a2", 0, 100, finished=True)

    driven(clock, scenario)


def test_hanging_up_waits_until_the_last_words_were_heard(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        rig.leg.end_clause("a1", 0, last=True)
        hanging_up = asyncio.create_task(rig.leg.hang_up(drain=True))
        await rig.pass_ms(1_000)
        assert rig.sent_ms == 1_000
        await rig.hear(mark(rig.marks[-2]))
        await rig.pass_ms(SETTLE_MS + 20)
        assert rig.socket.closed_with is None, "the final mark is still out"
        await rig.hear(mark(rig.marks[-1]))
        assert rig.socket.closed_with is None
        await rig.pass_ms(SETTLE_MS)
        await hanging_up
        assert rig.socket.closed_with == (1000, "agent hung up")
        assert rig.call.events[-1] == LegLost("l1", "agent hung up")

    driven(clock, scenario)


def test_hanging_up_does_not_wait_for_ever_for_marks_that_do_not_come(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        hanging_up = asyncio.create_task(rig.leg.hang_up(drain=True))
        await settle()
        await rig.pass_ms(6_000)
        await hanging_up
        assert rig.socket.closed_with == (1000, "agent hung up")

    driven(clock, scenario)


def test_hanging_up_with_nothing_to_say_is_immediate(clock):
    async def scenario(rig):
        await rig.leg.hang_up(drain=True)
        assert rig.socket.closed_with == (1000, "agent hung up")

    driven(clock, scenario)


def test_hanging_up_without_draining_cuts_a_drain_short(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 10_000)
        draining = asyncio.create_task(rig.leg.hang_up(drain=True))
        await settle()
        at_once = asyncio.create_task(rig.leg.hang_up(drain=False))
        await settle()
        assert rig.kinds[-1] == "clear"
        await rig.pass_ms(SETTLE_MS)
        await asyncio.gather(draining, at_once)
        rig.leg.play("a2", bytes(160))
        assert rig.leg.counts["speech dropped"] == 1

    driven(clock, scenario)


def test_a_caller_who_hangs_up_ends_the_leg_and_says_what_was_heard(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        await rig.pass_ms(100)
        await rig.hear(STOP)
        assert rig.call.events[-2:] == [PlayoutStopped("a1", 100, exact=False), LegLost("l1", "caller hung up")]
        await rig.leg.hang_up(drain=True)

    driven(clock, scenario)


def test_a_leg_that_ends_as_it_should_leaves_no_line_of_oddities(clock, caplog):
    async def scenario(rig):
        await rig.hear('{"event":"connected"}', STOP)
        assert rig.leg.counts == {"connected": 1}

    with caplog.at_level("INFO"):
        driven(clock, scenario)
    assert caplog.text == ""


def test_a_connection_that_breaks_ends_the_leg(clock):
    async def scenario(rig):
        await rig.hear(None)
        assert rig.call.events == [LegLost("l1", "connection lost (1006)", may_return=True)]

    driven(clock, scenario)


def test_a_far_side_that_takes_nothing_is_given_up_at_the_deadline(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 60_000)
        rig.socket.unsent_bytes = 60_000
        await rig.pass_ms(SEND_DEADLINE_MS - 40)
        assert rig.sent_ms == CATCH_UP_MS, "audio is held back where a clear can still drop it"
        await rig.pass_ms(80)
        assert rig.socket.closed_with == "aborted"
        assert rig.call.events[-1] == LegLost("l1", "the far side takes nothing", may_return=True)

    driven(clock, scenario)


@pytest.mark.parametrize("at", range(5))
def test_a_far_side_that_takes_what_it_is_sent_in_bursts_keeps_its_call(clock, at):
    async def scenario(rig):
        for beat in range((SEND_DEADLINE_MS + 5_000) // 20):
            rig.socket.unsent_bytes = 0 if beat % 5 == at else 60_000
            await rig.pass_ms(20)
        assert rig.socket.closed_with is None

    driven(clock, scenario)


def test_nothing_is_sent_or_told_on_a_leg_that_has_been_given_up(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 10_000)
        rig.leg.end_clause("a1", 0, last=True)
        rig.leg.play("a2", b"y" * 8 * 30_000)
        abort = rig.socket.abort

        def abort_and_drop_what_waits():
            rig.socket.unsent_bytes = 0
            abort()

        rig.socket.abort = abort_and_drop_what_waits
        rig.socket.unsent_bytes = 60_000
        sent_ms = rig.sent_ms
        await rig.pass_ms(SEND_DEADLINE_MS + 200)
        assert rig.socket.closed_with == "aborted"
        assert rig.sent_ms == max(sent_ms, CATCH_UP_MS)
        assert not [event for event in rig.call.events if isinstance(event, PlayoutStarted) and event.utterance == "a2"]

    driven(clock, scenario)


def test_speech_that_the_far_side_does_not_take_is_dropped_as_its_time_passes(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 15_000)
        rig.leg.end_clause("a1", 0, last=True)
        rig.leg.play("a2", b"y" * 8 * 2_000)
        rig.socket.unsent_bytes = 60_000
        await rig.pass_ms(12_000)
        rig.socket.unsent_bytes = 0
        assert rig.sent_ms == CATCH_UP_MS, "nothing is pushed into a socket that takes nothing"
        assert 11_500 <= rig.leg.counts["ms of speech not taken"] <= 12_000
        await rig.pass_ms(6_000)
        assert rig.sent_ms + rig.leg.counts["ms of speech not taken"] == 17_000, "it goes on where a live line would"

    driven(clock, scenario)


def test_a_sentence_that_nobody_took_is_over_for_the_call_too(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        rig.leg.end_clause("a1", 0, last=True)
        rig.socket.unsent_bytes = 60_000
        await rig.pass_ms(4_000)
        assert rig.call.events[-1] == PlayoutReached("a1", 0, CATCH_UP_MS, finished=True)

    driven(clock, scenario)


def test_after_a_stall_speech_is_caught_up_with_and_not_poured_out(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 10_000)
        await rig.pass_ms(2_000)
        sent_ms = rig.sent_ms
        clock.stall(500)
        await rig.pass_ms(20)
        assert rig.sent_ms - sent_ms <= CATCH_UP_MS
        await rig.pass_ms(1_000)
        heard_ms = 2_000 + 400 + 1_020
        assert 280 <= rig.sent_ms - heard_ms <= 400, "and soon it is as far ahead as before"

    driven(clock, scenario)


def test_a_server_that_leaves_says_so_when_the_agent_hangs_up(clock):
    async def scenario(rig):
        rig.leg.leave()
        await rig.leg.hang_up(drain=True)
        assert rig.socket.closed_with == (1001, "server is going away")

    driven(clock, scenario)


def test_a_socket_that_never_starts_is_closed(clock):
    async def scenario(rig):
        await rig.hear('{"event":"connected"}')
        clock.advance(START_DEADLINE_MS)
        await settle()
        assert rig.socket.closed_with == (1008, "no start")

    driven(clock, scenario, start=False)


def test_a_call_may_be_refused_when_it_names_itself(clock):
    async def scenario(rig):
        rig.refusal = "token of another call"
        await rig.hear(START)
        assert rig.socket.closed_with == (1008, "token of another call")

    driven(clock, scenario, start=False)


def test_a_second_start_is_refused_and_the_call_goes_on(clock):
    async def scenario(rig):
        await rig.hear(START, media())
        assert len(rig.started) == 1
        assert rig.leg.counts["second start"] == 1
        assert len(rig.call.audio) == 160

    driven(clock, scenario)


def test_so_much_nonsense_is_too_much(clock):
    async def scenario(rig):
        await rig.hear(*["nonsense"] * MAX_REFUSED)
        assert rig.socket.closed_with is None
        await rig.hear("nonsense")
        assert rig.socket.closed_with == (1008, "too many refused messages")

    driven(clock, scenario)


def test_refusals_long_ago_are_forgiven(clock):
    async def scenario(rig):
        for _ in range(3):
            await rig.hear(*["nonsense"] * MAX_REFUSED)
            await rig.pass_ms(MAX_REFUSED * 1_000)
        assert rig.socket.closed_with is None

    driven(clock, scenario)


def test_a_flood_of_messages_is_dropped_unread_and_counted(clock):
    async def scenario(rig):
        await rig.hear(*[mark("x")] * 2_500)
        assert rig.socket.closed_with is None
        assert rig.leg.counts["mark of no meaning"] == 1_999, "the start was one of two thousand"
        assert rig.leg.counts["message faster than any call"] == 501
        await rig.pass_ms(100)
        await rig.hear(digit("1"))
        assert rig.call.events[-1] == DigitsPressed("1"), "once it is over the call goes on"

    driven(clock, scenario)


def test_a_flood_that_does_not_end_ends_its_connection(clock):
    async def scenario(rig):
        await rig.hear(*[mark("x")] * (2_000 + MAX_DROPPED - 1))
        assert rig.socket.closed_with is None
        assert rig.leg.counts["message faster than any call"] == MAX_DROPPED
        await rig.hear(mark("x"))
        assert rig.socket.closed_with == (1008, "too many messages")

    driven(clock, scenario)


def test_floods_long_ago_are_forgiven(clock):
    async def scenario(rig):
        for _ in range(2):
            await rig.hear(*[mark("x")] * (2_000 + MAX_DROPPED - 1))
            clock.stall(MAX_DROPPED * 10)
        assert rig.socket.closed_with is None

    driven(clock, scenario)


@pytest.mark.parametrize("start", [True, False])
def test_a_far_side_for_which_too_much_waits_is_given_up_soon_also_before_it_has_started(clock, start):
    async def scenario(rig):
        await settle()
        rig.socket.unsent_bytes = MAX_WAITING_BYTES
        clock.advance(200)
        assert rig.socket.closed_with is None
        rig.socket.unsent_bytes += 1
        clock.advance(100)
        assert rig.socket.closed_with == "aborted"

    driven(clock, scenario, start=start)


def test_a_flood_of_digits_is_dropped_and_counted(clock):
    async def scenario(rig):
        await rig.hear(*[digit("1")] * 500)
        assert rig.socket.closed_with is None
        assert rig.leg.counts["digit faster than fingers"] == 440
        assert sum(isinstance(event, DigitsPressed) for event in rig.call.events) == 60

    driven(clock, scenario)


def test_audio_ten_times_faster_than_time_is_dropped_and_counted(clock):
    async def scenario(rig):
        for _ in range(100):
            clock.advance(20)
            await rig.hear(*[media()] * 10)
        assert rig.socket.closed_with is None
        assert len(rig.call.audio) // 8 <= 2_000 + 2_000 + 40
        assert rig.leg.counts["audio faster than time"] > 700

    driven(clock, scenario)


def test_a_call_that_fails_in_a_tick_ends_and_is_not_left_silent(clock, caplog):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 800)
        rig.leg.play("a2", b"x" * 800)

        def broken(event):
            raise ValueError(event)

        good, rig.call.post = rig.call.post, broken
        clock.advance(140)
        rig.call.post = good
        await settle()
        assert rig.socket.closed_with == "aborted"
        assert rig.call.events[-1] == LegLost("l1", "internal error", may_return=True)

    driven(clock, scenario)
    assert "failed in its tick" in caplog.text


class _DialectWithKeys(TwilioDialect):
    features = replace(TWILIO_FEATURES, dialect="keys", digits_out="in_band")


def test_digits_go_out_where_the_dialect_has_a_message_for_them(clock):
    async def scenario(rig):
        rig.leg.send_digits("12")
        assert [message["dtmf"] for message in rig.socket.written] == [{"digit": "1"}, {"digit": "2"}]
        assert rig.leg.counts["digits not sent"] == 0

    driven(clock, scenario, dialect=_DialectWithKeys())


def test_digits_are_not_pretended(clock, caplog):
    async def scenario(rig):
        rig.leg.send_digits("12")
        assert "2 keys are not pressed: twilio has no way" in caplog.text
        assert rig.socket.written == []
        assert rig.leg.counts["digits not sent"] == 2

    driven(clock, scenario)


def test_a_caller_is_handed_over_once_the_last_words_were_heard(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await rig.pass_ms(1_000)
        assert rig.socket.closed_with is None
        await rig.hear(mark(rig.marks[-1]))
        await rig.pass_ms(SETTLE_MS)
        await handing_over
        assert rig.socket.closed_with == (1000, "agent hung up")
        assert await rig.transfers.next_of("CA0") == Handover("+4930")
        clock.advance(ASKED_WITHIN_MS + 2 * MARK_GRACE_MS)
        assert await rig.transfers.next_of("CA0") is None

    driven(clock, scenario)


def test_nobody_is_handed_over_to_a_target_without_a_number(clock):
    async def scenario(rig):
        with pytest.raises(CallLost, match="no number is given for sales"):
            await rig.leg.transfer("sales")
        assert rig.socket.closed_with is None, "somebody has to tell the caller"
        rig.leg.play("a1", b"x" * 800)
        assert rig.kinds == ["media"]

    driven(clock, scenario)


def test_a_caller_who_hangs_up_meanwhile_is_not_handed_over(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await rig.pass_ms(200)
        await rig.hear(STOP)
        with pytest.raises(CallLost, match="the caller has gone"):
            await handing_over
        assert await rig.transfers.next_of("CA0") is None
        await rig.transfers.all_asked()

    driven(clock, scenario)


def test_a_caller_whose_connection_breaks_during_the_last_words_is_handed_over(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await rig.pass_ms(200)
        assert await rig.transfers.next_of("CA0") == Handover("+4930"), "the carrier may have noticed before us"
        rig.socket.abort()
        await rig.pass_ms(SETTLE_MS)
        assert await handing_over is True
        assert await rig.transfers.next_of("CA0") == Handover("+4930")
        clock.advance(ASKED_WITHIN_MS + 2 * MARK_GRACE_MS + 1_000)

    driven(clock, scenario)


def test_a_transfer_that_nobody_waits_for_any_more_hands_nobody_over_and_the_agent_is_heard(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        handing_over = asyncio.create_task(rig.leg.transfer("support", ANNOUNCEMENT))
        await rig.pass_ms(200)
        handing_over.cancel()
        await settle()
        assert await rig.transfers.next_of("CA0") is None
        assert await rig.transfers.consultations.of("CA0") is None
        rig.leg.clear()
        written = len(rig.socket.written)
        rig.leg.play("a2", b"x" * 800)
        await rig.pass_ms(40)
        assert "media" in rig.kinds[written:]

    driven(clock, scenario)


class _DialectByRest(TwilioDialect):
    features = replace(
        TWILIO_FEATURES, dialect="rest", digits_out="rest", transfer="rest", hang_up="rest", announce="no"
    )


class RestCalls:
    """A provider's REST interface that notes what it is asked; `socket` is looked at whenever it is."""

    def __init__(self, *, refuses=False, consults=False):
        self.asked = []
        self.refuses = refuses
        self.consults = consults
        self.socket = None

    def _note(self, *asked):
        self.asked.append((*asked, self.socket.closed_with if self.socket else None))
        if self.refuses:
            raise CallLost("it refused")

    async def hang_up(self, call):
        self._note("hang up", call)

    async def transfer(self, call, number):
        self._note("transfer", call, number)

    async def consult(self, call, dialled):
        self._note("consult", call, dialled.to, dialled.caller)
        return "peer"

    async def send_digits(self, call, digits):
        self._note("digits", call, digits)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_call_that_its_socket_does_not_end_is_ended_by_request_before_the_socket_is_closed(clock, refuses):
    rest = RestCalls(refuses=refuses)

    async def scenario(rig):
        rest.socket = rig.socket
        await rig.leg.hang_up(drain=True)
        await rig.leg.hang_up(drain=False)
        assert rest.asked == [("hang up", "CA0", None)]
        assert rig.socket.closed_with == (1000, "agent hung up")
        assert rig.leg.counts["request refused"] == refuses

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


def test_what_a_detected_dialect_needs_is_known_once_it_is_detected(clock):
    rest = RestCalls()

    async def scenario(rig):
        await rig.leg.hang_up(drain=True)
        assert [asked[:2] for asked in rest.asked] == [("hang up", "CA0")]

    driven(clock, scenario, dialect=DetectingDialect({"twilio": _DialectByRest}), controls={"rest": rest})


def test_a_caller_who_has_left_is_not_hung_up_on(clock):
    rest = RestCalls()

    async def scenario(rig):
        await rig.hear(STOP)
        await rig.leg.hang_up(drain=False)
        assert rest.asked == []

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


def test_a_caller_is_handed_over_by_request_and_not_hung_up_on(clock):
    rest = RestCalls()

    async def scenario(rig):
        await rig.leg.transfer("support")
        await rig.leg.hang_up(drain=False)
        assert rest.asked == [("transfer", "CA0", "+4930", None)]
        assert rig.socket.closed_with == (1000, "agent hung up")

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


@pytest.mark.parametrize(("message", "asked"), [(None, ["transfer"]), (STOP, [])])
def test_a_caller_is_handed_over_by_request_though_the_connection_breaks_unless_they_have_left(clock, message, asked):
    rest = RestCalls()

    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await rig.pass_ms(200)
        assert await rig.transfers.has_left("CA0"), "the carrier may have noticed before us"
        await rig.hear(message)
        await rig.pass_ms(SETTLE_MS)
        await asyncio.wait([handing_over])
        assert (handing_over.exception() is None) == await rig.transfers.has_left("CA0") == bool(asked)
        assert [what for what, *_ in rest.asked] == asked

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


def test_a_provider_that_refuses_to_hand_over_leaves_the_call_as_it_is(clock):
    rest = RestCalls(refuses=True)

    async def scenario(rig):
        with pytest.raises(CallLost, match="it refused"):
            await rig.leg.transfer("support")
        assert rig.socket.closed_with is None

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


class RestThatRefusesTransfers(RestCalls):
    async def transfer(self, call, number):
        raise CallLost("it refused")


@pytest.mark.parametrize(("message", "asked"), [(None, [("hang up", "CA0")]), (STOP, [])])
def test_a_caller_who_is_on_no_line_of_ours_any_more_and_not_handed_over_is_hung_up_on(clock, message, asked):
    rest = RestThatRefusesTransfers()

    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await rig.pass_ms(200)
        await rig.hear(message)
        await rig.pass_ms(SETTLE_MS)
        with pytest.raises(CallLost, match="the caller has gone" if message else "it refused"):
            await handing_over
        await rig.leg.settled()
        assert [one[:2] for one in rest.asked] == asked

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


class RestThatKnowsWhere(RestCalls):
    """An exchange: it accepts to move a caller, and does so when `place` is another one."""

    def __init__(self):
        super().__init__()
        self.place = "1000@callers"

    async def place_of(self, call):
        return self.place


def test_a_caller_is_handed_over_once_they_are_elsewhere_and_the_connection_has_ended(clock):
    rest = RestThatKnowsWhere()

    async def scenario(rig):
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await settle()
        assert rest.asked == [("transfer", "CA0", "+4930", None)]
        rest.place = "+4930@numbers"
        await rig.pass_ms(200)
        assert rig.socket.closed_with is None, "its caller would be hung up on"
        assert not handing_over.done()
        await rig.hear(STOP)
        assert await handing_over is False
        assert not await rig.transfers.is_leaving("CA0")
        assert await rig.transfers.has_left("CA0")

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


def test_a_caller_who_hangs_up_meanwhile_has_not_been_handed_over(clock):
    rest = RestThatKnowsWhere()

    async def scenario(rig):
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await settle()
        rest.place = None
        await rig.hear(STOP)
        clock.advance(100)
        with pytest.raises(CallLost, match="the caller has gone"):
            await handing_over
        assert not await rig.transfers.has_left("CA0")

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


@pytest.mark.parametrize("breaks", [True, False])
def test_a_caller_who_stays_where_they_were_has_not_been_handed_over(clock, breaks):
    rest = RestThatKnowsWhere()

    async def scenario(rig):
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await settle()
        if breaks:
            await rig.hear(None)
        assert await rig.transfers.is_leaving("CA0")
        for _ in range(LEAVES_WITHIN_MS // 100 + 1):
            clock.advance(100)
            await settle()
        with pytest.raises(CallLost, match="not handed over within 5000 ms"):
            await handing_over
        assert not await rig.transfers.is_leaving("CA0")
        if not breaks:
            rig.leg.play("a2", b"x" * 800)
            assert rig.kinds == ["media"], "the agent is heard again"

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


ANNOUNCEMENT = Announcement("A caller from Bath.", "en-GB")


def _dialled_for(started, number, features):
    return Dialled(number, "+4940", "https://voice.example.com/rest/bank/answer", detect_machine=False, agent="bank")


class _DialectThatConsults(TwilioDialect):
    features = replace(TWILIO_FEATURES, dialect="rest", transfer="rest", hang_up="rest", announce="rest")


def test_a_provider_refusing_leaves_a_leg_on_which_the_agent_is_heard(clock):
    rest = RestCalls(refuses=True)

    async def scenario(rig):
        rig.leg.play("a1", b"x" * 80)
        rig.leg.end_clause("a1", 0, last=True)
        handing_over = asyncio.create_task(rig.leg.transfer("support"))
        await settle()
        await rig.hear(*(mark(name) for name in rig.marks))
        await rig.pass_ms(2_000)
        with pytest.raises(CallLost, match="it refused"):
            await handing_over
        written = len(rig.socket.written)
        rig.leg.play("a2", b"x" * 800)
        assert rig.kinds[written:] == ["media"]

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


def test_whoever_is_to_take_a_caller_is_called_first_where_the_provider_can_do_that(clock):
    rest = RestCalls(consults=True)

    async def scenario(rig):
        assert await rig.leg.transfer("support", ANNOUNCEMENT) is True
        assert rest.asked == [("consult", "CA0", "+4930", "+4940", None)]
        consultation = await rig.transfers.consultations.of("CA0")
        assert (consultation.announcement, consultation.peer) == (ANNOUNCEMENT, "peer")

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=_dialled_for)


@pytest.mark.parametrize("announcement", [None, ANNOUNCEMENT])
@pytest.mark.parametrize("dialect", [_DialectByRest, _DialectThatConsults])
def test_a_caller_goes_unannounced_where_it_cannot_be_done_and_that_is_said_once(clock, caplog, announcement, dialect):
    rest = RestCalls()

    async def scenario(rig):
        comes_back = dialect is _DialectThatConsults
        assert await rig.leg.transfer("support", announcement) is comes_back
        assert rest.asked == [("transfer", "CA0", "+4930", None)]
        assert (await rig.transfers.consultations.of("CA0") is not None) is comes_back
        rig.transfers.cannot_announce("another")
        rig.transfers.cannot_announce("another")

    driven(clock, scenario, dialect=dialect(), controls={"rest": rest}, dialled_for=_dialled_for)
    assert caplog.text.count("rest cannot announce") == (announcement is not None)
    assert caplog.text.count("another cannot announce") == 1


def test_nobody_takes_a_caller_unasked_because_no_number_of_ours_is_known(clock, caplog):
    rest = RestCalls(consults=True)

    async def scenario(rig):
        with pytest.raises(CallLost, match="nobody can be asked whether they take the caller"):
            await rig.leg.transfer("support", replace(ANNOUNCEMENT, accept="Press 1."))
        assert rest.asked == []
        assert await rig.leg.transfer("support", ANNOUNCEMENT) is True
        assert [what for what, *_ in rest.asked] == ["transfer"]

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=lambda *_: None)
    assert "rest cannot announce" in caplog.text


@pytest.mark.parametrize("announcement", [None, ANNOUNCEMENT])
def test_a_transfer_that_failed_leaves_nobody_who_is_put_through_later(clock, announcement):
    rest = RestCalls(refuses=True, consults=True)

    async def scenario(rig):
        with pytest.raises(CallLost, match="it refused"):
            await rig.leg.transfer("support", announcement)
        assert await rig.transfers.consultations.of("CA0") is None
        assert await rig.transfers.has_left("CA0") is False

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=_dialled_for)


class _RestThatDials(RestCalls):
    """It calls somebody, and its webhook says so long before it has answered us."""

    transfers = None

    async def consult(self, call, dialled):
        self._note("consult", call, dialled.to, dialled.caller)
        await self.transfers.consultations.placed(call, "peer")
        await asyncio.Event().wait()


def test_somebody_who_was_called_after_all_is_hung_up_on_when_the_transfer_is_given_up(clock):
    rest = _RestThatDials(consults=True)

    async def scenario(rig):
        rest.transfers = rig.transfers
        handing_over = asyncio.create_task(rig.leg.transfer("support", ANNOUNCEMENT))
        await settle()
        handing_over.cancel()
        await asyncio.wait([handing_over])
        await settle()
        assert [asked[:2] for asked in rest.asked] == [("consult", "CA0"), ("hang up", "peer")]
        assert await rig.transfers.consultations.of("CA0") is None

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=_dialled_for)


class _RestThatRings(RestCalls):
    """Its callers hear nothing while it calls somebody, unless it is told to play something."""

    silent = False

    async def ring(self, call, number):
        if self.silent:
            raise CallLost("it plays nothing")
        self._note("ring", call, number)

    async def stop_ringing(self, call):
        self._note("stop ringing", call)


@pytest.mark.parametrize("announcement", [None, ANNOUNCEMENT])
def test_a_caller_hears_it_ring_before_anybody_is_called_and_after_our_connection_has_ended(clock, announcement):
    rest = _RestThatRings(consults=True)

    async def scenario(rig):
        rest.socket = rig.socket
        assert await rig.leg.transfer("support", announcement) is True
        assert rest.asked[0] == ("ring", "CA0", "+4930", None)
        assert [asked[0] for asked in rest.asked[1:]] == ["consult" if announcement else "transfer"]
        assert rig.socket.closed_with == (1000, "agent hung up")

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=_dialled_for)


def test_a_caller_is_handed_over_though_it_cannot_ring(clock):
    rest = _RestThatRings(consults=True)
    rest.silent = True

    async def scenario(rig):
        assert await rig.leg.transfer("support", ANNOUNCEMENT) is True
        assert [asked[0] for asked in rest.asked] == ["consult"]
        assert rig.leg.counts["request refused"] == 1

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=_dialled_for)


class _RestSlowToRing(_RestThatRings):
    rings = None

    async def ring(self, call, number):
        self._note("ring", call, number)
        await self.rings.wait()


class _StateSlowToNote(MemoryStore):
    notes = None

    async def note(self, key, value, *, ttl_ms):
        if key.startswith("consultation:"):
            await self.notes.wait()
        await super().note(key, value, ttl_ms=ttl_ms)


@pytest.mark.parametrize("announcement", [None, ANNOUNCEMENT])
@pytest.mark.parametrize("slow", ["to ring", "to note"])
def test_nobody_is_called_for_a_caller_who_hangs_up_before_anybody_is(clock, announcement, slow):
    rest = _RestSlowToRing(consults=True)

    async def scenario(rig):
        rest.rings, state = asyncio.Event(), _StateSlowToNote(clock)
        state.notes = asyncio.Event()
        rig.transfers.consultations = Consultations(state)
        (state.notes if slow == "to ring" else rest.rings).set()
        handing_over = asyncio.create_task(rig.leg.transfer("support", announcement))
        await settle()
        await rig.hear(STOP)
        (rest.rings if slow == "to ring" else state.notes).set()
        with pytest.raises(CallLost, match="the caller has gone"):
            await handing_over
        await settle()
        assert [asked[0] for asked in rest.asked] == ["ring", "stop ringing"]
        assert await rig.transfers.consultations.of("CA0") is None

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=_dialled_for)


class _RestThatRingsAndNeverAnswers(_RestThatRings):
    async def consult(self, call, dialled):
        self._note("consult", call, dialled.to, dialled.caller)
        await asyncio.Event().wait()


def test_it_rings_no_more_for_a_caller_who_stays_with_the_agent(clock):
    rest = _RestThatRingsAndNeverAnswers(consults=True)

    async def scenario(rig):
        handing_over = asyncio.create_task(rig.leg.transfer("support", ANNOUNCEMENT))
        await settle()
        handing_over.cancel()
        await asyncio.wait([handing_over])
        await settle()
        assert [asked[0] for asked in rest.asked] == ["ring", "consult", "stop ringing"]
        written = len(rig.socket.written)
        rig.leg.play("a2", b"x" * 800)
        assert rig.kinds[written:] == ["media"]

    driven(clock, scenario, dialect=_DialectThatConsults(), controls={"rest": rest}, dialled_for=_dialled_for)


def test_the_document_that_dials_announces_and_brings_back(clock):
    async def scenario(rig):
        assert await rig.leg.transfer("support", ANNOUNCEMENT) is True
        assert await rig.transfers.next_of("CA0") == Handover("+4930", ANNOUNCEMENT)
        clock.advance(ASKED_WITHIN_MS)

    driven(clock, scenario)


class _RecordingRest(RestCalls):
    async def start_recording(self, call):
        self._note("start recording", call)
        return "RE1"

    async def pause_recording(self, call, recording):
        self._note("pause recording", call, recording)

    async def resume_recording(self, call, recording):
        self._note("resume recording", call, recording)


class _RecordedDialect(TwilioDialect):
    features = replace(TWILIO_FEATURES, dialect="rest", transfer="rest", announce="no", record="rest")


def test_what_is_said_to_somebody_else_is_not_recorded(clock):
    rest = _RecordingRest()

    async def scenario(rig):
        rig.leg.record(on=True)
        await settle()
        await rig.leg.transfer("support")
        assert [what for what, *_ in rest.asked] == ["start recording", "pause recording", "transfer"]

    driven(clock, scenario, dialect=_RecordedDialect(), controls={"rest": rest})


def test_a_transfer_that_is_refused_has_the_recording_go_on(clock):
    class Refusing(_RecordingRest):
        async def transfer(self, call, number):
            await super().transfer(call, number)
            raise CallLost("it refused")

    rest = Refusing()

    async def scenario(rig):
        rig.leg.record(on=True)
        await settle()
        with pytest.raises(CallLost):
            await rig.leg.transfer("support")
        await settle()
        assert [what for what, *_ in rest.asked][-2:] == ["transfer", "resume recording"]

    driven(clock, scenario, dialect=_RecordedDialect(), controls={"rest": rest})


def test_what_no_provider_records_is_counted(clock):
    async def scenario(rig):
        rig.leg.record(on=True)
        assert rig.leg.counts["not recorded at the provider"] == 1

    driven(clock, scenario)


def test_digits_are_sent_by_request_where_the_dialect_has_no_message(clock):
    rest = RestCalls()

    async def scenario(rig):
        rig.leg.send_digits("12#")
        await settle()
        assert rest.asked == [("digits", "CA0", "12#", None)]
        assert rig.leg.counts["digits not sent"] == 0

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


class _SlowRest(RestCalls):
    """Answers when it is `answered`; `given_up` has what nobody waited for until then."""

    def __init__(self):
        super().__init__()
        self.answered = asyncio.Event()
        self.given_up = []

    async def send_digits(self, call, digits):
        try:
            await self.answered.wait()
        except asyncio.CancelledError:
            self.given_up.append(digits)
            raise
        await super().send_digits(call, digits)

    async def start_recording(self, call):
        await self.send_digits(call, "the recording")
        return "RE1"


class _RecordedDialectByRest(TwilioDialect):
    features = replace(TWILIO_FEATURES, dialect="rest", digits_out="rest", record="rest")


@pytest.mark.parametrize("answers", [True, False])
def test_what_the_provider_was_asked_outlives_the_leg_by_no_more_than_a_bounded_time(clock, answers):
    rest = _SlowRest()

    async def scenario(rig):
        rig.leg.send_digits("12#")
        rig.leg.record(on=True)
        await settle()
        await rig.hear(STOP)
        settled = asyncio.create_task(rig.leg.settled())
        await settle()
        assert not settled.done()
        if answers:
            rest.answered.set()
        else:
            clock.advance(ANSWERED_WITHIN_MS)
        await settle()
        assert settled.done()
        what = ["12#", "the recording"]
        assert [digits for _, _, digits, _ in rest.asked] == (what if answers else [])
        assert sorted(rest.given_up) == ([] if answers else what)

    driven(clock, scenario, dialect=_RecordedDialectByRest(), controls={"rest": rest})


def test_a_request_that_fails_as_nobody_expects_is_said_without_its_own_words(clock, caplog):
    class Closed(_RecordingRest):
        async def send_digits(self, call, digits):
            raise RuntimeError("the client has been closed; it was asked for 12#")

        async def start_recording(self, call):
            raise RuntimeError("the client has been closed")

    async def scenario(rig):
        rig.leg.send_digits("12#")
        rig.leg.record(on=True)
        await settle()
        await rig.leg.settled()
        assert rig.leg.counts["request refused"] == 2

    driven(clock, scenario, dialect=_RecordedDialectByRest(), controls={"rest": Closed()})
    assert "leg l1: a request to its provider failed: RuntimeError" in caplog.text
    assert "the recording of call CA0 at its provider is in doubt: RuntimeError" in caplog.text
    assert "12#" not in caplog.text


class SlowKeys(RestCalls):
    def __init__(self):
        super().__init__()
        self.answers = asyncio.Event()

    async def send_digits(self, call, digits):
        await super().send_digits(call, digits)
        await self.answers.wait()


def test_a_call_whose_keys_are_being_pressed_is_ended_after_them(clock):
    rest = SlowKeys()

    async def scenario(rig):
        rig.leg.send_digits("1")
        ending = asyncio.create_task(rig.leg.hang_up(drain=True))
        await settle()
        assert [what for what, *_ in rest.asked] == ["digits"]
        rest.answers.set()
        await settle()
        clock.advance(SETTLE_MS)
        await ending
        assert [what for what, *_ in rest.asked] == ["digits", "hang up"]

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


KEY_MS = 350


class _DialectThatPresses(TwilioDialect):
    features = replace(_DialectByRest.features, key_ms=KEY_MS)


class _DialectThatPressesInBand(TwilioDialect):
    features = replace(TWILIO_FEATURES, dialect="keys", digits_out="in_band", key_ms=KEY_MS)


def test_a_provider_that_has_answered_has_not_pressed_yet_and_is_asked_for_more_when_it_has(clock):
    rest = RestCalls()

    async def scenario(rig):
        rig.leg.send_digits("12")
        rig.leg.send_digits("3")
        await settle()
        await rig.pass_ms(2 * KEY_MS - 20)
        assert [digits for _, _, digits, _ in rest.asked] == ["12"]
        await rig.pass_ms(20)
        assert [digits for _, _, digits, _ in rest.asked] == ["12", "3"]
        await rig.pass_ms(KEY_MS + 20)

    driven(clock, scenario, dialect=_DialectThatPresses(), controls={"rest": rest})


def test_nobody_waits_for_keys_that_a_provider_has_refused(clock):
    rest = RestCalls(refuses=True)

    async def scenario(rig):
        rig.leg.send_digits("12")
        rig.leg.send_digits("3")
        await settle()
        assert [digits for _, _, digits, _ in rest.asked] == ["12", "3"]

    driven(clock, scenario, dialect=_DialectThatPresses(), controls={"rest": rest})


@pytest.mark.parametrize("end", ["hang up", "transfer"])
def test_a_call_ends_when_the_last_key_has_been_pressed_and_not_when_it_was_asked_for(clock, end):
    rest = RestCalls()

    async def scenario(rig):
        rig.leg.send_digits("12#")
        ending = asyncio.create_task(rig.leg.hang_up(drain=True) if end == "hang up" else rig.leg.transfer("support"))
        await settle()
        await rig.pass_ms(3 * KEY_MS + SETTLE_MS - 50)
        assert [what for what, *_ in rest.asked] == ["digits"]
        await rig.pass_ms(60)
        await ending
        assert [what for what, *_ in rest.asked] == ["digits", end]

    driven(clock, scenario, dialect=_DialectThatPresses(), controls={"rest": rest})


def test_keys_that_go_out_in_the_connection_are_pressed_before_it_is_closed(clock):
    async def scenario(rig):
        rig.leg.send_digits("1")
        rig.leg.send_digits("2")
        ending = asyncio.create_task(rig.leg.hang_up(drain=True))
        await rig.pass_ms(2 * KEY_MS + SETTLE_MS - 20)
        assert rig.socket.closed_with is None
        await rig.pass_ms(40)
        await ending
        assert rig.socket.closed_with == (1000, "agent hung up")

    driven(clock, scenario, dialect=_DialectThatPressesInBand())


def test_an_agent_who_hangs_up_when_keys_are_pressed_has_hung_up_though_the_connection_breaks_before(clock):
    rest = RestCalls()

    async def scenario(rig):
        rig.leg.send_digits("123")
        ending = asyncio.create_task(rig.leg.hang_up(drain=True))
        await rig.pass_ms(100)
        await rig.hear(None)
        assert rig.call.events[-1] == LegLost("l1", rig.socket.end, may_return=False)
        await rig.pass_ms(3 * KEY_MS)
        await ending

    driven(clock, scenario, dialect=_DialectThatPresses(), controls={"rest": rest})


def test_when_the_caller_has_left_no_more_keys_are_pressed_and_nobody_waits_for_any(clock):
    rest = RestCalls()

    async def scenario(rig):
        rig.leg.send_digits("123")
        rig.leg.send_digits("4")
        await rig.pass_ms(100)
        await rig.hear(STOP)
        await rig.leg.settled()
        assert [digits for _, _, digits, _ in rest.asked] == ["123"]

    driven(clock, scenario, dialect=_DialectThatPresses(), controls={"rest": rest})


def test_keys_are_pressed_one_request_after_the_other(clock):
    rest = SlowKeys()

    async def scenario(rig):
        for digits in "123":
            rig.leg.send_digits(digits)
        await settle()
        assert [digits for _, _, digits, _ in rest.asked] == ["1"]
        rest.answers.set()
        await settle()
        rig.leg.send_digits("4")
        await settle()
        assert [digits for _, _, digits, _ in rest.asked] == ["1", "2", "3", "4"]

    driven(clock, scenario, dialect=_DialectByRest(), controls={"rest": rest})


def test_without_an_interface_nothing_is_pretended(clock):
    async def scenario(rig):
        rig.leg.send_digits("12")
        assert rig.leg.counts["digits not sent"] == 2
        with pytest.raises(CallLost, match="rest cannot hand a caller over"):
            await rig.leg.transfer("support")
        await rig.leg.hang_up(drain=True)
        assert rig.socket.closed_with == (1000, "agent hung up")

    driven(clock, scenario, dialect=_DialectByRest())


class _DialectWithoutRedirect(TwilioDialect):
    features = replace(TWILIO_FEATURES, dialect="plain", transfer="no")


def test_a_dialect_that_cannot_hand_over_says_so(clock):
    async def scenario(rig):
        with pytest.raises(CallLost, match="plain cannot hand a caller over"):
            await rig.leg.transfer("support")

    driven(clock, scenario, dialect=_DialectWithoutRedirect())


def test_a_leg_that_is_ended_from_outside_is_lost_and_closed_in_good_order(clock):
    async def scenario(rig):
        rig.leg.end("the call has a newer leg")
        rig.leg.end("once is enough")
        await settle()
        assert rig.call.events == [LegLost("l1", "the call has a newer leg")]
        assert rig.socket.closed_with == (1008, "the call has a newer leg")

    driven(clock, scenario)


class _DialectOfManyWords(TwilioDialect):
    """Asks for pauses, answers and hangs up in band; a flush drops its marks without a word."""

    features = replace(TWILIO_FEATURES, marks_return_on_clear=False, hang_up="in_band", close_is_hang_up=True)

    def receive(self, message):
        words = {"full": BufferFull(), "free": BufferFree()}
        return (words[message],) if message in words else super().receive(message)

    def send(self, command):
        if isinstance(command, Answer | HangUp):
            return (json.dumps({"event": type(command).__name__}),)
        return super().send(command)


def test_a_far_side_that_is_full_is_spared_and_nothing_of_the_speech_is_lost(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        rig.leg.end_clause("a1", 0, last=True)
        await rig.hear("full")
        before_ms = rig.sent_ms
        await rig.pass_ms(3_000)
        assert rig.sent_ms == before_ms
        assert rig.marks == [], "a mark does not overtake the audio before it"
        await rig.hear("free")
        await rig.pass_ms(1_200)
        assert rig.sent_ms == 1_000
        assert rig.marks == ["0.1"]
        assert rig.leg.counts["ms of speech not taken"] == 0

    driven(clock, scenario, dialect=_DialectOfManyWords())


def test_a_flush_empties_a_far_side_that_was_full(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        await rig.hear("full")
        await rig.pass_ms(200)
        rig.leg.clear()
        before_ms = rig.sent_ms
        rig.leg.play("a2", b"y" * 8 * 100)
        assert rig.sent_ms == before_ms + 100

    driven(clock, scenario, dialect=_DialectOfManyWords())


def test_a_far_side_that_stays_full_is_gone(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        await rig.hear("full")
        await rig.pass_ms(SEND_DEADLINE_MS + 40)
        assert rig.call.events[-1] == LegLost("l1", "the far side takes nothing", may_return=True)

    driven(clock, scenario, dialect=_DialectOfManyWords())


def test_where_a_flush_says_nothing_of_marks_the_speech_is_over_all_the_same(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        rig.leg.end_clause("a1", 0, last=True)
        hanging_up = asyncio.create_task(rig.leg.hang_up(drain=True))
        await rig.pass_ms(100)
        rig.leg.clear()
        await settle()
        assert isinstance(rig.call.events[-1], PlayoutStopped)
        await rig.pass_ms(SETTLE_MS + 20)
        assert hanging_up.done(), "nothing is left to be waited for"

    driven(clock, scenario, dialect=_DialectOfManyWords())


def test_a_call_is_answered_when_it_is_taken_and_hung_up_after_the_last_word(clock):
    async def scenario(rig):
        assert rig.kinds == []
        rig.leg.answer()
        assert rig.kinds == ["Answer"]
        rig.leg.play("a1", b"x" * 8 * 100)
        rig.leg.end_clause("a1", 0, last=True)
        hanging_up = asyncio.create_task(rig.leg.hang_up(drain=True))
        await rig.pass_ms(200)
        assert "HangUp" not in rig.kinds
        await rig.hear(*map(mark, rig.marks))
        await rig.pass_ms(SETTLE_MS + 20)
        await hanging_up
        await rig.leg.hang_up(drain=False)
        assert rig.kinds.count("HangUp") == 1
        assert rig.kinds[-1] == "HangUp"

    driven(clock, scenario, dialect=_DialectOfManyWords())


def test_a_call_that_is_refused_is_not_answered(clock):
    async def scenario(rig):
        rig.refusal = "no"
        await rig.hear(START)
        rig.leg.answer()
        assert rig.socket.written == []

    driven(clock, scenario, start=False, dialect=_DialectOfManyWords())


def test_a_caller_who_has_gone_meanwhile_is_not_answered(clock):
    async def scenario(rig):
        rig.leg.end("too many calls")
        rig.leg.answer()
        assert rig.kinds == []

    driven(clock, scenario, dialect=_DialectOfManyWords())


@pytest.mark.parametrize(("in_order", "may_return"), [(True, False), (False, True)])
def test_where_closing_means_hanging_up_a_close_in_good_order_is_the_end_of_the_call(clock, in_order, may_return):
    async def scenario(rig):
        rig.socket.closed_in_order = in_order
        rig.socket.incoming.put_nowait(None)
        await settle()
        (lost,) = rig.call.events
        assert lost.may_return == may_return

    driven(clock, scenario, dialect=_DialectOfManyWords())


def test_a_leg_that_has_not_started_has_no_audio_format(clock):
    async def scenario(rig):
        with pytest.raises(CallLost):
            _ = rig.leg.audio_in
        rig.leg.clear()
        assert rig.socket.written == []

    driven(clock, scenario, start=False)


def test_a_drain_that_was_given_up_does_not_keep_the_leg_from_being_hung_up(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 10_000)
        draining = asyncio.create_task(rig.leg.hang_up(drain=True))
        await settle()
        draining.cancel()
        await asyncio.wait([draining])
        await rig.leg.hang_up(drain=False)
        await settle()
        assert rig.socket.closed_with == (1000, "agent hung up")
        assert rig.call.events[-1] == LegLost("l1", "agent hung up")

    driven(clock, scenario)


def test_a_second_drain_waits_for_the_same_last_words(clock):
    async def scenario(rig):
        rig.leg.play("a1", b"x" * 8 * 1_000)
        drains = [asyncio.create_task(rig.leg.hang_up(drain=True)) for _ in range(2)]
        await rig.pass_ms(1_000)
        assert len(rig.marks) == 1
        assert rig.socket.closed_with is None
        await rig.hear(mark(rig.marks[0]))
        await rig.pass_ms(SETTLE_MS)
        await asyncio.gather(*drains)

    driven(clock, scenario)
