"""Attempts: how often somebody may try to say who they are, before nobody listens any more."""

from __future__ import annotations

from pydantic import Field

from voiceagent.spec.declared import Declared

__all__ = ["Attempts"]


class Attempts(Declared):
    """Limits of a tool that grants an identity. Beyond any of them a right answer is answered like a wrong one.

    Whatever is wrong, the tool's result is `grants_when: false` and `left`, after the same time: neither the words nor
    the time say whether there is such an account, whether the secret was right, or who has tried too often.
    """

    account: str | tuple[str, ...]
    """The parameters that say whose account it is; they are counted by a keyed hash, and stored nowhere."""
    per_call: int = Field(default=3, ge=1)
    """Attempts in one call."""
    per_account: int = Field(default=5, ge=1)
    """Attempts at one account, whoever calls, since the last right one."""
    per_caller: int = Field(default=10, ge=1)
    """Attempts from one telephone number, right or wrong; callers without a number are not counted together."""
    within_ms: int = Field(default=3_600_000, ge=60_000)
    """How long an attempt counts, from the first of them on."""
    answer_ms: int = Field(default=1_000, ge=0)
    """After how long an attempt that came to nothing is answered: choose it longer than the service takes."""
    left: str = "attempts_left"
    """Field of the result that says how many attempts the call has left."""

    @property
    def accounts(self) -> tuple[str, ...]:
        """The parameters that say whose account it is."""
        return (self.account,) if isinstance(self.account, str) else self.account
