"""What calls cost and what they may cost, as it stands on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal

from voiceagent.errors import OperatorError, nearest
from voiceagent.runtime.spending import Prices, SpendLimits

__all__ = ["max_spend_from", "prices_from"]

_DOLLARS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def prices_from(prices: str | None, *, max_spend: str | None) -> Prices | None:
    """Return what `--prices` says; None where it is not given. Raises OperatorError, also for one option of the two."""
    if prices is None and max_spend is not None:
        raise OperatorError(
            "--max-spend needs --prices: nobody knows what a call costs (--prices input=2.5,output=10,minute=0.01)"
        )
    if prices is not None and max_spend is None:
        raise OperatorError("--prices alone limits nothing: say what may be spent (--max-spend call=1,process=200)")
    return None if prices is None else Prices(**_dollars("--prices", prices, [one.name for one in fields(Prices)]))


def max_spend_from(given: str | None) -> SpendLimits:
    """Return what `--max-spend` says; no limits where it is not given. Raises OperatorError."""
    if given is None:
        return SpendLimits()
    limits = _dollars("--max-spend", given, [one.name for one in fields(SpendLimits)])
    for name, most in limits.items():
        if not most:
            raise OperatorError(f"--max-spend: {name} is 0, so that no call could be taken; leave it out for no limit")
    return SpendLimits(**limits)


def _dollars(option: str, given: str, names: Sequence[str]) -> dict[str, Decimal]:
    """Read `name=1.5,other=2`."""
    dollars: dict[str, Decimal] = {}
    for pair in given.split(","):
        name, equals, amount = pair.strip().partition("=")
        if not equals:
            raise OperatorError(f"{option} takes names and US dollars, {names[0]}=2.5, not {pair!r}")
        if name not in names:
            hint = nearest(name, names) or f"; there are: {', '.join(names)}"
            raise OperatorError(f"{option} has no {name!r}{hint}")
        if name in dollars:
            raise OperatorError(f"{option} has {name!r} twice")
        if not _DOLLARS.fullmatch(amount):
            raise OperatorError(f"{option}: {name} is {amount!r}, but must be US dollars, such as 2.5")
        dollars[name] = Decimal(amount)
    return dollars
