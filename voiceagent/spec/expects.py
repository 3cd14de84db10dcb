"""Expects: what the caller is about to say, so that the agent knows when they have said it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from voiceagent.spec.declared import Declared

__all__ = [
    "BETWEEN_KEYS_MS",
    "Choice",
    "Digits",
    "Expects",
    "FreeSpeech",
    "SpokenAmount",
    "SpokenDate",
    "SpokenTime",
    "YesNo",
]


BETWEEN_KEYS_MS = 3_000
"""A number pressed key by key is over after this long without a key, where nothing else is said."""


class FreeSpeech(Declared):
    """Anything: a question, a story."""

    kind: Literal["free_speech"] = "free_speech"


class Digits(Declared):
    """A number that is read out digit by digit, or pressed: account number, PIN, telephone number."""

    kind: Literal["digits"] = "digits"
    name: str = "digits"
    """What the digits are; it names their handle in a sensitive phase."""
    length: int | None = Field(default=None, ge=1, le=64)
    """How many; None where it varies: then a pause or the terminator ends them."""
    sealed: bool = False
    """A secret: only a tool's parameter of type `Sealed` ever receives the digits themselves."""
    terminator: str | None = Field(default="#", pattern=r"^[0-9*#A-D]$")
    """The key that ends digits pressed early."""
    between_keys_ms: int = Field(default=BETWEEN_KEYS_MS, ge=500, le=10_000)
    """Without a key for so long, what was pressed is all of it."""


class SpokenDate(Declared):
    """A day: birth date, appointment."""

    kind: Literal["date"] = "date"
    name: str = "date"


class SpokenTime(Declared):
    """A time of day: when an appointment begins, when a table is wanted."""

    kind: Literal["time"] = "time"
    name: str = "time"


class SpokenAmount(Declared):
    """An amount of money."""

    kind: Literal["amount"] = "amount"
    name: str = "amount"


class YesNo(Declared):
    """A yes or a no."""

    kind: Literal["yes_no"] = "yes_no"
    name: str = "answer"


class Choice(Declared):
    """One of a few things, each with the words that callers use for it."""

    kind: Literal["choice"] = "choice"
    name: str = "choice"
    options: Mapping[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _has_options(self) -> Self:
        if not self.options:
            raise ValueError("a choice needs at least one option")
        return self


Expects = Annotated[
    FreeSpeech | Digits | SpokenDate | SpokenTime | SpokenAmount | YesNo | Choice, Field(discriminator="kind")
]
