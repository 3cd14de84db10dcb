"""What a call was made of is free when it is over: nothing of it refers to itself in a circle and waits to be found.

The collector leaves alone what lasts (`voiceagent/runtime/garbage.py`), and a circle that has lasted with it.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.cost.served_calls import served
from tests.runtime.desk_agent import call_to, desk
from tests.threats.served import RawCarrier, digit, media, serving, until
from voiceagent.cli import agent_server
from voiceagent.ports import AudioFormat, Engines, SpeechOff, SpeechOn, VadHandle
from voiceagent.runtime.speech_voice import SpeechVoice
from voiceagent.speech import open_engines


@contextmanager
def nothing_collected() -> Generator[None]:
    """Have what is freed in the block freed by nobody but who lets go of it last."""
    gc.unfreeze()
    while gc.collect():
        pass  # what other tests have left, and what that has kept
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def there() -> Counter[str]:
    """Return what there is of the program and its sockets, by kind."""
    gc.unfreeze()  # a server sets aside what lasts
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter({name: count for name, count in kinds.items() if name.startswith(("voiceagent.", "websockets."))})


def garbage() -> Counter[str]:
    """Return what is only free since it was collected.

    What `gc.garbage` would list is not all: a generator that waits is ended first, and falls out of its circle.
    """
    before: Counter[str] = Counter()
    while (now := there()) != before:  # a thread may still be about to let go of something
        before = now
    gc.collect()
    return before - there()


def test_a_call_with_turns_leaves_nothing() -> None:
    with nothing_collected(), served(calls=3) as calls:
        calls.turn()
        calls.turn()
        calls.hang_up()
        assert garbage() == Counter()


@pytest.mark.parametrize("changes", ["in_place", "new_session"])
def test_the_voice_of_a_speech_model_goes_with_its_call(changes: Literal["in_place", "new_session"]) -> None:
    def voices() -> int:
        return sum(type(each) is SpeechVoice for each in gc.get_objects())

    with nothing_collected():
        call, _ = call_to(desk(standby=True), changes)
        with call:
            call.start().says("When are you open?").says("I have a visit")
            assert voices() == 1
            call.hangs_up()
            assert voices() == 0


async def hangs_up(carrier: RawCarrier, call: str) -> None:
    carrier.sends(json.dumps({"event": "stop", "streamSid": f"MZ-{call}"}))
    await carrier.close_code()


async def breaks_off(carrier: RawCarrier, call: str) -> None:
    del carrier, call


async def sends_nonsense(carrier: RawCarrier, call: str) -> None:
    del call
    carrier.sends("of no kind that there is", opcode=3)
    assert await carrier.close_code() == 1002


async def is_hung_up_on(carrier: RawCarrier, call: str) -> None:
    carrier.sends(digit(call, "9"))
    await carrier.close_code()


@pytest.mark.parametrize("ends", [hangs_up, breaks_off, sends_nonsense, is_hung_up_on])
def test_a_connection_leaves_nothing_however_it_ends(
    tmp_path: Path, ends: Callable[[RawCarrier, str], Awaitable[None]]
) -> None:
    assert left_by_calls(tmp_path, ends) == Counter()


class BreaksDown:
    """A voice detector that raises at the first sound."""

    audible_since_ms = None

    def open(self, audio: AudioFormat, *, later: object = None) -> VadHandle:
        del audio, later
        return self

    def feed(self, audio: bytes) -> list[SpeechOn | SpeechOff]:
        raise RuntimeError("no detector")

    def close(self) -> None:
        pass


async def is_apologised_to(carrier: RawCarrier, call: str) -> None:
    carrier.sends(media(call))
    assert await carrier.close_code() == 1000


def test_a_call_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = replace(open_engines("null"), vad=BreaksDown())

    def opened(*_: object, **__: object) -> Engines:
        return engines

    monkeypatch.setattr(agent_server, "open_engines", opened)
    assert left_by_calls(tmp_path, is_apologised_to) == Counter()


def left_by_calls(folder: Path, ends: Callable[[RawCarrier, str], Awaitable[None]]) -> Counter[str]:
    """Let three callers of a server hear how it begins, and end their calls like this; return what is left of them."""

    async def one_call(port: int, call: str) -> None:
        carrier = await RawCarrier.calls(port, call, agent="desk")
        await carrier.message()
        await ends(carrier, call)
        carrier.breaks()

    async def run() -> Counter[str]:
        anybody: dict[str, Any] = {"insecure": True, "public_url": None, "twilio_auth_token": None}
        async with serving(folder / "journals", recordings=folder / "recordings", **anybody) as server:
            at_rest = asyncio.all_tasks()
            with nothing_collected():
                await asyncio.gather(*(one_call(server.port, f"CA{number}") for number in range(3)))
                await until(lambda: asyncio.all_tasks() <= at_rest)
                return garbage()

    return asyncio.run(run())
