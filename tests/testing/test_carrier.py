"""The carrier on a real socket: what an agent sends is played, echoed, cleared and recorded as Twilio would."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from voiceagent.audio import mulaw_to_pcm16, split_channels
from voiceagent.errors import OperatorError
from voiceagent.testing.call_report import CallReport
from voiceagent.testing.caller_script import (
    BargeInStep,
    CallerScript,
    CallerStep,
    ExpectHangUpStep,
    PressStep,
    SayStep,
    WaitForAgentStep,
    WaitStep,
)
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.testing.placing import place_call
from voiceagent.testing.timeline import (
    AgentAudioDiscarded,
    AgentSpeechStarted,
    AgentSpeechStopped,
    CallerAudioDiscarded,
    CallerUtteranceStarted,
    ClearReceived,
    Closed,
    DigitSent,
    MarkEchoed,
    MarkReceived,
    MessageIgnored,
    TimelineEvent,
)
from voiceagent.testing.twilio_stream import twilio_signature
from voiceagent.testing.utterance import Utterance

FRAME = 160
_LOUD_CODES = [0x08, 0x10, 0x18, 0x88, 0x90, 0x98]


def loud(frames: int, *, seed: int = 1, extra_bytes: int = 0) -> bytes:
    """Return µ-law noise in which no two stretches are alike, so that a displaced sample is seen."""
    generator = random.Random(seed)  # noqa: S311 - it only has to sound
    return bytes(generator.choices(_LOUD_CODES, k=frames * FRAME + extra_bytes))


HELLO = Utterance.from_mulaw("hello.wav", b"\xff" * FRAME * 5 + loud(20, seed=7) + b"\xff" * FRAME * 5)


# --- an agent and its line -------------------------------------------------------------------------------------------


class AgentLine:
    """The agent's end of a media socket; time is counted in frames received."""

    def __init__(self, connection: ServerConnection) -> None:
        self.socket = connection
        self.received: list[dict[str, Any]] = []
        self.caller_audio = b""
        self.stream = ""

    async def read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.recv())
        self.received.append(message)
        if message["event"] == "media":
            self.caller_audio += base64.b64decode(message["media"]["payload"])
        if message["event"] == "start":
            self.stream = message["streamSid"]
        return message

    async def frames(self, count: int) -> None:
        """Listen to so many frames of the caller."""
        while count:
            count -= (await self.read())["event"] == "media"

    async def until(self, event: str) -> dict[str, Any]:
        while (message := await self.read())["event"] != event:
            pass
        return message

    async def until_hung_up(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.read()

    async def play(self, audio: bytes) -> None:
        await self.send("media", media={"payload": base64.b64encode(audio).decode()})

    async def mark(self, name: str) -> None:
        await self.send("mark", mark={"name": name})

    async def send(self, event: str, **body: object) -> None:
        await self.socket.send(json.dumps({"event": event, "streamSid": self.stream, **body}))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["event"] == event]

    def frames_before(self, mark: str) -> int:
        """Return how many frames of the caller had arrived when the mark came back."""
        echo = next(n for n, m in enumerate(self.received) if m["event"] == "mark" and m["mark"]["name"] == mark)
        return sum(message["event"] == "media" for message in self.received[:echo])


Agent = Callable[[AgentLine], Awaitable[None]]


async def _run_fast(clock: ManualClock, *, stall_ms: int) -> None:
    """Let time pass as fast as both ends keep up with it: the sockets have their turn between two frames.

    Once, at 200 ms, the computer is busy with something else for `stall_ms`.
    """
    while True:
        await clock.until_waiting()
        for _ in range(4):
            await asyncio.sleep(0)
        clock.advance(20 + stall_ms if clock.now_ms() == 180 else 20)


class Call:
    """One call between a script and an agent, over a real socket, on a clock of its own."""

    def __init__(self, agent: Agent, *steps: CallerStep, stall_ms: int = 0, **options: Any) -> None:
        self.stall_ms = stall_ms
        self.options = options
        self.agent = agent
        self.script = CallerScript("test", steps, caller_number="+4420", parameters={"tenant": "demo"})
        self.line: AgentLine | None = None
        self.live: list[tuple[int, TimelineEvent]] = []
        """What was told live, and the clock's time then."""
        self.report = asyncio.run(self._run())

    async def _run(self) -> CallReport:
        clock = ManualClock()

        def tell(event: TimelineEvent) -> None:
            self.live.append((clock.now_ms(), event))

        async with serve(self._answer, "127.0.0.1", 0, process_request=self._upgrade, close_timeout=0.1) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"ws://127.0.0.1:{port}/media"
            running = asyncio.create_task(_run_fast(clock, stall_ms=self.stall_ms))
            try:
                return await place_call(self.url, self.script, clock=clock, on_event=tell, **self.options)
            finally:
                running.cancel()

    async def _upgrade(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.headers: Headers = request.headers
        return None

    async def _answer(self, connection: ServerConnection) -> None:
        self.line = AgentLine(connection)
        with suppress(ConnectionClosed):
            await self.line.until("start")
            await self.agent(self.line)

    @property
    def agent_line(self) -> AgentLine:
        assert self.line
        return self.line

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.report.timeline if isinstance(event, kind)]


async def listens(line: AgentLine) -> None:
    await line.until_hung_up()


# --- what the agent receives -----------------------------------------------------------------------------------------


def test_an_agent_receives_the_messages_of_twilio_in_their_order():
    call = Call(listens, WaitStep(100), PressStep("5"))
    connected, start, *frames, digit, last_frame, stop = call.agent_line.received
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert start["start"]["customParameters"] == {"caller_number": "+4420", "tenant": "demo"}
    assert start["start"]["streamSid"] == start["streamSid"]
    assert [frame["media"]["timestamp"] for frame in frames] == ["0", "20", "40", "60", "80"]
    assert [frame["media"]["chunk"] for frame in frames] == ["1", "2", "3", "4", "5"]
    assert digit["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert last_frame["media"]["timestamp"] == "100"
    assert stop["stop"] == {key: start["start"][key] for key in ("accountSid", "callSid")}
    numbered = call.agent_line.received[1:]
    assert [message["sequenceNumber"] for message in numbered] == [str(n + 1) for n in range(len(numbered))]
    assert call.events(DigitSent) == [DigitSent(100, "5")]
    assert call.report.closed == Closed(120, "caller", 1000, "the script is over")
    assert call.report.ok


def test_a_silent_caller_is_heard_as_silence_and_a_speaking_one_to_the_sample():
    call = Call(listens, WaitStep(60), SayStep(HELLO), WaitStep(200))
    spoken = b"".join(HELLO.frames)
    assert call.agent_line.caller_audio == b"\xff" * FRAME * 3 + spoken + b"\xff" * FRAME * 5
    assert call.events(CallerUtteranceStarted) == [CallerUtteranceStarted(60 + 100, "hello.wav")]
    assert call.report.turns[0].until_ms == 60 + 100 + 400


def test_the_upgrade_is_signed_as_twilio_signs_it():
    call = Call(listens, WaitStep(0), auth_token="12345")
    assert call.headers["X-Twilio-Signature"] == twilio_signature(call.url, "12345")
    assert "Sec-WebSocket-Extensions" not in call.headers
    assert "X-Twilio-Signature" not in Call(listens, WaitStep(0)).headers


def test_the_signature_is_hmac_sha1_of_the_exact_url():
    # Computed with: printf %s wss://example.org/media | openssl dgst -sha1 -hmac 12345 -binary | base64
    assert twilio_signature("wss://example.org/media", "12345") == "lUV4X2AtjQOCnPGid+8qbJznYhE="


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("wss://a/m?t=1", "drops"),
        ("https://a/m", "no media URL"),
        ("ws:///m", "no media URL"),
        ("ws://127.0.0.1:99999/m", "no media URL"),
        ("ws://[::1/m", "no media URL"),
        ("ws://a..b/m", "no media URL"),
        ("ws://a/m#frag", "no media URL"),
    ],
)
def test_a_url_that_twilio_could_not_call_is_refused(url: str, said: str):
    with pytest.raises(OperatorError, match=said):
        asyncio.run(place_call(url, CallerScript("test", (WaitStep(0),))))


# --- marks and clears ------------------------------------------------------------------------------------------------


def test_a_mark_comes_back_when_the_audio_before_it_has_been_heard():
    async def agent(line: AgentLine) -> None:
        await line.frames(10)
        await line.play(loud(25))
        await line.mark("half")
        await line.play(loud(25, seed=2))
        await line.mark("whole")
        await line.until_hung_up()

    call = Call(agent, WaitForAgentStep())
    (began,) = call.events(AgentSpeechStarted)
    echoes = [MarkEchoed(began.at_ms + 500, "half"), MarkEchoed(began.at_ms + 1_000, "whole")]
    assert call.events(MarkEchoed) == echoes
    assert call.events(AgentSpeechStopped) == [AgentSpeechStopped(began.at_ms + 1_000)]
    assert [call.agent_line.frames_before(echo.name) * 20 for echo in echoes] == [echo.at_ms for echo in echoes]


def test_a_mark_comes_back_at_once_when_nothing_is_playing():
    async def agent(line: AgentLine) -> None:
        await line.frames(10)
        await line.mark("now")
        assert (await line.until("mark"))["mark"] == {"name": "now"}
        await line.until_hung_up()

    call = Call(agent, WaitStep(600))
    (received,), (echoed,) = call.events(MarkReceived), call.events(MarkEchoed)
    assert received.at_ms == echoed.at_ms


def test_a_clear_sends_pending_marks_back_and_nothing_more_is_heard():
    async def agent(line: AgentLine) -> None:
        await line.play(loud(200))
        await line.mark("a")
        await line.play(loud(200))
        await line.mark("b")
        await line.frames(50)
        await line.send("clear")
        await line.until_hung_up()

    call = Call(agent, WaitStep(3_000))
    (cleared,), (began,) = call.events(ClearReceived), call.events(AgentSpeechStarted)
    assert call.events(MarkEchoed) == [MarkEchoed(cleared.at_ms, name, cleared=True) for name in ("a", "b")]
    assert call.events(AgentSpeechStopped) == [AgentSpeechStopped(cleared.at_ms)]
    assert cleared.dropped_ms == 400 * 20 - (cleared.at_ms - began.at_ms)


def test_what_is_said_right_after_a_clear_is_another_sentence():
    async def agent(line: AgentLine) -> None:
        await line.play(loud(200))
        await line.frames(50)
        await line.send("clear")
        await line.play(loud(10))
        await line.until_hung_up()

    call = Call(agent, WaitStep(2_000))
    stopped, _ = call.events(AgentSpeechStopped)
    _, began = call.events(AgentSpeechStarted)
    assert 0 <= began.at_ms - stopped.at_ms < 400


def test_audio_more_than_ten_minutes_ahead_is_discarded_and_said_once():
    async def agent(line: AgentLine) -> None:
        minute = loud(10) * 300
        for _ in range(12):
            await line.play(minute)
        await line.mark("end")
        await line.until_hung_up()

    call = Call(agent, WaitStep(2_000))
    assert len(call.events(AgentAudioDiscarded)) == 1


# --- recording -------------------------------------------------------------------------------------------------------


def read_stereo(path: Path) -> tuple[bytes, bytes]:
    raw = path.read_bytes()
    assert raw[:4] == b"RIFF"
    assert int.from_bytes(raw[22:24], "little") == 2
    assert int.from_bytes(raw[24:28], "little") == 8000
    return split_channels(raw[44:])


def test_a_recording_has_both_sides_as_heard_to_the_sample(tmp_path: Path):
    audio = loud(30, extra_bytes=100)

    async def agent(line: AgentLine) -> None:
        await line.frames(5)
        await line.play(audio[:3_000])
        for start in range(3_000, len(audio), 333):
            await line.play(audio[start : start + 333])
        await line.until_hung_up()

    call = Call(agent, WaitStep(40), SayStep(HELLO), WaitForAgentStep(), record_to=tmp_path / "call.wav")
    left, right = read_stereo(tmp_path / "call.wav")
    (began,) = call.events(AgentSpeechStarted)
    at_byte = began.at_ms * 8 * 2
    assert right[at_byte : at_byte + 2 * len(audio)] == mulaw_to_pcm16(audio)
    assert not any(right[:at_byte])
    assert not any(right[at_byte + 2 * len(audio) :])
    assert left == mulaw_to_pcm16(call.agent_line.caller_audio)
    assert len(left) == len(right) == call.report.closed.at_ms * 8 * 2
    assert call.report.recording == tmp_path / "call.wav"
    assert (tmp_path / "call.wav").stat().st_mode & 0o077 == 0


def test_a_recording_ends_where_the_call_was_cleared(tmp_path: Path):
    async def agent(line: AgentLine) -> None:
        await line.play(loud(200))
        await line.frames(50)
        await line.send("clear")
        await line.until_hung_up()

    call = Call(agent, WaitStep(2_000), record_to=tmp_path / "call.wav")
    right = read_stereo(tmp_path / "call.wav")[1]
    (began,), (cleared,) = call.events(AgentSpeechStarted), call.events(ClearReceived)
    heard_bytes = (cleared.at_ms - began.at_ms) * 8
    assert right[began.at_ms * 16 : cleared.at_ms * 16] == mulaw_to_pcm16(loud(200)[:heard_bytes])
    assert not any(right[cleared.at_ms * 16 :])


def test_a_recording_that_cannot_be_written_is_told_before_the_call(tmp_path: Path):
    script = CallerScript("test", (WaitStep(0),))
    for path in (tmp_path, tmp_path / "missing" / "call.wav"):
        with pytest.raises(OperatorError, match=f"the recording cannot be written: {path}: "):
            asyncio.run(place_call("ws://127.0.0.1:1/", script, record_to=path))


def test_a_call_that_breaks_is_recorded_until_then(tmp_path: Path):
    async def agent(line: AgentLine) -> None:
        await line.frames(30)
        line.socket.transport.abort()
        await line.until_hung_up()

    call = Call(agent, WaitForAgentStep(), record_to=tmp_path / "call.wav")
    assert call.report.closed.by == "line"
    assert len(read_stereo(tmp_path / "call.wav")[0]) >= 30 * 320


# --- scripts against agents ------------------------------------------------------------------------------------------


def test_a_caller_interrupts_at_the_right_moment_and_the_silence_is_measured():
    async def agent(line: AgentLine) -> None:
        await line.frames(20)
        await line.play(loud(300))
        heard = len(line.caller_audio)
        while not line.caller_audio[heard:].strip(b"\xff"):
            await line.frames(1)
        await line.frames(5)
        await line.send("clear")
        await line.frames(60)
        await line.play(loud(20))
        await line.until_hung_up()

    call = Call(agent, BargeInStep(900, HELLO), WaitForAgentStep())
    began = call.events(AgentSpeechStarted)[0]
    assert call.report.ok
    (barge_in,) = call.report.barge_ins
    (cleared,) = call.events(ClearReceived)
    assert barge_in.at_ms == began.at_ms + 900
    assert barge_in.silent_after_ms == cleared.at_ms - barge_in.at_ms
    (turn,) = call.report.turns
    assert turn.answered_after_ms == call.events(AgentSpeechStarted)[1].at_ms - turn.until_ms


def test_an_agent_that_never_speaks_is_a_failure_of_the_step_that_waited():
    call = Call(listens, WaitForAgentStep(at_most_ms=2_000))
    assert str(call.report.failure) == "step 1: waited 2000 ms, but the agent never spoke"
    assert call.report.closed == Closed(2_000, "caller", 1000, "waited 2000 ms, but the agent never spoke")
    assert not call.report.ok


def test_an_agent_that_hangs_up_early_is_a_failure_with_its_code():
    async def agent(line: AgentLine) -> None:
        await line.frames(10)
        await line.socket.close(1011, "out of order")

    call = Call(agent, WaitForAgentStep())
    assert (call.report.closed.by, call.report.closed.code) == ("agent", 1011)
    assert str(call.report.failure) == "step 1: the call was over: closed by the agent (code 1011): out of order"


def test_an_agent_that_hangs_up_as_expected_is_in_order():
    async def agent(line: AgentLine) -> None:
        await line.frames(10)

    call = Call(agent, ExpectHangUpStep(5_000))
    assert call.report.ok
    assert (call.report.closed.by, call.report.closed.code) == ("agent", 1000)


def test_an_agent_that_breaks_the_protocol_is_hung_up_on():
    async def agent(line: AgentLine) -> None:
        await line.frames(3)
        line.socket.transport.write(b"\xf7\x00")
        await line.until_hung_up()

    closed = Call(agent, WaitStep(5_000)).report.closed
    assert (closed.by, closed.code) == ("carrier", 1002)


def test_garbage_is_counted_and_ignored():
    async def agent(line: AgentLine) -> None:
        await line.frames(3)
        good = {"event": "media", "streamSid": line.stream, "media": {"payload": "AAAA"}}
        for garbage in (
            "",
            "nonsense",
            "[]",
            '{"event":"dance"}',
            "{" * 1_000,
            json.dumps({**good, "streamSid": "MZ"}),
        ):
            await line.socket.send(garbage)
        await line.socket.send(b"\x00\x01")
        await line.play(b"")
        await line.send("media", media={"payload": "not base64"})
        await line.send("media", media={"payload": 5})
        await line.send("mark", mark={})
        await line.play(loud(20))
        await line.until_hung_up()

    call = Call(agent, WaitForAgentStep())
    assert call.report.ignored_messages == len(call.events(MessageIgnored)) == 10
    assert call.report.ok


def test_a_flood_of_garbage_is_counted_but_not_listed():
    async def agent(line: AgentLine) -> None:
        for _ in range(500):
            await line.socket.send("?")
        await line.mark("end")
        await line.until("mark")

    call = Call(agent, ExpectHangUpStep(60_000))
    assert call.report.ignored_messages == 500
    assert len(call.events(MessageIgnored)) == 100


def test_an_agent_that_reads_nothing_loses_audio_and_does_not_hold_up_the_call():
    async def agent(line: AgentLine) -> None:
        for number in range(1_000):
            # Echoes of ten kilobytes fill what the computer keeps for the agent sooner than frames would.
            await line.mark(f"{number:010000}")
        await line.socket.wait_closed()

    call = Call(agent, WaitStep(60_000))
    assert call.report.discarded_frames > 0
    assert len(call.events(CallerAudioDiscarded)) == 1
    assert call.report.closed == Closed(60_000, "caller", None, "the script is over")


def test_a_refused_call_and_a_call_to_nobody_are_reports():
    async def refuse(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(403, "no\n")

    async def calls() -> tuple[CallReport, CallReport]:
        script = CallerScript("test", (WaitStep(0),))
        async with serve(listens, "127.0.0.1", 0, process_request=refuse) as server:  # type: ignore[arg-type] - it refuses
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
            refused = await place_call(url, script)
        return refused, await place_call(url, script)

    refused, nobody = asyncio.run(calls())
    assert refused.closed == Closed(0, "line", None, "the agent refused the call with HTTP 403")
    assert str(refused.failure).endswith("the agent refused the call with HTTP 403")
    assert re.fullmatch(r"nobody listens at 127\.0\.0\.1:\d+", nobody.closed.reason)
    assert not refused.connected
    assert not nobody.connected


def test_everything_is_told_live_too():
    call = Call(listens, PressStep("12"))
    assert tuple(event for _, event in call.live) == call.report.timeline


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_stall_is_reported_and_caught_up_with_so_that_nothing_drifts():
    call = Call(listens, WaitStep(2_000), PressStep("1"), stall_ms=500)
    assert call.report.lateness.max_ms == 500
    assert [told for told in call.live if isinstance(told[1], DigitSent)] == [(2_000, DigitSent(2_000, "1"))]
    assert len(call.agent_line.of("media")) == 101


def test_a_display_that_fails_ends_the_call_and_the_recording_is_kept(tmp_path: Path):
    def display(_event: TimelineEvent) -> None:
        raise ZeroDivisionError

    async def call() -> None:
        async with serve(lambda connection: listens(AgentLine(connection)), "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
            script = CallerScript("test", (WaitStep(40), PressStep("1")))
            await place_call(url, script, on_event=display, record_to=tmp_path / "call.wav")

    with pytest.raises(ExceptionGroup):
        asyncio.run(call())
    assert len(read_stereo(tmp_path / "call.wav")[0]) == 40 * 16


def test_a_call_in_real_time_takes_its_time_from_the_computer():
    async def call() -> tuple[CallReport, float]:
        async with serve(lambda connection: listens(AgentLine(connection)), "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
            began_s = asyncio.get_running_loop().time()
            report = await place_call(url, CallerScript("test", (WaitStep(100),)))
            return report, asyncio.get_running_loop().time() - began_s

    report, took_s = asyncio.run(call())
    assert report.ok
    assert took_s >= 0.1
