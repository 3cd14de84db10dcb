"""Filters that prompts and templates may use, so that values are said as people of that locale say them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from datetime import time as Time  # noqa: N812 - `time` is the name of the filter here
from decimal import Decimal, InvalidOperation

from voiceagent.language import language_for

__all__ = ["filters_for"]


def filters_for(locale: str) -> dict[str, Callable[..., str]]:
    """Return `money`, `spelled`, `day`, `time` and `listed` for one locale."""
    language = language_for(locale)

    def money(value: object, currency: str = "USD") -> str:
        try:
            amount = Decimal(str(value))
        except InvalidOperation as exc:
            raise ValueError(f"{value!r} is not an amount of money") from exc
        return language.spoken_amount(amount, currency)

    def spelled(value: object) -> str:
        return language.spoken_digits(str(value))

    def day(value: object) -> str:
        return language.spoken_date(value if isinstance(value, date) else date.fromisoformat(str(value)))

    def time(value: object) -> str:
        return language.spoken_time(value if isinstance(value, Time) else Time.fromisoformat(str(value)))

    def listed(items: Sequence[object]) -> str:
        return language.spoken_list([str(item) for item in items])

    return {"money": money, "spelled": spelled, "day": day, "time": time, "listed": listed}
