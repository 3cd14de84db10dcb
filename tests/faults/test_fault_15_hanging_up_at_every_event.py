"""Fault 15: whenever the caller hangs up, nothing is left of the call: no task, timer, cache entry, secret or session.

The virtual loop refuses threads and sockets altogether. After the n-th event of a whole call the line is gone, for
every n: a call to the bank, with fetches ahead and a write, and calls with a speech model of either kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk
from voiceagent.audio import FRAME_MS
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import After, RuntimeCall, SimulatedProvider

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
SHARES = 3
"""Parts of the events, for tests that run side by side."""
TRANSFER = "I want to transfer two hundred and fifty dollars to my savings account."
SAYINGS = {
    "bank": (
        "Hi, I'd like to check the balance on my account please.",
        "My account number is four five one nine, two two seven.",
        "The pin is one two three four.",
        "Can you tell me about the last three transactions?",
        TRANSFER,
        "Yes, that's correct.",
    ),
    **dict.fromkeys(BOTH, ("I have a visit", "When are you open?", "cancel my visit", "Yes.", "bye")),
}
RAN = {
    "bank": {"verify_caller", "get_accounts", "recent_transactions", "transfer"},
    **{swap: {"opening_hours", "cancel_visit"} for swap in BOTH},
}


def hang_up_after(call: RuntimeCall, events: int) -> None:
    """Have the caller gone in the moment in which so many events have been handled."""
    server, seen = call._server, list[ev.Event]()

    def watch(_: CallId, __: int, event: ev.Event, ___: tuple[Outgoing, ...]) -> None:
        seen.append(event)
        if len(seen) == events:
            server.line.hang_up()

    server._services = replace(server._services, observers=(*server._services.observers, watch))


def bank_call() -> RuntimeCall:
    accounts = [{"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"}]
    entry = {"date": "2025-11-20", "merchant": "Metro", "amount": "-12.00", "currency": "USD"}
    tools = {
        "verify_caller": {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5},
        "get_accounts": {"accounts": accounts},
        "recent_transactions": After(2_500, {"account": "checking", "transactions": [entry]}),
        "transfer": After(900, {"transfer_id": "X-1", "amount": "250", "currency": "USD"}),
    }
    return RuntimeCall(BANK, model=GuidedModels().open(BANK, locale="en-US", time_zone="UTC"), tools=tools)


def placed(kind: str | Swapping) -> tuple[RuntimeCall, SimulatedProvider | None]:
    if kind == "bank":
        return bank_call(), None
    return call_to(desk(standby=True), "in_place" if kind == "in_place" else "new_session", tools_take_ms=900)


def played(kind: str, *, hangs_up_after: int) -> tuple[RuntimeCall, SimulatedProvider | None]:
    """Play a call to its end; with 0 nobody hangs up before the script is over."""
    call, provider = placed(kind)
    hang_up_after(call, hangs_up_after)
    call.start()
    for saying in SAYINGS[kind]:
        if not call.ended:
            call.says(saying)
    return call, provider


def left_behind(call: RuntimeCall, provider: SimulatedProvider | None) -> Iterator[str]:
    """Bring a call to its end and name what is left of it. No task is: that is asserted there."""
    call._finish()
    journal = read_journal(call._path)
    call.run_ms(FRAME_MS)  # the beat of all calls stops with the first one that nobody needs
    plan = call.conversation._doing.prefetch
    if not journal.complete:
        yield "an open record"
    if plan._answers or plan._in_flight or plan._queue:
        yield "cache entries"
    if call.vault._values:
        yield "secrets"
    if timers := [timer for timer in call._loop._scheduled if not timer.cancelled()]:
        yield str(timers)
    if provider is not None and any(session.closed_ms is None for session in provider.sessions):
        yield "model sessions"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("kind", SAYINGS)
def test_nothing_is_left_of_a_call_whenever_the_caller_hangs_up(kind: str, share: int) -> None:
    whole, _ = played(kind, hangs_up_after=0)
    ran, events = {tool for tool, _ in whole.tool_runs}, len(whole.journal)
    whole.close()
    assert ran >= RAN[kind], "the call does everything that could leave something behind"
    found: dict[int, list[str]] = {}
    for number in range(1 + share, events + 1, SHARES):
        call, provider = played(kind, hangs_up_after=number)
        left = list(left_behind(call, provider))
        call.assert_replays()
        if left:
            found[number] = left
    assert not found
