"""Fault 14, the server's side: whatever breaks in one call ends that one, with its record, and no other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.threats.served import DESK, RawCarrier, digit, serving, signature, until
from voiceagent.core.conversation import Conversation
from voiceagent.core.events import CallEnded, DigitsPressed, LegLost
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.performer import Performer
from voiceagent.telephony.driver import SocketLeg

BREAKS = {
    "the core": (Conversation, "handle", lambda arguments: isinstance(arguments[0], DigitsPressed)),
    "what performs effects": (Performer, "perform", lambda _: True),
    "the leg, as it plays": (SocketLeg, "play", lambda _: True),
    "the leg, as the call listens": (SocketLeg, "attach", lambda _: True),
    "the leg, in its tick": (SocketLeg, "_tick", lambda _: True),
}
VICTIM = "CAvictim"


@pytest.fixture(params=BREAKS.values(), ids=BREAKS)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Have one method raise for the first object that is asked after this, and for no other; return who that is."""
    owner, name, when = request.param
    whole, victims = getattr(owner, name), []

    def breaks(self: object, *arguments: Any, **named: Any) -> Any:
        if when(arguments) and not victims:
            victims.append(self)
        if victims and victims[0] is self and when(arguments):
            raise ZeroDivisionError("nobody was prepared for this")
        return whole(self, *arguments, **named)

    monkeypatch.setattr(owner, name, breaks)
    return victims


def test_the_others_notice_nothing(tmp_path: Path, broken: list[object]) -> None:
    async def scenario() -> list[int | None]:
        async with serving(tmp_path, flow=DESK) as server:
            victim = await RawCarrier.asks(server.port, signed=signature())
            victim.starts(VICTIM)
            victim.sends(digit(VICTIM, "9"))
            await until(lambda: bool(broken))
            others = [await RawCarrier.asks(server.port, signed=signature()) for _ in range(3)]
            for number, other in enumerate(others):
                other.starts(f"CA{number}")
                other.sends(digit(f"CA{number}", "9"))
            codes = [await other.close_code() for other in others]
            await victim.close_code()
            assert await server.drain(at_most_s=20)
            return codes

    assert asyncio.run(scenario()) == [1000] * 3
    journals = {file.stem: read_journal(file) for file in tmp_path.glob("*.jsonl")}
    assert sorted(journals) == ["CA0", "CA1", "CA2", VICTIM]
    for call, journal in journals.items():
        if call == VICTIM and isinstance(last := journal.entries[-1].event, LegLost) and last.may_return:
            continue  # broken before its "9" was read: its caller may come back
        assert journal.complete, "every record is closed"
        (ended,) = [entry.event for entry in journal.entries if isinstance(entry.event, CallEnded)]
        assert ended.reason
