"""C6: whoever guesses PINs is soon not listened to any more, and is never told that, or anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.threats.the_bank import BANK, LINES, call_to_the_bank
from tests.tools.tool_runs import NOW
from voiceagent import Attempts, Sealed, Tool, ToolFailed, tool
from voiceagent.core.authority import Authority
from voiceagent.core.effects import StartTool
from voiceagent.core.events import ToolFailed as ToolCallFailed
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import CallId, ToolCallId
from voiceagent.errors import OperatorError
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase
from voiceagent.testing import say
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.attempts import AttemptGate, InProcessLimits
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import CallTools, ToolExecutor
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.vault import Vault

ACCOUNTS = {"1111111": "1234", "2222222": "5678"}
"""Account number → PIN."""
Outcome = ToolFinished | ToolCallFailed


class Desk:
    """A place where callers say who they are; the service takes its time, more of it where there is an account."""

    def __init__(self, limits: object | None = None) -> None:
        self.clock = ManualClock(1_000)
        self.looked_at: list[tuple[str, str]] = []
        """What the service was asked."""
        self.keys: list[str] = []
        gate = AttemptGate(limits or Watched(self.clock, self.keys))  # pyright: ignore[reportArgumentType] - one of ours
        self.executor = ToolExecutor(clock=self.clock, broker=NoCredentials(), pool=ConnectionPool(), attempts=gate)
        self.tool = self._tool()
        self.flow = Flow.model_construct(
            **{name: getattr(BANK, name) for name in Flow.model_fields}
            | {"phases": (Phase(name="now", sensitive=True, tools=(self.tool,)),), "tools": (), "transitions": ()}
        )

    def _tool(self) -> Tool:
        desk = self

        @tool(grants="account", grants_when="verified", sets=("verified",), attempts=Attempts(account="account"))
        async def verify(account: Sealed, pin: Sealed) -> dict[str, object]:
            """Check who is calling."""
            desk.looked_at.append((account, pin))
            await desk.clock.sleep(300 if account in ACCOUNTS else 50)
            if account == "9999999":
                raise ToolFailed("there is no such account")
            verified = ACCOUNTS.get(account) == pin
            return {"verified": verified, "why": None if verified else "wrong" if account in ACCOUNTS else "unknown"}

        return verify

    def call(self, number: int, caller: str | None = None) -> Callable[[str, str], Awaitable[Outcome]]:
        """A call comes in; returns what tries an account and a PIN in it."""
        vault = Vault()
        now = Authority("now", NOW, swapping=False, grants=(), known_facts=(), tool_calls=1, ended=False)
        tools = CallTools(
            self.executor,
            call=CallId(f"call-{number}"),
            flow=lambda: self.flow,
            vault=vault,
            authority=lambda: now,
            facts=dict,
            caller_number=caller,
        )
        tries = 0

        async def attempt(account: str, pin: str) -> Outcome:
            nonlocal tries
            tries += 1
            vault.append(f"account#{tries}", account)
            vault.append(f"pin#{tries}", pin)
            arguments = {"account": f"account#{tries}", "pin": f"pin#{tries}"}
            return await tools.run(StartTool(ToolCallId("t1"), "verify", arguments, None), NOW)

        return attempt

    async def timed(self, attempt: Awaitable[Outcome]) -> tuple[Outcome, int]:
        """Return what came of an attempt, and after how many milliseconds."""
        began_ms = self.clock.now_ms()
        trying = asyncio.ensure_future(attempt)
        while not trying.done():
            for _ in range(20):
                await asyncio.sleep(0)
            if not trying.done():
                self.clock.advance(10)
        return await trying, self.clock.now_ms() - began_ms


class Watched(InProcessLimits):
    """Remembers by what it has counted."""

    def __init__(self, clock: ManualClock, keys: list[str]) -> None:
        super().__init__(clock)
        self._keys = keys

    async def count(self, key: str, *, window_ms: int) -> int:
        self._keys.append(key)
        return await super().count(key, window_ms=window_ms)


def refused(left: int) -> ToolFinished:
    return ToolFinished(ToolCallId("t1"), {"verified": False, "attempts_left": left})


def test_c6_of_twenty_wrong_pins_in_a_call_three_are_looked_at() -> None:
    async def main() -> None:
        desk = Desk()
        attempt = desk.call(1)
        outcomes = [(await desk.timed(attempt("1111111", f"{pin:04}")))[0] for pin in range(20)]
        assert len(desk.looked_at) == 3
        assert outcomes == [refused(left) for left in (2, 1, *[0] * 18)]
        assert await desk.timed(attempt("1111111", "1234")) == (refused(0), 1_000), "not even the right one"

    asyncio.run(main())


def test_c6_an_unknown_account_a_wrong_pin_and_a_locked_account_are_answered_alike_after_the_same_time() -> None:
    async def main() -> None:
        desk = Desk()
        for guesser in range(2, 7):
            await desk.timed(desk.call(guesser)("2222222", "0000"))
        wrong = await desk.timed(desk.call(8)("1111111", "0000"))
        unknown = await desk.timed(desk.call(9)("3333333", "0000"))
        locked = await desk.timed(desk.call(10)("2222222", "0000"))
        locked_right = await desk.timed(desk.call(11)("2222222", "5678"))
        assert wrong == unknown == locked == locked_right == (refused(2), 1_000)
        assert ("2222222", "5678") not in desk.looked_at

    asyncio.run(main())


def test_c6_guesses_at_one_account_from_many_calls_at_once_do_not_slip_past() -> None:
    async def main() -> None:
        desk = Desk()
        guesses = [desk.call(number, f"+1555{number}")("1111111", f"{number:04}") for number in range(30)]
        await desk.timed(asyncio.gather(*guesses))  # pyright: ignore[reportArgumentType] - its outcomes do not matter
        assert len(desk.looked_at) == 5

    asyncio.run(main())


def test_c6_whoever_calls_again_and_again_from_one_number_is_counted_by_it() -> None:
    async def main() -> None:
        desk = Desk()
        for number in range(5):
            attempt = desk.call(number, "+15550100")
            for guess in range(3):
                await desk.timed(attempt(f"55555{number}{guess}", "0000"))
        assert len(desk.looked_at) == 10
        assert (await desk.timed(desk.call(9, "+15550100")("1111111", "1234")))[0] == refused(2)
        others = (await desk.timed(desk.call(10, "+15550199")("1111111", "1234")))[0]
        assert isinstance(others, ToolFinished)
        assert others.result == {"verified": True, "why": None}

    asyncio.run(main())


def test_c6_whoever_it_really_is_may_try_again_after_the_window_and_their_mistakes_are_forgotten() -> None:
    async def main() -> None:
        desk = Desk()
        for number in range(6):
            await desk.timed(desk.call(number)("1111111", "0000"))
        desk.clock.advance(3_600_000)
        right, after_ms = await desk.timed(desk.call(20)("1111111", "1234"))
        assert isinstance(right, ToolFinished)
        assert (right.result, after_ms) == ({"verified": True, "why": None}, 300)
        for number in range(30, 34):
            await desk.timed(desk.call(number)("1111111", "0000"))
        await desk.timed(desk.call(40)("1111111", "1234"))
        looked_at = len(desk.looked_at)
        for number in range(50, 55):
            await desk.timed(desk.call(number)("1111111", "0000"))
        assert len(desk.looked_at) == looked_at + 5

    asyncio.run(main())


def test_c6_a_tool_that_says_no_in_words_of_its_own_does_so_after_the_same_time_and_is_counted() -> None:
    async def main() -> None:
        desk = Desk()
        attempt = desk.call(1)
        outcome, after_ms = await desk.timed(attempt("9999999", "0000"))
        assert isinstance(outcome, ToolCallFailed)
        assert after_ms == 1_000
        for _ in range(9):
            await desk.timed(attempt("9999999", "0000"))
        assert len(desk.looked_at) == 3

    asyncio.run(main())


class Unreachable:
    """Counts that nobody can get at."""

    async def count(self, key: str, *, window_ms: int) -> int:
        raise OperatorError("the counts are not there")

    async def reset(self, key: str) -> None:
        raise OperatorError("the counts are not there")


def test_c6_where_nobody_can_count_nobody_may_try() -> None:
    async def main() -> None:
        desk = Desk(Unreachable())
        assert await desk.timed(desk.call(1)("1111111", "1234")) == (refused(0), 1_000)
        assert desk.looked_at == []

    asyncio.run(main())


def test_c6_accounts_and_numbers_are_counted_by_what_does_not_name_them(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        desk = Desk()
        attempt = desk.call(1, "+15550100")
        for _ in range(5):
            await desk.timed(attempt("1111111", "0000"))
        assert len(set(desk.keys)) == 3
        for shown in (*desk.keys, caplog.text):
            assert "1111111" not in shown
            assert "5550100" not in shown
        assert "too many attempts (call)" in caplog.text

    asyncio.run(main())


def test_c6_a_call_to_the_bank_with_wrong_pins_ends_with_a_person_and_its_journal_replays() -> None:
    wrong = {"verified": False, "customer_id": None, "name": None, "attempts_left": 4}
    turn = [say("Your account number?"), say("And your PIN?"), LINES["authentication"][-1]]
    lines = {"authentication": turn * 3}
    with call_to_the_bank(lines, verify_caller=wrong).start() as call:
        call.says("I have a question about my account")
        for pin in ("nine nine nine nine", "eight eight eight eight", "seven seven seven seven"):
            assert call.phase == "authentication"
            call.says("four five one nine two two seven").says(pin)
        assert call.phase == "human", call.record.timeline()
        assert call.facts["attempts_left"] == 0
        assert call.ran("verify_caller") == 3
