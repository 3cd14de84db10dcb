"""Latency: how long each answer lets the caller wait, decided by the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping

from .settings import Endpoint, LatencyRange

__all__ = ["LatencyDraws"]


class LatencyDraws:
    """One sequence per endpoint, so that requests to one do not shift another's."""

    def __init__(self, ranges: Mapping[Endpoint, LatencyRange], *, seed: int) -> None:
        self._ranges = dict(ranges)
        self._dice = {
            endpoint: random.Random(f"{seed}/latency/{endpoint}")  # noqa: S311 - no secrets
            for endpoint in self._ranges
        }

    def next_ms(self, endpoint: Endpoint) -> int:
        """Return how long the next request to this endpoint takes; 0 where no range is set."""
        latency = self._ranges.get(endpoint)
        return 0 if latency is None else self._dice[endpoint].randint(latency.min_ms, latency.max_ms)
