"""Biscuits: tokens that whoever holds one can narrow down, and nobody can widen; the bank signs one for its agent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from voiceagent.errors import MissingExtra

from .tokens import SCOPES

__all__ = ["BiscuitMint"]


class BiscuitMint:
    """Signs with a key that is drawn anew and stays in the process; the public half reads what comes back."""

    def __init__(self, client_id: str) -> None:
        """Raises MissingExtra."""
        try:
            from biscuit_auth import BiscuitBuilder, Fact, KeyPair
        except ImportError as exc:
            raise MissingExtra("a bank that reads biscuits", extra="biscuit") from exc
        keys = KeyPair()
        rights = BiscuitBuilder("client({client});", {"client": client_id})
        for scope in sorted(SCOPES):
            rights.add_fact(Fact("right({scope})", {"scope": scope}))
        self._public_key = keys.public_key
        self.token = rights.build(keys.private_key).to_base64()
        """The agent's own, with all its rights."""

    @property
    def public_key(self) -> str:
        """As text: `ed25519/acdd6d…`."""
        return repr(self._public_key)

    def judge(
        self, token: str, *, scope: str, subject: str | None
    ) -> Literal["admitted", "refused", "not one of ours"]:
        """Say whether a token allows this now, of a customer or of nobody in particular."""
        from biscuit_auth import AuthorizationError, AuthorizerBuilder, Biscuit, BiscuitValidationError

        try:
            biscuit = Biscuit.from_base64(token, self._public_key)
        except BiscuitValidationError:
            return "not one of ours"
        asked: dict[str, object] = {"now": datetime.now(UTC), "scope": scope}
        request = AuthorizerBuilder("time({now}); scope({scope}); allow if right({scope});", asked)
        if subject is not None:
            request.add_code("subject({subject});", {"subject": subject})
        try:
            request.build(biscuit).authorize()
        except AuthorizationError:
            return "refused"
        return "admitted"
