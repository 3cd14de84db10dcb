"""Amazon Nova through AWS's real SDK: HTTP/2, TLS, signed event streams; only who answers is ours.

How long things take is shown with `pytest --log-cli-level=INFO`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aws_sdk_bedrock_runtime", reason="needs tests/providers/requirements.txt and Python >= 3.12")
pytest.importorskip("h2", reason="needs tests/providers/requirements.txt")
pytest.importorskip("trustme", reason="needs tests/providers/requirements.txt")

from tests.providers.fake_nova import Brain, FakeNova, FakeSession, TrustingTransport
from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.nova import AwsCredentials, NovaSonicModels, Pace, stream
from voiceagent.models.nova.protocol import YOUR_TURN
from voiceagent.ports import (
    AudioFormat,
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    OfferedTool,
    SessionEnding,
    SessionLost,
    SessionSetup,
    SpeechModelEvent,
)
from voiceagent.testing.manual_clock import ManualClock

pytestmark = pytest.mark.providers

_log = logging.getLogger(__name__)
KEYS = AwsCredentials("AKIAEXAMPLE", "a-secret")
FRAME = bytes(1_024)
_numbers = count(1)


def setup(**changed: Any) -> SessionSetup:
    made: dict[str, Any] = {
        "epoch": Epoch(1),
        "prompt": "You are a bank.",
        "late_facts": "",
        "tools": (OfferedTool("get_balance", "Look up a balance.", {"type": "object", "properties": {}}),),
        "voice": None,
        "audio_in": AudioFormat("pcm16", 16_000),
        "audio_out": AudioFormat("pcm16", 8_000),
    }
    return SessionSetup(**{**made, **changed})


def said(role: str, text: str, **more: Any) -> Message:
    return Message(number=next(_numbers), role=role, text=text, epoch=Epoch(1), **more)  # type: ignore[arg-type]


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        asyncio.run(test(*args, **named))

    return run


class Posted:
    """What a session has posted, and a way to wait for more."""

    def __init__(self) -> None:
        self.events: list[SpeechModelEvent] = []
        self.at: list[float] = []
        self._more = asyncio.Event()

    def __call__(self, event: SpeechModelEvent) -> None:
        self.events.append(event)
        self.at.append(time.monotonic())
        self._more.set()

    async def until(self, wanted: Callable[[SpeechModelEvent], bool]) -> None:
        """Return once an event that is wanted has been posted."""
        async with asyncio.timeout(10):
            while not any(wanted(event) for event in self.events):
                self._more.clear()
                await self._more.wait()

    def audio(self, reply: str) -> bytes:
        """All audio of a reply."""
        return b"".join(
            event.audio for event in self.events if isinstance(event, ModelReplyAudio) and event.reply == reply
        )


def ended(reply: str) -> Callable[[SpeechModelEvent], bool]:
    return lambda event: isinstance(event, ModelReplyEnded) and event.reply == reply


def lost(event: SpeechModelEvent) -> bool:
    return isinstance(event, SessionLost)


def ms(began: float, ended_at: float) -> int:
    return round((ended_at - began) * 1_000)


async def in_time(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or the network brings about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it is brought about by the network, which sets no event
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def certificates_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "crt_transport", TrustingTransport)


@asynccontextmanager
async def nova(brain: Brain, **options: Any) -> AsyncIterator[tuple[FakeNova, NovaSonicModels]]:
    """Serve, and open an engine; in the end no task is left and no connection."""
    async with FakeNova(brain) as server:
        given: dict[str, Any] = {"region": "us-east-1", "clock": ManualClock(), "credentials": KEYS}
        engine = NovaSonicModels(**{**given, "endpoint": server.endpoint, **options})
        yield server, engine
        await engine.close()
        await in_time(lambda: not server.connections)
        await in_time(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def polite(session: FakeSession) -> None:
    """Answer the request, hear everything, end when the client does."""
    session.head()
    while await session.event() is not None:
        pass
    session.end()


# --- a session -------------------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_session_is_opened_heard_answered_and_ended() -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME) * 10)
        session.send("completionStart", sessionId="s", promptName="p", completionId="c")
        session.text("USER", "FINAL", "My balance, please.")
        session.say("Of course.", b"\1\0" * 800, last=False)
        session.say("It is twelve euros.", b"\2\0" * 400)
        delta = {"input": {"speechTokens": 40, "textTokens": 2}, "output": {"speechTokens": 20, "textTokens": 3}}
        session.send("usageEvent", details={"delta": delta, "total": delta}, totalTokens=65)
        session.say("Anything else?", b"\3\0" * 400)
        await polite(session)

    async with nova(brain) as (server, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        assert posted.events == []
        for _ in range(20):
            live.hear(FRAME[:512])
        await posted.until(ended("n2"))
        await live.close()
        (session,) = server.sessions
        assert session.path.startswith("/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream")
        assert session.names == [
            "sessionStart",
            "promptStart",
            "contentStart",
            "textInput",
            "contentEnd",
            "contentStart",
            "audioInput",
            "contentEnd",
            "promptEnd",
            "sessionEnd",
        ]
        assert session.ended
        assert [event for event in posted.events if not isinstance(event, ModelReplyAudio)] == [
            CallerTranscribed("My balance, please.", final=True),
            ModelReplyBegan("n1"),
            ModelReplyText("n1", "Of course."),
            ModelReplyText("n1", "It is twelve euros."),
            ModelReplyEnded("n1", "complete"),
            ModelReplyBegan("n2"),
            ModelReplyText("n2", "Anything else?"),
            ModelReplyEnded("n2", "complete", input_tokens=42, output_tokens=23),
        ]
        assert posted.audio("n1") == b"\1\0" * 800 + b"\2\0" * 400
        assert live.ignored == {}


@on_a_loop
async def test_a_tool_is_asked_for_and_its_result_makes_the_model_go_on() -> None:
    results: list[dict[str, Any]] = []

    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME))
        session.use_tool("t1", "get_balance", account="1")
        results.append(await session.until(lambda name, _: name == "toolResult"))
        session.say("It is twelve euros.", b"\1\0" * 400)
        await polite(session)

    async with nova(brain) as (server, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        live.hear(FRAME * 3)
        await posted.until(lambda event: isinstance(event, ModelToolRequested))
        await posted.until(ended("n1"))
        live.tell([said("tool_result", '{"balance": "12.00"}', request="t1", tool="get_balance")])
        live.ask()
        await posted.until(ended("n2"))
        await live.close()
        assert results[0]["content"] == '{"balance": "12.00"}'
        assert server.sessions[0].texts == [("SYSTEM", False, "You are a bank.")]


@on_a_loop
async def test_an_ask_makes_the_model_speak_first() -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_asked()
        session.text("USER", "FINAL", "")
        session.say("Welcome to the bank.", b"\1\0" * 400)
        await polite(session)

    async with nova(brain) as (server, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        live.ask()
        for _ in range(5):
            live.hear(FRAME)
        await posted.until(ended("n1"))
        await live.close()
        assert server.sessions[0].texts[1:] == [("USER", True, YOUR_TURN)]
        assert posted.events[0] == ModelReplyBegan("n1")


@on_a_loop
async def test_a_caller_who_cuts_in_is_heard_by_the_model() -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME))
        session.say("The balance of your account is twelve euros.", b"\1\0" * 8_000)
        await session.until_heard(len(FRAME) * 3)
        session.text("ASSISTANT", "FINAL", '{ "interrupted" : true }', stop="INTERRUPTED")
        await polite(session)

    async with nova(brain) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        live.hear(FRAME)
        await posted.until(ended("n1"))
        live.hear(FRAME * 2)
        await posted.until(lambda event: event == ModelInterrupted("n1"))
        await live.close()


@on_a_loop
async def test_two_sessions_live_side_by_side_each_on_its_own_connection() -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME))
        session.say(f"You said {session.audio[0]}.", b"\1\0" * 400)
        await polite(session)

    async with nova(brain) as (server, engine):
        first, second = Posted(), Posted()
        one = await engine.connect(setup(), first)
        other = await engine.connect(setup(), second)
        assert len(server.connections) == 2
        one.hear(b"\1" * 1_024)
        other.hear(b"\2" * 1_024)
        await first.until(ended("n1"))
        await one.close()
        await second.until(ended("n1"))
        await other.close()
        assert ModelReplyText("n1", "You said 1.") in first.events
        assert ModelReplyText("n1", "You said 2.") in second.events


# --- the swap --------------------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_standby_is_primed_ahead_and_promoted_with_facts_and_history() -> None:
    async with nova(polite) as (server, engine):
        began = time.monotonic()
        standby = await engine.connect(setup(prompt="You look after accounts."), Posted())
        connected = time.monotonic()
        (session,) = server.sessions
        await in_time(lambda: len(session.events) == 5)
        _log.info("standby: connected %d ms, primed %d ms", ms(began, connected), ms(began, session.came_at[-1]))
        assert session.texts == [("SYSTEM", False, "You look after accounts.")]
        promoted = time.monotonic()
        standby.tell([said("note", "Maria Lopez calls."), said("agent", "Thank you."), said("caller", "My balance.")])
        standby.hear(FRAME * 94)
        await in_time(lambda: len(session.audio) == 94 * len(FRAME))
        _log.info("promoted: history and 3 s of audio there after %d ms", ms(promoted, session.came_at[-1]))
        assert session.names[5:] == [*["contentStart", "textInput", "contentEnd"] * 3, "contentStart", "audioInput"]
        assert session.texts[1:] == [
            ("USER", False, "[Maria Lopez calls.]"),
            ("ASSISTANT", False, "Thank you."),
            ("USER", False, "My balance."),
        ]
        await standby.close()


@on_a_loop
async def test_a_swap_with_three_seconds_of_speech_in_flight_loses_and_doubles_no_sample() -> None:
    speech = array("h", (number % 60_000 - 30_000 for number in range(16_000 * 8))).tobytes()
    cut_off = 2 * 20_003  # in the middle of everybody's frames
    twenty_ms = 640

    async with nova(polite) as (server, engine):
        old = await engine.connect(setup(), Posted())
        standby = await engine.connect(setup(prompt="You look after accounts."), Posted())
        at = 0
        while at < cut_off:
            old.hear(speech[at : min(at + twenty_ms, cut_off)])
            at = min(at + twenty_ms, cut_off)
        in_flight = speech[cut_off : cut_off + 3 * 32_000]
        standby.tell([said("caller", "My balance, please.")])
        standby.hear(in_flight)
        standby.ask()
        at = cut_off + len(in_flight)
        closing = asyncio.create_task(old.close())
        while at < len(speech):
            standby.hear(speech[at : at + twenty_ms])
            at += twenty_ms
        await closing
        await standby.close()
        before, after = server.sessions
        assert bytes(before.audio) == speech[:cut_off]
        assert bytes(after.audio) == speech[cut_off:]
        assert [text for text in after.texts if text[1]] == [("USER", True, YOUR_TURN)]
        assert before.ended
        assert after.ended


@on_a_loop
async def test_p8_p18_a_hand_off_call_is_never_answered_in_the_session_that_is_left() -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME))
        if session.texts[0][2] == "You are a bank.":
            session.use_tool("t1", "get_balance")
        else:
            session.say("Your balance is twelve euros.", b"\1\0" * 400)
        await polite(session)

    async with nova(brain) as (server, engine):
        first, second = Posted(), Posted()
        old = await engine.connect(setup(), first)
        old.hear(FRAME)
        await first.until(ended("n1"))
        new = await engine.connect(setup(prompt="You look after accounts."), second)
        new.tell(
            [
                said("tool_request", "{}", request="t1", tool="get_balance"),
                said("tool_result", '{"balance": 12}', request="t1", tool="get_balance"),
            ]
        )
        new.hear(FRAME)
        await old.close()
        await second.until(ended("n1"))
        await new.close()
        before, after = server.sessions
        assert "toolResult" not in before.names
        assert ("USER", False, '[Earlier, get_balance({}) returned: {"balance": 12}]') in after.texts


@on_a_loop
async def test_a_swap_survives_the_loss_of_the_old_session() -> None:
    async def brain(session: FakeSession) -> None:
        if session.number_in_call == 1:
            session.head()
            await session.until_heard(len(FRAME))
            session.drop()
        else:
            await polite(session)

    async with nova(brain) as (server, engine):
        posted = Posted()
        old = await engine.connect(setup(), posted)
        standby = await engine.connect(setup(), Posted())
        old.hear(FRAME)
        await posted.until(lost)
        standby.hear(FRAME * 3)
        await old.close()
        await standby.close()
        assert bytes(server.sessions[1].audio) == FRAME * 3


# --- failures --------------------------------------------------------------------------------------------------------

REFUSALS = [
    (429, "ThrottlingException", False, None),
    (403, "AccessDeniedException", True, None),
    (403, "UnrecognizedClientException", True, None),
    (403, "ExpiredTokenException", True, None),
    (404, "ResourceNotFoundException", True, None),
    (400, "ValidationException", True, None),
    (500, "InternalServerException", False, 0),
    (503, "ServiceUnavailableException", False, 0),
    (401, "SomethingNewException", True, None),
]


@pytest.mark.parametrize(("status", "error", "permanent", "retry_after_ms"), REFUSALS)
@on_a_loop
async def test_a_refusal_is_told_in_our_own_words(
    status: int, error: str, permanent: bool, retry_after_ms: int | None
) -> None:
    async def brain(session: FakeSession) -> None:
        session.refuse(status, error, "the key AKIAEXAMPLE said My balance, please.")

    async with nova(brain) as (_, engine):
        with pytest.raises(ModelUnavailable) as failure:
            await engine.connect(setup(), Posted())
        assert failure.value.permanent is permanent
        assert failure.value.retry_after_ms == retry_after_ms
        assert "AKIA" not in str(failure.value)
        assert "balance" not in str(failure.value)


@on_a_loop
async def test_a_throttled_client_waits_as_long_as_it_is_told_to() -> None:
    async def brain(session: FakeSession) -> None:
        session.refuse(429, "ThrottlingException", x_amz_retry_after="1500")

    async with nova(brain) as (_, engine):
        with pytest.raises(ModelUnavailable) as failure:
            await engine.connect(setup(), Posted())
        assert failure.value.retry_after_ms == 1_500


BREAKS = [
    ("throttlingException", "slow down", "ThrottlingException", False),
    ("modelTimeoutException", "8 minutes", "reached its limit", False),
    ("validationException", "InternalErrorCode=531::RST_STREAM closed stream.", "nobody spoke", False),
    ("validationException", "bad content", "ValidationException", False),
    ("internalServerException", "oops", "InternalServerException", False),
    ("modelStreamErrorException", "oops", "ModelStreamErrorException", False),
    ("serviceUnavailableException", "oops", "ServiceUnavailableException", False),
]


@pytest.mark.parametrize(("exception", "message", "reason", "permanent"), BREAKS)
@on_a_loop
async def test_a_session_that_breaks_off_is_lost_once_for_a_reason(
    exception: str, message: str, reason: str, permanent: bool
) -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME))
        session.say("One moment", b"\1\0" * 400, last=False)
        session.fail(exception, message)

    async with nova(brain) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        live.hear(FRAME)
        await posted.until(lost)
        live.hear(FRAME)
        await live.close()
        (loss,) = [event for event in posted.events if isinstance(event, SessionLost)]
        assert reason in loss.reason
        assert message not in loss.reason
        assert loss.permanent is permanent
        assert posted.events[-1] is loss


@on_a_loop
async def test_a_setup_that_is_refused_once_the_session_lives_is_permanent() -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME))
        session.fail("validationException", "unknown voice")

    async with nova(brain) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(voice="nobody"), posted)
        live.hear(FRAME)
        await posted.until(lost)
        await live.close()
        assert [event.permanent for event in posted.events if isinstance(event, SessionLost)] == [True]


@pytest.mark.parametrize("how", ["drops", "hangs up"])
@on_a_loop
async def test_a_connection_that_is_gone_loses_the_session(how: str) -> None:
    async def brain(session: FakeSession) -> None:
        session.head()
        await session.until_heard(len(FRAME))
        session.drop() if how == "drops" else session.end()

    async with nova(brain) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        live.hear(FRAME)
        await posted.until(lost)
        await live.close()


@on_a_loop
async def test_events_that_nobody_knows_are_counted_and_the_session_goes_on() -> None:
    async def brain(session: FakeSession) -> None:
        session.send("somethingNew", more={"x": 1})
        session.send("audioOutput", contentId="never started", content="AAAA")
        session.say("Hello.", b"\1\0" * 400)
        await polite(session)

    async with nova(brain) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        await posted.until(ended("n1"))
        await live.close()
        assert live.ignored == {"event somethingNew": 1, "audioOutput without a contentStart": 1}


# --- time ------------------------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_provider_that_confirms_nothing_has_confirmed_by_its_silence() -> None:
    async def brain(session: FakeSession) -> None:
        await session.until_heard(len(FRAME))
        session.say("Hello.", b"\1\0" * 400)
        await polite(session)

    async with nova(brain, confirm_ms=100) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        live.hear(FRAME)
        await posted.until(ended("n1"))
        await live.close()


@pytest.mark.parametrize("silence", ["no answer", "no end", "deaf"])
@on_a_loop
async def test_closing_takes_bounded_time_though_the_server_is_silent(silence: str) -> None:
    async def brain(session: FakeSession) -> None:
        if silence != "no answer":
            session.head()
        while await session.event() is not None:
            pass
        await asyncio.sleep(30)

    async with nova(brain, confirm_ms=50, pace=Pace(close_ms=200)) as (server, engine):
        live = await engine.connect(setup(), Posted())
        server.deaf = silence == "deaf"
        live.hear(FRAME * 200)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await live.close()
        took_ms = ms(began, time.monotonic())
        _log.info("close, %s: %d ms", silence, took_ms)
        assert took_ms < 2_000


@on_a_loop
async def test_a_server_that_is_not_there_is_not_waited_for() -> None:
    async with nova(polite, endpoint="https://localhost:9") as (_, engine):
        with pytest.raises(ModelUnavailable) as failure:
            await engine.connect(setup(), Posted())
        assert not failure.value.permanent


@on_a_loop
async def test_a_server_that_never_shakes_hands_is_given_up_and_leaves_no_connection() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)
        writer.close()

    listening = await asyncio.start_server(mute, "127.0.0.1", 0)
    endpoint = f"https://localhost:{listening.sockets[0].getsockname()[1]}"
    async with nova(polite, endpoint=endpoint, connect_ms=200) as (_, engine):
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match="could not be reached within 200 ms"):
            await engine.connect(setup(), Posted())
        assert time.monotonic() - began < 0.5
    listening.close()
    await listening.wait_closed()


@pytest.mark.parametrize("after_ms", [0, 1, 5, 10, 20, 30, 40, 60, 80, 120])
@on_a_loop
async def test_a_connect_that_is_abandoned_leaves_nothing_behind(after_ms: int) -> None:
    async def brain(session: FakeSession) -> None:
        while await session.event() is not None:
            pass

    async with nova(brain, confirm_ms=5_000) as (_, engine):
        connecting = asyncio.create_task(engine.connect(setup(), Posted()))
        await asyncio.sleep(after_ms / 1_000)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


@on_a_loop
async def test_how_long_it_takes_to_connect_and_to_hear_the_first_event() -> None:
    async def brain(session: FakeSession) -> None:
        session.send("completionStart", sessionId="s", promptName="p", completionId="c")
        await session.until_heard(len(FRAME))
        session.say("Hello.", b"\1\0" * 400)
        await polite(session)

    connects: list[float] = []
    firsts: list[float] = []
    closes: list[float] = []
    async with nova(brain) as (_, engine):
        for _ in range(10):
            posted = Posted()
            began = time.monotonic()
            live = await engine.connect(setup(), posted)
            connects.append(time.monotonic() - began)
            heard = time.monotonic()
            live.hear(FRAME)
            await posted.until(ended("n1"))
            firsts.append(posted.at[0] - heard)
            closing = time.monotonic()
            await live.close()
            closes.append(time.monotonic() - closing)
    for what, took in (("connect", connects), ("hear to first event", firsts), ("close", closes)):
        took.sort()
        _log.info("%s: p50 %d ms, max %d ms", what, ms(0, took[len(took) // 2]), ms(0, took[-1]))
    assert connects[len(connects) // 2] < 1


# --- credentials -----------------------------------------------------------------------------------------------------


@on_a_loop
async def test_credentials_may_be_fetched_anew_for_each_session() -> None:
    asked: list[int] = []

    async def fetch() -> AwsCredentials:
        asked.append(1)
        return AwsCredentials(f"AKIA{len(asked)}", "a-secret", "a-token")

    async with nova(polite, credentials=fetch) as (_, engine):
        for _ in range(2):
            live = await engine.connect(setup(), Posted())
            live.hear(FRAME * 4)
            await live.close()
    assert len(asked) == 2


@on_a_loop
async def test_credentials_that_cannot_be_fetched_now_may_be_fetched_later() -> None:
    async def fetch() -> AwsCredentials:
        raise RuntimeError("the token a-secret was refused")

    async with nova(polite, credentials=fetch) as (_, engine):
        with pytest.raises(ModelUnavailable, match=r"no credentials for .* \(RuntimeError\)$") as failure:
            await engine.connect(setup(), Posted())
        assert not failure.value.permanent


@on_a_loop
async def test_the_default_chain_finds_credentials_where_aws_tools_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    async with nova(polite, credentials=None) as (server, engine):
        live = await engine.connect(setup(), Posted())
        await live.close()
        assert len(server.sessions) == 1


@on_a_loop
async def test_no_credentials_anywhere_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with nova(polite, credentials=None) as (_, engine):
        with pytest.raises(ModelUnavailable, match=r"no credentials for .* \(IdentityChainError\)") as failure:
            await engine.connect(setup(), Posted())
        assert failure.value.permanent


@on_a_loop
async def test_expired_credentials_are_not_even_tried() -> None:
    expired = AwsCredentials("AKIA", "a-secret", "a-token", datetime(2020, 1, 1, tzinfo=UTC))
    async with nova(polite, credentials=expired) as (server, engine):
        with pytest.raises(ModelUnavailable, match="have expired"):
            await engine.connect(setup(), Posted())
        assert server.sessions == []


@on_a_loop
async def test_credentials_that_end_before_the_session_does_are_told_ahead() -> None:
    clock = ManualClock()
    expires = datetime.fromtimestamp(clock.unix_ms() / 1_000, UTC) + timedelta(minutes=3)
    async with nova(polite, clock=clock, credentials=AwsCredentials("AKIA", "s", "t", expires)) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        clock.advance(119_999)
        assert posted.events == []
        clock.advance(1)
        assert posted.events == [SessionEnding(60_000)]
        await live.close()


@on_a_loop
async def test_the_sdk_logs_neither_words_nor_voice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with nova(polite) as (_, engine):
            live = await engine.connect(setup(), Posted())
            live.tell([said("caller", "My secret word.")])
            live.hear(FRAME * 4)
            await live.close()
    assert "secret" not in caplog.text
    assert "You are a bank" not in caplog.text
