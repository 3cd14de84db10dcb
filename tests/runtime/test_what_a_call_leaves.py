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
from pathlib import Path
from typing import Literal

import pytest

from tests.cost.served_calls import served
from tests.runtime.desk_agent import call_to, desk
from tests.threats.served import RawCarrier, digit, serving, until
from voiceagent.runtime.speech_voice import SpeechVoice

_OURS = ("voiceagent.", "websockets.")


@contextmanager
def nothing_collected() -> Generator[Callable[[], Counter[str]]]:
    """Have nothing collected in the block; what is given returns the names of what would have been, how often each."""
    gc.unfreeze()
    while gc.collect():
        pass  # what other tests have left, and what that has kept
    gc.disable()

    def found() -> Counter[str]:
        gc.unfreeze()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
        gc.garbage.clear()
        return Counter({name: count for name, count in kinds.items() if name.startswith(_OURS)})

    try:
        yield found
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_a_call_with_turns_leaves_nothing() -> None:
    with nothing_collected() as found, served(calls=3) as calls:
        calls.turn()
        calls.turn()
        calls.hang_up()
        assert found() == Counter()


@pytest.mark.parametrize("changes", ["in_place", "new_session"])
def test_the_voice_of_a_speech_model_goes_with_its_call(changes: Literal["in_place", "new_session"]) -> None:
    with nothing_collected():
        call, _ = call_to(desk(standby=True), changes)
        with call:
            call.start().says("When are you open?").says("I have a visit")
            assert voices() == 1
            call.hangs_up()
            assert voices() == 0


def voices() -> int:
    return sum(type(each) is SpeechVoice for each in gc.get_objects())


async def hangs_up(carrier: RawCarrier, call: str) -> None:
    carrier.sends(json.dumps({"event": "stop", "streamSid": f"MZ-{call}"}))
    await carrier.close_code()


async def breaks_off(carrier: RawCarrier, call: str) -> None:
    del call


async def is_hung_up_on(carrier: RawCarrier, call: str) -> None:
    carrier.sends(digit(call, "9"))
    await carrier.close_code()


async def _calls(port: int, call: str, ends: Callable[[RawCarrier, str], Awaitable[None]]) -> None:
    carrier = await RawCarrier.calls(port, call, agent="desk")
    await carrier.message()
    await ends(carrier, call)
    carrier.breaks()


@pytest.mark.parametrize("ends", [hangs_up, breaks_off, is_hung_up_on])
def test_a_connection_leaves_nothing_however_it_ends(
    tmp_path: Path, ends: Callable[[RawCarrier, str], Awaitable[None]]
) -> None:
    async def calls() -> Counter[str]:
        anybody = {"insecure": True, "public_url": None, "twilio_auth_token": None}
        async with serving(tmp_path / "journals", recordings=tmp_path / "recordings", **anybody) as server:
            at_rest = len(asyncio.all_tasks())
            with nothing_collected() as found:
                await asyncio.gather(*(_calls(server.port, f"CA{number}", ends) for number in range(3)))
                await until(lambda: len(asyncio.all_tasks()) == at_rest)
                return found()

    assert asyncio.run(calls()) == Counter()
