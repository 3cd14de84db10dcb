"""Fault 22: a closed port, a listener that nobody reads from, a black hole: three seconds at most, then a breaker."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.models.calls import asked, model_at
from tests.models.dialects import DIALECTS, Dialect
from tests.models.realtime_frames import setup
from tests.tools.conftest import http_library
from voiceagent.breaker import Breaker, Breakers
from voiceagent.errors import VoiceFailed
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.models.rested_speech import RestedSpeechModel
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.service import ConnectionPool, ServiceUnreachable

__all__ = ["http_library"]


@contextmanager
def closed_port() -> Iterator[str]:
    with socket.socket() as taken:  # by nobody who listens, and by nobody else
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """Yield an address where nobody answers: the kernel has no more room, so it drops the first packet."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def unread_listener() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


GIVEN_UP_WITHIN_S = 5.8
"""Three, and what a busy machine adds; twice three would be a second attempt at somebody who does not answer."""
NOWHERE = pytest.mark.parametrize("nowhere", [closed_port, black_hole, unread_listener])


# --- within three seconds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nowhere", [closed_port, black_hole])
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_model_that_cannot_be_connected_is_given_up_after_three_seconds(nowhere: Any, dialect: Dialect) -> None:
    async def ask(where: str) -> float:
        async with model_at(dialect, f"http://{where}", first_piece_ms=20_000) as model:
            began = time.monotonic()
            with pytest.raises(ModelUnavailable):
                await anext(aiter(model.reply(asked())))
            return time.monotonic() - began

    with nowhere() as where:
        # A refused connection is tried once more, after a short pause; a black hole is not.
        assert asyncio.run(ask(where)) < GIVEN_UP_WITHIN_S


@NOWHERE
def test_a_speech_model_that_cannot_be_connected_is_given_up_after_three_seconds(nowhere: Any) -> None:
    async def connect(where: str) -> float:
        models = OpenAIRealtimeModels(openai_endpoint("m", api_key="k", base_url=f"ws://{where}/v1"))
        began = time.monotonic()
        with pytest.raises(VoiceFailed):
            await models.connect(setup(), lambda event: None)
        return time.monotonic() - began

    with nowhere() as where:
        assert asyncio.run(connect(where)) < GIVEN_UP_WITHIN_S


@pytest.mark.parametrize("nowhere", [closed_port, black_hole])
def test_a_service_that_cannot_be_connected_is_given_up_after_three_seconds(nowhere: Any) -> None:
    async def ask(where: str) -> float:
        pool = ConnectionPool(internal=[f"http://{where}"])
        began = time.monotonic()
        with pytest.raises(ServiceUnreachable) as raised:
            await pool.send("POST", f"http://{where}/transfers", headers={}, json={})
        assert not raised.value.may_have_arrived
        await pool.close()
        return time.monotonic() - began

    with nowhere() as where:
        assert asyncio.run(ask(where)) < GIVEN_UP_WITHIN_S


# --- the breaker -----------------------------------------------------------------------------------------------------


def attempt(breaker: Breaker, *, works: bool) -> bool:
    """Make an attempt if one may be made; returns whether it was."""
    this = object()
    if not breaker.admits(this):
        return False
    if works:
        breaker.answered()
    else:
        breaker.failed()
    breaker.leave(this)
    return True


def test_it_opens_after_so_many_failures_in_a_row_and_then_lets_one_attempt_in() -> None:
    clock = ManualClock()
    breaker = Breaker(clock, failures_to_open=3, rest_ms=10_000)
    assert [attempt(breaker, works=works) for works in (False, False, True, False, False, False)] == [True] * 6
    assert not attempt(breaker, works=True)
    clock.advance(9_999)
    assert not attempt(breaker, works=True)
    clock.advance(1)
    probe = object()
    assert breaker.admits(probe)
    assert not breaker.admits(object()), "half open: one, and no more"
    breaker.leave(probe)
    assert attempt(breaker, works=True), "one that was abandoned has shown nothing"
    assert attempt(breaker, works=True)
    assert attempt(breaker, works=True)


def test_a_probe_that_fails_opens_it_again() -> None:
    clock = ManualClock()
    breaker = Breaker(clock, failures_to_open=1, rest_ms=10_000)
    attempt(breaker, works=False)
    clock.advance(10_000)
    assert attempt(breaker, works=False)
    assert not attempt(breaker, works=True)


def test_breakers_are_forgotten_before_there_are_too_many_of_them() -> None:
    breakers = Breakers(ManualClock())
    first = breakers.of("first")
    for number in range(200):
        breakers.of(f"host {number}")
    assert breakers.of("first") is first
    for number in range(300):
        breakers.of(f"another {number}")
    assert breakers.of("first") is not first


def test_a_service_that_is_down_fails_at_once_until_it_has_rested_and_is_then_tried_once() -> None:
    async def main() -> None:
        clock = ManualClock()
        with socket.socket() as port:
            port.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{port.getsockname()[1]}"
            pool = ConnectionPool(internal=[url], clock=clock)

            async def send() -> Any:
                return await pool.send("GET", f"{url}/x", headers={})

            for _ in range(5):
                with pytest.raises(ServiceUnreachable):
                    await send()
            taken: list[bytes] = []

            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                taken.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                writer.close()

            async with await asyncio.start_server(answer, sock=port):
                with pytest.raises(ServiceUnreachable) as refused:
                    await send()
                assert not refused.value.may_have_arrived
                assert taken == []
                clock.advance(30_000)
                assert (await send()).json() == {}
                assert (await send()).json() == {}
            await pool.close()

    asyncio.run(main())


def test_a_service_that_takes_requests_and_never_answers_opens_its_breaker_too() -> None:
    async def main() -> None:
        clock = ManualClock()
        with unread_listener() as where:
            url = f"http://{where}"
            pool = ConnectionPool(internal=[url], clock=clock)
            for _ in range(5):
                sending = asyncio.ensure_future(pool.send("GET", f"{url}/x", headers={}))
                await asyncio.sleep(0.05)
                clock.advance(4_000)
                sending.cancel()
                await asyncio.wait([sending])
            with pytest.raises(ServiceUnreachable):
                await pool.send("GET", f"{url}/x", headers={})
            await pool.close()

    asyncio.run(main())


def test_a_speech_model_that_is_down_is_not_tried_by_every_call() -> None:
    class Down:
        capabilities = OpenAIRealtimeModels(openai_endpoint("m", api_key="k")).capabilities
        tried = 0

        async def connect(self, setup: Any, post: Any) -> Any:
            self.tried += 1
            raise ModelUnavailable("down")

        async def close(self) -> None:
            """Nothing is held."""

    async def main() -> None:
        clock, down = ManualClock(), Down()
        model = RestedSpeechModel(down, clock)

        async def connect() -> None:
            with pytest.raises(ModelUnavailable):
                await model.connect(setup(), lambda event: None)

        for _ in range(9):
            await connect()
        assert down.tried == 5
        clock.advance(30_000)
        await connect()
        await connect()
        assert down.tried == 6, "one probe"

    asyncio.run(main())
