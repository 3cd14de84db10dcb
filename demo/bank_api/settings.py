"""Settings: how one run of the bank differs from the next."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from voiceagent.errors import OperatorError

__all__ = ["DEFAULT_LATENCIES", "ENDPOINTS", "BankSettings", "Endpoint", "LatencyRange"]

Endpoint = Literal[
    "token",
    "verify",
    "accounts",
    "transactions",
    "alerts",
    "payees",
    "transfers",
    "reconcile",
    "cards",
    "health",
]
"""What `--latency` and `--fail` can name."""

ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)


@dataclass(frozen=True, slots=True)
class LatencyRange:
    """How long an endpoint takes to answer: each request draws a number, both ends included."""

    min_ms: int
    max_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.min_ms <= self.max_ms:
            raise OperatorError(f"{self.min_ms}-{self.max_ms} is not a range of milliseconds")


DEFAULT_LATENCIES: Mapping[Endpoint, LatencyRange] = MappingProxyType(
    {
        "verify": LatencyRange(120, 320),
        "accounts": LatencyRange(180, 480),
        "transactions": LatencyRange(220, 640),
        "alerts": LatencyRange(120, 360),
        "payees": LatencyRange(120, 360),
        "transfers": LatencyRange(260, 700),
        "reconcile": LatencyRange(120, 320),
        "cards": LatencyRange(200, 520),
    }
)
"""A back end is never instant; these ranges keep it below the silence that a caller notices."""


def _today_utc() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSettings:
    """Everything that can be chosen about one run; without a seed, every run has other balances."""

    seed: int = field(default_factory=lambda: secrets.randbits(32))
    """Decides balances, amounts and latencies."""
    latencies: Mapping[Endpoint, LatencyRange] = field(default_factory=lambda: DEFAULT_LATENCIES)
    """Ranges by endpoint; an endpoint that is not named answers at once."""
    failures: Mapping[Endpoint, int] = field(default_factory=dict[Endpoint, int])
    """Endpoints that refuse every admitted request, before doing anything: HTTP status 400 to 599."""
    lost_answers: Mapping[Endpoint, int] = field(default_factory=dict[Endpoint, int])
    """Endpoints that do what they are asked, and then say nothing for so many milliseconds, and 504."""
    client_id: str = "phone-agent"
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """What the phone agent proves itself with at `/oauth/token`."""
    biscuits: bool = False
    """Whether it signs and reads biscuits too; needs the extra `biscuit`."""
    today: date = field(default_factory=_today_utc)
    """The bank's business day: transactions lie before it, transfers are booked on it."""
    database: Path | None = None
    """SQLite file, written anew at every start; None keeps everything in memory."""
    port: int = 0
    """TCP port on 127.0.0.1; 0 takes a free one."""

    def __post_init__(self) -> None:
        for endpoint, status in self.failures.items():
            if not 400 <= status <= 599:
                raise OperatorError(f"{endpoint} cannot fail with {status}: 400 to 599 are failures")
        if not self.client_id or not self.client_secret:
            raise OperatorError("the client id and the client secret must not be empty")
