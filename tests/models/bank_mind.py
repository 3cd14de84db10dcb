"""The mind of every scripted provider: works at the bank as its prompts say, from nothing but what is on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from tests.models.dialects import Asks, Question

__all__ = ["BALANCE", "Mind", "bank_mind", "handles_in"]

BALANCE = (
    "Your checking account holds 2,540 dollars and 75 cents. Your savings account holds 800 dollars. Anything else?"
)

Mind = Callable[[Question], str | Asks]


def bank_mind(asked: Question) -> str | Asks:
    """Return what is said or asked for next."""
    if "begin_authentication" in asked.tools:
        return Asks("a1", "begin_authentication")
    if "verify_caller" in asked.tools:
        if "⟨pin#" not in asked.newest:
            return (
                "Thank you. And your four digit PIN?" if "⟨" in asked.newest else "Sure. What is your account number?"
            )
        return Asks("a2", "verify_caller", tuple(handles_in(asked.newest)))
    if "goodbye" in asked.newest.lower():
        return Asks("a3", "finish", ("{}",))
    if asked.is_result and "2540.75" in asked.newest:
        return BALANCE
    return Asks("a4", "get_accounts", ("{}",))


def handles_in(words: str) -> Iterator[str]:
    """Yield the arguments crumb by crumb; the account's handle is the one before the PIN's."""
    pin = words[words.index("⟨pin#") : words.rindex("⟩") + 1]
    number = int(pin[len("⟨pin#") : pin.index(":")]) - 1
    text = json.dumps({"account_number": f"⟨account_number#{number}: 7 digits⟩", "pin": pin}, ensure_ascii=False)
    yield text[:9]
    yield text[9:]
