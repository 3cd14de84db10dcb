"""By which numbers callers are counted who say who they are."""

from __future__ import annotations

import asyncio

import pytest

from voiceagent import Attempts, tool
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.attempts import AttemptGate, InProcessLimits

ATTEMPTS = Attempts(account="account")


@tool(grants="account", grants_when="verified", attempts=ATTEMPTS)
async def verify(account: str) -> dict[str, object]:
    """Check who is calling."""
    return {"verified": account == "1"}


def _may_the_last_of_them_try(*callers: str | None) -> bool:
    """Each tries once, in a call and at an account of their own."""

    async def main() -> bool:
        gate = AttemptGate(InProcessLimits(ManualClock(0)))
        tries = [
            await gate.attempt(verify, ATTEMPTS, call=f"c{number}", caller_number=caller, account=[number])
            for number, caller in enumerate(callers)
        ]
        return tries[-1].allowed

    return asyncio.run(main())


@pytest.mark.parametrize(
    "caller", [None, "", "Anonymous", "+266696687", "+7378742833", "sip:anonymous@anonymous.invalid"]
)
def test_callers_who_withhold_their_number_do_not_lock_each_other_out(caller: str | None) -> None:
    assert _may_the_last_of_them_try(*[caller] * (ATTEMPTS.per_caller + 1))


@pytest.mark.parametrize("spelling", ["+15550100", "+1 (555) 01-00"])
def test_a_caller_is_the_same_in_every_spelling_of_their_number(spelling: str) -> None:
    assert not _may_the_last_of_them_try(*["+15550100"] * ATTEMPTS.per_caller, spelling)
