"""E1: a card number or a PIN, however it comes, stands in nothing that is written, shown to a model or recorded."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.desk_calls import asks, desk, greeted, lines
from tests.runtime.test_recording import Recorded
from tests.threats.bank_calls import ACCOUNT, CARD, PIN, SPOKEN_ACCOUNT, SPOKEN_CARD, BankCall
from tests.threats.conftest import Logged
from voiceagent import Sealed, ToolFailed, tool
from voiceagent.core import events as ev
from voiceagent.language import language_for
from voiceagent.runtime.journal_file import read_journal
from voiceagent.testing import ask_for, say

pytestmark = pytest.mark.timeout(180)
"""Whichever test of a real call comes first waits for it."""

ENGLISH = language_for("en-US")
SECRET_PIN = "73914682"
SPOKEN_PIN = "seven three nine one four six eight two"
GROUPED_CARD = "4929 1377 6618 3052"


def written_in(folder: Path) -> bytes:
    return b"\n".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


# --- a real call -----------------------------------------------------------------------------------------------------


def test_e1_no_file_of_a_call_holds_a_number(bank_calls: dict[str, BankCall]) -> None:
    call = bank_calls["tells a card number"]
    written = written_in(call.folder)
    assert b"\xe2\x9f\xa8digits#0: 16 digits\xe2\x9f\xa9" in written
    for secret in (
        CARD,
        GROUPED_CARD,
        SPOKEN_CARD,
        "four nine two nine",
        "double seven",
        ACCOUNT,
        SPOKEN_ACCOUNT,
        "double two",
        CARD[6:],
    ):
        assert secret.encode() not in written


def test_e1_keys_are_stored_as_dots(bank_calls: dict[str, BankCall]) -> None:
    (journal,) = (bank_calls["tells a card number"].folder / "journals").iterdir()
    pressed = "".join(
        entry.event.digits for entry in read_journal(journal).entries if isinstance(entry.event, ev.DigitsPressed)
    )
    assert pressed == "•" * len(PIN) + CARD[:6] + "•" * 10


def test_e1_the_words_of_a_number_are_silent_in_the_recording(bank_calls: dict[str, BankCall]) -> None:
    call = bank_calls["tells a card number"]
    (sound,) = (call.folder / "recordings").glob("*.wav")
    recorded = Recorded(sound.parent, sound.stem)
    said_ms = [(turn.from_ms, turn.until_ms) for turn in call.report.turns if turn.said == "hum"]
    assert len(said_ms) == 4
    heard = recorded.caller_heard()
    assert [end - begin for begin, end in heard] == pytest.approx([600, 600], abs=30), "the first and the last"
    assert [begin for begin, _ in heard] == pytest.approx([said_ms[0][0], said_ms[3][0]], abs=400)
    secret = recorded.caller[(heard[0][1] + 20) * 8 : (heard[1][0] - 20) * 8]
    assert len(secret) > 10_000 * 8
    assert set(secret) == {0}, "to the sample"
    assert recorded.agent_heard(), "the agent is heard"


# --- careless tools --------------------------------------------------------------------------------------------------


@tool
async def returns(pin: Sealed) -> dict[str, object]:
    """Return it."""
    return {"pin": pin, "words": f"it is {pin}", "number": int(pin)}


@tool
async def refuses(pin: Sealed) -> dict[str, object]:
    """Tell it to the model."""
    raise ToolFailed(f"{pin} is wrong")


@tool
async def breaks(pin: Sealed) -> dict[str, object]:
    """Break over it."""
    raise RuntimeError(f"no account for {pin}")


@tool
async def logs(pin: Sealed) -> dict[str, object]:
    """Log it, by a library of its own."""
    logging.getLogger("some.library").error("looking up %s", pin)
    logging.getLogger("voiceagent.some").warning("looking up %s", pin)
    return {}


@tool
def logs_in_a_thread(pin: Sealed) -> dict[str, object]:
    """Log it where it runs."""
    whole_line = f"looking up {pin}"
    logging.getLogger("some.library").error(whole_line)
    return {}


@tool
async def leaves_a_task(pin: Sealed) -> dict[str, object]:
    """Leave a task behind whose exception nobody fetches."""

    async def fail() -> None:
        raise RuntimeError(f"no account for {pin}")

    task = asyncio.get_running_loop().create_task(fail())
    await asyncio.wait([task])
    del task
    return {}


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize(
    "careless", [returns, refuses, breaks, logs, logs_in_a_thread, leaves_a_task], ids=lambda tool: tool.name
)
def test_e1_a_careless_tool_writes_no_pin_anywhere(exchange: Any, logged: Logged, careless: Any, level: int) -> None:
    output = logged(level=level)
    shown: list[str] = []
    script = lines(ask_for(careless.name, '{"pin": "⟨pin#1: 8 digits⟩"}'), say("Thank you."))

    def model(request: Any) -> Any:
        shown.append(repr(request))
        return script(request)

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(3_000)

    (line,) = exchange.serve(scenario, desk(careless, sensitive=True), lines=model, heard=[f"it is {SPOKEN_PIN}"])
    everything = written_in(exchange.directory).decode() + output.getvalue() + "".join(shown)
    everything += repr(line.seen) + repr(line.effects)
    assert "⟨pin#1: 8 digits⟩" in everything
    for secret in (SECRET_PIN, SPOKEN_PIN, "seven three"):
        assert secret not in everything


def test_e1_a_card_number_reaches_neither_model_nor_log_nor_voice(exchange: Any, logged: Logged) -> None:
    output = logged(level=logging.DEBUG)
    shown: list[str] = []

    def model(request: Any) -> Any:
        shown.append(repr(request))
        logging.getLogger("voiceagent.some").warning("the caller said %s", CARD)  # by nobody who knows the call
        return say("I see.")

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.presses(CARD)
        await line.waits(5_000)

    (line,) = exchange.serve(scenario, desk(), lines=model, heard=[f"my card is {SPOKEN_CARD}"])
    everything = written_in(exchange.directory).decode() + output.getvalue() + "".join(shown) + repr(line.effects)
    assert len(shown) == 2
    assert "⟨digits#0: 16 digits⟩" in everything
    for secret in (CARD, CARD[6:], GROUPED_CARD, SPOKEN_CARD, "double seven"):
        assert secret not in everything
    assert all(json.loads(logline) for logline in output.getvalue().splitlines())


def test_e1_what_is_pressed_in_a_sensitive_phase_is_dots(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.presses(SECRET_PIN)
        await line.waits(3_000)

    (line,) = exchange.serve(scenario, desk(returns, sensitive=True), lines=lines(say("Thank you.")))
    assert {event.digits for event in line.all(ev.DigitsPressed)} == {"•"}
    assert ENGLISH.digits(" ".join(event.text for event in line.all(ev.TranscriptFinal))) == ""
