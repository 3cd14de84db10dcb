"""A live Nova session between its owner and a line, on virtual time: what is queued, what is posted, how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.errors import MissingExtra, OperatorError, VoiceFailed
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.nova import AwsCredentials, NovaSonicModels, Pace
from voiceagent.models.nova.protocol import NovaProtocol
from voiceagent.models.nova.session import NovaSession
from voiceagent.ports import (
    AudioFormat,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    SessionEnding,
    SessionLost,
    SessionSetup,
    SpeechModelEvent,
)
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.testing.virtual_loop import VirtualClock, VirtualLoop, run_virtual

SETUP = SessionSetup(
    epoch=Epoch(1),
    prompt="You are a bank.",
    late_facts="",
    tools=(),
    voice=None,
    audio_in=AudioFormat("pcm16", 16_000),
    audio_out=AudioFormat("pcm16", 8_000),
)
FRAME = bytes(1_024)


class Line:
    """A stream in memory: it keeps what was sent, and when."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str]] = []
        self.audio = bytearray()
        self.coming: asyncio.Queue[bytes | ModelUnavailable | None] = asyncio.Queue()
        self.stuck = False
        self.breaks: ModelUnavailable | None = None
        self.finished = False
        self.aborts = 0
        self.hangs_up_when_finished = True

    async def opened(self, *, patience_ms: int) -> None:
        del patience_ms

    async def send(self, payload: bytes) -> None:
        if self.stuck:
            await asyncio.sleep(3_600)
        if self.breaks is not None:
            raise self.breaks
        ((name, body),) = json.loads(payload)["event"].items()
        self.sent.append((now_ms(), name))
        if name == "audioInput":
            self.audio += base64.b64decode(body["content"])

    async def receive(self) -> bytes | None:
        coming = await self.coming.get()
        if isinstance(coming, ModelUnavailable):
            raise coming
        return coming

    async def finish(self) -> None:
        self.finished = True
        if self.hangs_up_when_finished:
            self.coming.put_nowait(None)

    async def abort(self) -> None:
        self.aborts += 1
        self.coming.put_nowait(None)

    def say(self, name: str, **body: Any) -> None:
        self.coming.put_nowait(json.dumps({"event": {name: body}}).encode())

    def announce(self, words: str) -> None:
        stage = json.dumps({"generationStage": "SPECULATIVE"})
        self.say("contentStart", contentId=words, type="TEXT", role="ASSISTANT", additionalModelFields=stage)
        self.say("textOutput", contentId=words, content=words)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.sent]


def now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1_000)


Scene = Callable[[NovaSession, Line, list[SpeechModelEvent]], Coroutine[Any, Any, None]]


def play(scene: Scene, *, pace: Pace | None = None, ends_at_ms: int | None = None, closes: bool = True) -> None:
    """Play a scene with a session that has been set up; in the end nothing of it may be left."""

    async def playing() -> None:
        line, posted = Line(), list[SpeechModelEvent]()
        protocol = NovaProtocol(SETUP, session=uuid.UUID(int=1))
        for frame in protocol.take_frames():
            await line.send(frame.payload)
        session = NovaSession(protocol, line, posted.append, model="nova", pace=pace or Pace())
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        if ends_at_ms is not None:
            session.expires(VirtualClock(loop), ends_at_ms=ends_at_ms, notice_ms=60_000)
        await scene(session, line, posted)
        if closes:
            await session.close()
        await asyncio.sleep(10)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert line.aborts == 1

    run_virtual(playing())


def test_what_is_heard_goes_out_in_order_after_the_history() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        session.tell([Message(number=1, role="caller", text="Hello.", epoch=Epoch(1))])
        session.hear(FRAME * 3)
        await asyncio.sleep(1)
        assert line.names[5:] == ["contentStart", "textInput", "contentEnd", "contentStart", *["audioInput"] * 3]
        assert posted == []

    play(scene)


@pytest.mark.parametrize("settle_ms", [0, 10])
def test_p7_the_writer_pauses_between_blocks_as_long_as_it_is_told_to(settle_ms: int) -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        del posted
        line.sent.clear()
        history = [
            Message(number=number, role="agent" if number % 2 else "caller", text="Well.", epoch=Epoch(1))
            for number in range(4)
        ]
        began_ms = now_ms()
        session.tell(history)
        session.hear(FRAME)
        await asyncio.sleep(1)
        (audio_at_ms,) = [at_ms for at_ms, name in line.sent if name == "audioInput"]
        assert audio_at_ms - began_ms == 5 * settle_ms

    play(scene, pace=Pace(settle_ms=settle_ms))


def test_events_are_posted_in_order_and_never_from_within_a_call() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        session.hear(FRAME)
        line.announce("Hello.")
        await asyncio.sleep(1)
        assert posted == [ModelReplyBegan("n1"), ModelReplyText("n1", "Hello.")]
        session.cancel()
        assert len(posted) == 2
        await asyncio.sleep(0)
        assert posted[2:] == [ModelReplyEnded("n1", "cancelled")]

    play(scene)


def test_a_session_ends_in_good_order_with_all_that_was_heard() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        session.hear(b"\1\0" * 700)
        await session.close()
        assert line.audio == b"\1\0" * 700
        assert line.names[-3:] == ["contentEnd", "promptEnd", "sessionEnd"]
        assert line.finished
        session.hear(FRAME)
        session.ask()
        session.cancel()
        await session.close()
        assert posted == []

    play(scene)


def test_nothing_is_posted_once_the_owner_has_closed() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        line.hangs_up_when_finished = False
        closing = asyncio.create_task(session.close())
        await asyncio.sleep(0.1)
        line.announce("Too late.")
        line.coming.put_nowait(ModelUnavailable("nova answered ThrottlingException"))
        await closing
        assert posted == []

    play(scene)


@pytest.mark.parametrize("stuck", [False, True])
def test_closing_takes_bounded_time_though_the_provider_is_silent(stuck: bool) -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        del posted
        line.hangs_up_when_finished = False
        line.stuck = stuck
        began_ms = now_ms()
        await session.close()
        assert now_ms() - began_ms <= 1_000

    play(scene)


def test_a_close_that_is_cancelled_lets_the_connection_go_all_the_same() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        del posted
        line.hangs_up_when_finished = False
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.close()

    play(scene, closes=False)


def test_a_provider_that_takes_less_than_is_said_loses_the_session() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        line.stuck = True
        session.hear(FRAME)
        await asyncio.sleep(0)
        session.hear(FRAME * 2_000)
        assert posted == []
        await asyncio.sleep(0)
        assert posted == [SessionLost("nova takes less than it is sent", permanent=False)]
        session.hear(FRAME)
        await asyncio.sleep(10)
        assert len(posted) == 1

    play(scene, closes=False)


def test_a_provider_that_takes_nothing_for_too_long_loses_the_session() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        line.stuck = True
        session.hear(FRAME)
        await asyncio.sleep(6)
        assert posted == [SessionLost("nova has taken nothing for 5000 ms", permanent=False)]

    play(scene)


@pytest.mark.parametrize("permanent", [False, True])
def test_a_failure_of_the_provider_loses_the_session(permanent: bool) -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        line.coming.put_nowait(ModelUnavailable("nova answered so", permanent=permanent))
        await asyncio.sleep(1)
        assert posted == [SessionLost("nova answered so", permanent)]

    play(scene, closes=False)


def test_a_failure_to_send_loses_the_session_once() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        line.breaks = ModelUnavailable("the connection to nova failed")
        session.hear(FRAME)
        await asyncio.sleep(1)
        assert posted == [SessionLost("the connection to nova failed", permanent=False)]

    play(scene)


def test_a_provider_that_hangs_up_loses_the_session() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        line.coming.put_nowait(None)
        await asyncio.sleep(1)
        assert posted == [SessionLost("nova hung up", permanent=False)]

    play(scene)


def test_p13_credentials_that_expire_are_told_by_the_clock_also_to_an_idle_caller() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        await asyncio.sleep(240)
        assert posted == []
        await asyncio.sleep(1)
        assert posted == [SessionEnding(60_000)]

    play(scene, ends_at_ms=300_000 + 500)


def test_nobody_is_told_of_an_expiry_after_the_close() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        await session.close()
        await asyncio.sleep(400)
        assert posted == []

    play(scene, ends_at_ms=300_000)


def test_a_loss_that_has_not_been_posted_is_not_posted_after_the_close() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        line.stuck = True
        session.hear(FRAME)
        await asyncio.sleep(0)
        session.hear(FRAME * 2_000)
        await session.close()
        assert posted == []

    play(scene, closes=False)


def test_prompt_and_tools_cannot_be_changed_in_place() -> None:
    async def scene(session: NovaSession, line: Line, posted: list[SpeechModelEvent]) -> None:
        with pytest.raises(VoiceFailed, match="needs another session"):
            session.update(SETUP)
        session.truncate("n1", 300)
        await asyncio.sleep(0)
        assert posted == []

    play(scene)


def test_p17_a_model_that_cannot_speak_first_is_refused() -> None:
    with pytest.raises(OperatorError, match="only once it has been spoken to"):
        NovaSonicModels("amazon.nova-sonic-v1:0", region="us-east-1", clock=ManualClock())


def test_a_region_is_needed() -> None:
    with pytest.raises(OperatorError, match="AWS region"):
        NovaSonicModels(region="", clock=ManualClock())


def test_a_missing_sdk_is_refused_at_start_with_the_name_of_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aws_sdk_bedrock_runtime.client", None)
    with pytest.raises(MissingExtra, match=r"voiceagent\[nova\]"):
        NovaSonicModels(region="us-east-1", clock=ManualClock())


def test_keys_are_not_shown() -> None:
    shown = repr(AwsCredentials("AKIA", "very-secret", "token-of-mine"))
    assert "very-secret" not in shown
    assert "token-of-mine" not in shown
