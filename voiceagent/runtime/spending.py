"""Spending: what calls cost at the operator's prices, and who of them has cost as much as may be."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from voiceagent.caller_numbers import counted_number
from voiceagent.core.budget import Usage
from voiceagent.ports import Clock

__all__ = ["Meter", "Prices", "SpendLimits", "Spending"]

_MILLION = 1_000_000
_MINUTE_MS = 60_000
_HOUR_MINUTES = 60
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Prices:
    """In US dollars, what providers and the carrier take from the operator."""

    input: Decimal = _NOTHING
    """For a million tokens that a model is shown."""
    cached: Decimal | None = None
    """For a million of these that the provider had in its prompt cache; None: the same as for the others."""
    output: Decimal = _NOTHING
    """For a million tokens that a model writes."""
    characters: Decimal = _NOTHING
    """For a million characters that are spoken."""
    minute: Decimal = _NOTHING
    """For a minute of call, to the millisecond."""

    def of(self, used: Usage) -> Decimal:
        """Return what all this costs."""
        cached = self.input if self.cached is None else self.cached
        millions = (
            self.input * (used.input_tokens - used.cached_tokens)
            + cached * used.cached_tokens
            + self.output * used.output_tokens
            + self.characters * used.spoken_characters
        )
        return millions / _MILLION + self.minute * used.lasted_ms / _MINUTE_MS


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """In US dollars, what may be spent; None: as much as it comes to."""

    call: Decimal | None = None
    caller: Decimal | None = None
    """By the calls of one number within an hour, as far as callers show theirs."""
    agent: Decimal | None = None
    """By the calls of one agent within an hour."""
    process: Decimal | None = None
    """By all calls of this process within an hour."""


class Spending:
    """What the calls of this process have spent within the last hour; fulfils the port `SpentLately`."""

    def __init__(self, prices: Prices, limits: SpendLimits, *, clock: Clock) -> None:
        self.prices = prices
        self.limits = limits
        self._clock = clock
        self._hours: dict[tuple[str, str], _LastHour] = {}
        """By whose it is (caller, agent, process), and which one."""
        self._swept_minute = 0

    def meter(self, *, agent: str, caller: str | None, used: Usage) -> Meter:
        """Return the meter of a call of this agent and number; what it has `used` before is counted already."""
        return Meter(self, agent=agent, caller=caller, spent=self.prices.of(used))

    def add(self, dollars: Decimal, *, agent: str, caller: str | None) -> None:
        """Count what a call has spent just now."""
        minute = self._minute()
        self._sweep(minute)
        for whose, which, _ in self._bounded(agent, caller):
            self._hours.setdefault((whose, which), _LastHour()).add(dollars, minute)

    def over(self, *, agent: str | None = None, caller: str | None = None) -> str | None:
        """Return who has spent too much within the last hour: this process, the agent or the number; None: nobody."""
        whose = self.whose_hour(agent=agent, caller=caller)
        if whose is None:
            return None
        name = {"process": "this process", "agent": f"agent {agent}", "caller": "its caller"}[whose]
        return f"{name} has spent {getattr(self.limits, whose)} US dollars within an hour"

    def whose_hour(self, *, agent: str | None, caller: str | None) -> str | None:
        """Return whose limit of an hour is reached: `process`, `agent` or `caller`; None: nobody's."""
        for whose, which, most in self._bounded(agent, caller):
            if self.within_the_hour(whose, which) >= most:
                return whose
        return None

    def within_the_hour(self, whose: str, which: str = "") -> Decimal:
        """Return what was spent lately in US dollars, where it is counted because there is a limit."""
        hour = self._hours.get((whose, which))
        return hour.spent(self._minute()) if hour is not None else _NOTHING

    def _bounded(self, agent: str | None, caller: str | None) -> list[tuple[str, str, Decimal]]:
        """Return whose limits of an hour there are for a call of these."""
        limits, number = self.limits, counted_number(caller)
        every = (("process", "", limits.process), ("agent", agent, limits.agent), ("caller", number, limits.caller))
        return [(whose, which, most) for whose, which, most in every if which is not None and most is not None]

    def _minute(self) -> int:
        return self._clock.now_ms() // _MINUTE_MS

    def _sweep(self, minute: int) -> None:
        """Once a minute, forget those who have spent nothing for an hour: callers are many."""
        if minute != self._swept_minute:
            self._swept_minute = minute
            self._hours = {key: hour for key, hour in self._hours.items() if hour.spent(minute)}


class Meter:
    """What one call costs, read again whenever something has happened in it."""

    def __init__(self, spending: Spending, *, agent: str, caller: str | None, spent: Decimal) -> None:
        self._spending = spending
        self._agent = agent
        self._caller = caller
        self._told = False
        self.spent = spent
        """US dollars, since the call began."""

    def limit_reached(self, used: Usage) -> str | None:
        """Count what has been used by now; return the limit that is reached, in words for the record, and only once."""
        cost = self._spending.prices.of(used)
        if cost > self.spent:
            self._spending.add(cost - self.spent, agent=self._agent, caller=self._caller)
            self.spent = cost
        whose = None if self._told else self._whose_limit()
        if whose is None:
            return None
        self._told = True
        return f"spend limit of the {whose}"

    def _whose_limit(self) -> str | None:
        most = self._spending.limits.call
        if most is not None and self.spent >= most:
            return "call"
        return self._spending.whose_hour(agent=self._agent, caller=self._caller)


class _LastHour:
    """What was spent, minute by minute: what is an hour ago is forgotten."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, Decimal]] = deque()
        self._total = _NOTHING

    def add(self, dollars: Decimal, minute: int) -> None:
        self._total += dollars
        if self._minutes and self._minutes[-1][0] == minute:
            dollars += self._minutes.pop()[1]
        self._minutes.append((minute, dollars))

    def spent(self, minute: int) -> Decimal:
        while self._minutes and self._minutes[0][0] < minute - _HOUR_MINUTES:
            self._total -= self._minutes.popleft()[1]
        if not self._minutes:
            self._total = _NOTHING  # rounding has left nothing behind
        return self._total
