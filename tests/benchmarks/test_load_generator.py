"""The load generator: what its callers hear, when they speak, what is on the wire, and how late it says it is."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict

import pytest
from websockets.frames import Frame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from benchmarks.caller import Caller
from benchmarks.ear import Ear
from benchmarks.load import Turnover, frames_of
from benchmarks.load_report import Lateness, LoadReport, merged
from benchmarks.media_stream import payload_bytes
from benchmarks.ws_frames import FrameReader, accept_of, client_frame

MS = 1_000_000


# --- the ear ---


def test_audio_is_heard_after_the_jitter_buffer_has_filled() -> None:
    ear = Ear(jitter_ms=40)
    ear.hear(100 * MS, 1_000 * MS)
    assert ear.heard_from_ns == 1_040 * MS
    assert ear.quiet_ms(1_140 * MS) == 0
    assert ear.quiet_ms(1_640 * MS) == 500


def test_audio_that_comes_while_the_buffer_lasts_is_no_underrun() -> None:
    ear = Ear(jitter_ms=40)
    for at_ms in (0, 20, 40, 100):  # the fourth frame is 40 ms late, which is what the buffer is for
        ear.hear(20 * MS, at_ms * MS)
    assert ear.underruns == 0


def test_audio_that_comes_when_the_ear_is_dry_is_an_underrun() -> None:
    ear = Ear(jitter_ms=40)
    for at_ms in (0, 20, 40, 101):
        ear.hear(20 * MS, at_ms * MS)
    assert ear.underruns == 1


def test_what_comes_after_an_underrun_has_the_whole_buffer_again() -> None:
    ear = Ear(jitter_ms=40)
    for at_ms in (0, 61, 120):
        ear.hear(20 * MS, at_ms * MS)
    assert ear.underruns == 1


def test_the_next_sentence_is_no_underrun() -> None:
    ear = Ear(jitter_ms=40)
    ear.hear(20 * MS, 0)
    ear.hear(20 * MS, 460 * MS)
    assert ear.underruns == 0


def test_what_is_said_after_a_clear_is_no_underrun() -> None:
    ear = Ear(jitter_ms=40)
    ear.hear(2_000 * MS, 0)
    ear.clear(500 * MS)
    ear.hear(20 * MS, 600 * MS)
    assert ear.underruns == 0


def test_marks_go_back_in_their_order_when_what_was_before_them_has_been_played() -> None:
    ear = Ear(jitter_ms=40)
    ear.hear(100 * MS, 0)
    ear.mark("first")
    ear.hear(100 * MS, 2 * MS)
    ear.mark("second")
    assert ear.played(139 * MS) == []
    assert ear.played(140 * MS) == ["first"]
    assert ear.played(300 * MS) == ["second"]
    assert ear.played(400 * MS) == []


def test_a_mark_after_silence_goes_back_at_once() -> None:
    ear = Ear()
    ear.mark("only")
    assert ear.played(7 * MS) == ["only"]


def test_a_clear_sends_the_marks_that_wait_back_at_once_and_in_order() -> None:
    ear = Ear()
    for name in ("first", "second"):
        ear.hear(500 * MS, 0)
        ear.mark(name)
    ear.clear(100 * MS)
    assert ear.played(100 * MS) == ["first", "second"]
    assert ear.quiet_ms(100 * MS) == 0


# --- the caller ---


class Line:
    """A caller, and an agent that says what it is told to say."""

    def __init__(self) -> None:
        self.report = LoadReport(calls=1, seconds=0)
        self.caller = Caller("CA1", self.report)
        self.now_ms = 0

    def frames(self, count: int) -> list[int | None]:
        said: list[int | None] = []
        for _ in range(count):
            said.append(self.caller.voice_at(self.now_ms * MS))
            self.now_ms += 20
        return said

    def agent_says(self, ms: int) -> None:
        self.caller.took_audio(ms * MS, self.now_ms * MS)


def test_a_caller_speaks_when_the_agent_has_finished() -> None:
    line = Line()
    line.agent_says(100)
    assert line.frames(27) == [None] * 27  # 40 ms of buffer, 100 of speech, 400 of silence
    assert line.frames(61) == [*range(60), None]
    assert line.report.turns == 1


def test_an_answer_is_timed_from_the_end_of_the_voice_and_counted_once() -> None:
    line = Line()
    line.agent_says(100)
    line.frames(27 + 60 + 1)
    line.now_ms += 280
    line.agent_says(100)
    line.agent_says(100)
    assert line.report.answers_ms == [300.0]
    assert [len(at_ns) for at_ns in line.report.audio_at_ns.values()] == [1]


def test_a_sentence_that_stops_and_goes_on_is_counted() -> None:
    line = Line()
    line.agent_says(20)
    line.now_ms += 100
    line.agent_says(20)
    line.now_ms += 100
    line.agent_says(20)
    assert line.report.underruns == 2


def test_every_third_turn_cuts_in_and_is_timed_to_the_clear() -> None:
    line = Line()
    for _ in range(2):
        line.agent_says(100)
        line.frames(27 + 60 + 1)
    line.agent_says(3_000)
    assert line.frames(37) == [None] * 37  # 700 ms into what is heard
    assert line.frames(5) == [*range(5)]
    line.caller.took_clear(line.now_ms * MS)
    assert line.report.clears_ms == [100.0]
    line.frames(60)
    line.caller.took_clear(line.now_ms * MS)
    assert line.report.clears_ms == [100.0], "a clear that nobody's voice has led to is none"
    assert line.report.missed_barge_ins == 0


def test_a_barge_in_that_is_not_heeded_is_counted_and_no_later_clear_is_its() -> None:
    line = Line()
    for _ in range(2):
        line.agent_says(100)
        line.frames(27 + 60 + 1)
    line.agent_says(2_000)
    line.frames(37 + 40 + 1)
    assert line.report.missed_barge_ins == 0, "it may still stop"
    line.frames(100)
    assert line.report.turns == 3
    line.agent_says(100)
    line.frames(27)
    assert line.frames(1) == [0]
    line.caller.took_clear(line.now_ms * MS)
    assert line.report.missed_barge_ins == 1
    assert line.report.clears_ms == []


def test_a_caller_who_is_not_answered_says_it_again_and_counts_it() -> None:
    line = Line()
    assert line.frames(400) == [None] * 400
    assert line.frames(1) == [0]
    assert line.report.unanswered == 1


# --- the wire ---


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_what_a_client_sends_is_what_a_server_reads(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    server = ServerProtocol(state=OPEN, max_size=None)
    server.receive_data(client_frame(2, payload, b"\x01\x9f\x30\xfe"))
    (frame,) = server.events_received()
    assert isinstance(frame, Frame)
    assert bytes(frame.data) == payload


def test_messages_are_read_however_they_are_cut() -> None:
    server = ServerProtocol(state=OPEN)
    server.send_text(b"short")
    server.send_text(b"x" * 200)
    server.send_text(b"be", fin=False)
    server.send_ping(b"there?")
    server.send_continuation(b"gun", fin=True)
    server.send_binary(b"y" * 70_000)
    sent = b"".join(server.data_to_send())
    wanted = [(1, b"short"), (1, b"x" * 200), (9, b"there?"), (1, b"begun"), (2, b"y" * 70_000)]
    for step in (1, 3, 1_000, len(sent)):
        reader = FrameReader()
        read = [message for at in range(0, len(sent), step) for message in reader.feed(sent[at : at + step])]
        assert read == wanted, step


def test_the_handshake_is_proved_as_the_standard_says() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


@pytest.mark.parametrize("size", [158, 159, 160, 800])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_length_of_audio_is_read_without_decoding_it(size: int, separators: tuple[str, str]) -> None:
    payload = base64.b64encode(bytes(size)).decode()
    for message in (
        {"event": "media", "streamSid": "MZ1", "media": {"payload": payload}},
        {"media": {"payload": payload, "track": "outbound"}, "streamSid": "MZ1", "event": "media"},
    ):
        assert payload_bytes(json.dumps(message, separators=separators).encode()) == size


def test_other_messages_have_no_audio() -> None:
    assert payload_bytes(b'{"event":"clear","streamSid":"MZ1"}') is None


def test_a_recorded_voice_is_cut_into_whole_frames() -> None:
    first, second = (base64.b64decode(frame) for frame in frames_of(b"\x10" * 161))
    assert first == b"\x10" * 160
    assert second == b"\x10" + b"\xff" * 159


# --- what it says of itself ---


def test_callers_hang_up_one_after_the_other_each_after_its_time() -> None:
    turnover = Turnover(4, lasting_s=2.0)
    at_ms = [ms for ms in range(-3_000, 6_001) if turnover.is_due(ms)]
    assert at_ms == [1, *range(501, 6_000, 500)]


def test_callers_who_stay_to_the_end_never_hang_up() -> None:
    turnover = Turnover(4, lasting_s=None)
    assert not any(turnover.is_due(ms) for ms in range(10_000))


def test_lateness_is_told_to_a_tenth_of_a_millisecond() -> None:
    late = Lateness()
    for ms in range(1, 101):
        late.add(ms * MS)
    assert late.percentile_ms(0.5) == 51.0
    assert late.percentile_ms(0.99) == 100.0
    assert late.max_ms == 100.0


def test_frames_that_were_early_were_in_time_and_the_worst_are_kept() -> None:
    late = Lateness()
    late.add(-5 * MS)
    assert late.percentile_ms(0.5) == 0.0
    late.add(4_000 * MS)
    assert late.percentile_ms(0.99) == 1_000.0
    assert late.max_ms == 4_000.0
    assert Lateness().percentile_ms(0.99) == 0.0


def test_several_generators_are_as_late_as_the_latest_of_them() -> None:
    first = LoadReport(
        2,
        10,
        turns=3,
        steady_turns=2,
        missed_barge_ins=1,
        answers_ms=[1.0],
        late_p99_ms=1.0,
        cpu_share=0.4,
        steady_from_ns=5,
        steady_until_ns=9,
    )
    second = LoadReport(
        1,
        10,
        turns=2,
        steady_turns=1,
        missed_barge_ins=2,
        answers_ms=[2.0],
        late_p99_ms=8.0,
        cpu_share=0.2,
        steady_from_ns=6,
        steady_until_ns=8,
    )
    both = merged([first, second])
    assert (both.calls, both.turns, both.answers_ms) == (3, 5, [1.0, 2.0])
    assert (both.steady_turns, both.missed_barge_ins) == (3, 3)
    assert (both.late_p99_ms, both.cpu_share) == (8.0, 0.4)
    assert (both.steady_from_ns, both.steady_until_ns) == (6, 8)
    assert LoadReport(**json.loads(json.dumps(asdict(both)))) == both


def test_turns_a_minute_are_those_of_the_minutes_that_are_counted() -> None:
    line = Line()
    line.agent_says(100)
    line.frames(27 + 60 + 1)
    line.report.begin_steady(line.now_ms * MS)
    line.agent_says(100)
    line.frames(27 + 60 + 1)
    line.report.frames = 1_500
    assert (line.report.turns, line.report.steady_turns) == (2, 1)
    assert line.report.turns_per_call_minute == pytest.approx(2)
    assert line.report.steady_from_ns == 88 * 20 * MS


def test_minutes_of_calls_are_counted_in_frames() -> None:
    assert LoadReport(2, 30, frames=3_000).call_minutes == pytest.approx(1)
