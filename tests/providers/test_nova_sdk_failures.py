"""Amazon Nova through AWS's real SDK where it refuses, breaks off or takes its time.

How long things take is shown with `pytest --log-cli-level=INFO`.
"""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

pytest.importorskip("aws_sdk_bedrock_runtime", reason="needs tests/providers/requirements.txt and Python >= 3.12")
pytest.importorskip("h2", reason="needs tests/providers/requirements.txt")
pytest.importorskip("trustme", reason="needs tests/providers/requirements.txt")

from tests.providers.fake_nova import FakeSession
from tests.providers.nova_sdk import FRAME, Posted, ended, lost, ms, nova, on_a_loop, polite, setup
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.nova import Pace
from voiceagent.ports import SessionLost

pytestmark = [pytest.mark.providers, pytest.mark.usefixtures("certificates_are_not_checked")]

_log = logging.getLogger(__name__)


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
