"""A session of Amazon Nova through AWS's real SDK, and the swap from one to the next."""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from typing import Any

import pytest

pytest.importorskip("aws_sdk_bedrock_runtime", reason="needs tests/providers/requirements.txt and Python >= 3.12")
pytest.importorskip("h2", reason="needs tests/providers/requirements.txt")
pytest.importorskip("trustme", reason="needs tests/providers/requirements.txt")

from tests.providers.fake_nova import FakeSession
from tests.providers.nova_sdk import FRAME, Posted, ended, in_time, lost, ms, nova, on_a_loop, polite, said, setup
from voiceagent.models.nova.protocol import YOUR_TURN
from voiceagent.ports import (
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
)

pytestmark = [pytest.mark.providers, pytest.mark.usefixtures("certificates_are_not_checked")]

_log = logging.getLogger(__name__)


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
