"""Amazon Nova through AWS's real SDK: HTTP/2, TLS, signed event streams; only who answers is ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from itertools import count
from typing import Any

from tests.providers.fake_nova import Brain, FakeNova, FakeSession
from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.nova import AwsCredentials, NovaSonicModels
from voiceagent.ports import (
    AudioFormat,
    ModelReplyAudio,
    ModelReplyEnded,
    OfferedTool,
    SessionLost,
    SessionSetup,
    SpeechModelEvent,
)
from voiceagent.testing.manual_clock import ManualClock

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
    return Message(number=next(_numbers), role=role, text=text, epoch=Epoch(1), **more)  # type: ignore[arg-type] - fields by their names


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
