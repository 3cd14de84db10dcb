"""Biscuit: one token of the agent's, narrowed down for every run of a tool, on this machine and asking nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.ports import Clock

if TYPE_CHECKING:
    from biscuit_auth import Biscuit

__all__ = ["BiscuitAttenuation"]

_LIFETIME_S = 120
"""Longer than a tool runs, shorter than a call; both clocks are trusted to be right by less."""
_RUN = """
    call({call}); phase({phase}); tool({tool});
    check if time($now), $now < {until};
    check if scope($asked), {scopes}.contains($asked);
"""
_FOR_ONE = "check if subject({subject});"
_FOR_NOBODY = "reject if subject($anybody);"


class BiscuitAttenuation:
    """The `CredentialBroker` of a service that reads biscuits: https://doc.biscuitsec.org/reference/datalog.

    To the token's own rights it adds checks. The service states `time`, the `scope` that a request needs and, where it
    is about one customer, the `subject`; call, phase and tool stand in the token for its log. What is narrowed down so
    cannot be widened again, and nobody who holds it can do more than this one run.
    """

    def __init__(self, clock: Clock, *, token: str, public_key: str) -> None:
        """`public_key` is the service's, such as `ed25519/acdd6d…`. Raises MissingExtra and OperatorError."""
        self._clock = clock
        self._parent = _verified(token, public_key)

    async def token(
        self, *, call: str, phase: str, tool: str, scopes: Sequence[str], subject: str | None
    ) -> Mapping[str, str]:
        """Return the Authorization header for exactly this, new every time: it takes a quarter of a millisecond."""
        from biscuit_auth import BlockBuilder

        until = datetime.fromtimestamp(self._clock.unix_ms() // 1_000 + _LIFETIME_S, UTC)
        run: dict[str, object] = {"call": call, "phase": phase, "tool": tool, "until": until, "scopes": set(scopes)}
        if subject is None:
            block = BlockBuilder(_RUN + _FOR_NOBODY, run)
        else:
            block = BlockBuilder(_RUN + _FOR_ONE, {**run, "subject": subject})
        return {"Authorization": f"Bearer {self._parent.append(block).to_base64()}"}


def _verified(token: str, public_key: str) -> Biscuit:
    try:
        from biscuit_auth import Biscuit, BiscuitValidationError, PublicKey
    except ImportError as exc:
        raise MissingExtra("a service that reads biscuits", extra="biscuit") from exc
    try:
        key = PublicKey(public_key)
    except ValueError as exc:  # what was given is not repeated: it may be the token
        raise OperatorError("the public key of the biscuit is none: it looks like ed25519/acdd6d…") from exc
    try:
        return Biscuit.from_base64(token, key)
    except BiscuitValidationError as exc:
        raise OperatorError(
            "the biscuit is damaged, or was not signed with the key that belongs to its public key"
        ) from exc
