"""What a call to the bank can establish about its caller."""

from voiceagent import Facts

__all__ = ["BankFacts"]


class BankFacts(Facts):
    """Written by the tools alone."""

    verified: bool = False
    customer_id: str | None = None
    customer_name: str | None = None
    attempts_left: int = 3
    """How many more PINs are looked at in this call."""
