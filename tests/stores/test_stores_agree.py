"""Memory, a file and Redis answer alike, whatever is asked of them in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.stores.conftest import File, InRedis, Memory, RedisServer
from voiceagent.core.ids import CallId
from voiceagent.errors import LeaseLost
from voiceagent.ports import CALL_LEASE_MS, CallLease, SharedStore
from voiceagent.stores.terms import RETENTION_MS

_KEYS = st.sampled_from(["a", "b"])
_CALLS = st.sampled_from([CallId("CA1"), CallId("CA2")])
_SPANS_MS = st.sampled_from([20_000, 50_000])
_LINES = st.lists(st.binary(max_size=4), max_size=3)

Asked = Callable[[SharedStore], Awaitable[object]]


@pytest.mark.timeout(120)
def test_all_stores_answer_alike(tmp_path: Path, redis_for_all: RedisServer) -> None:  # noqa: C901 - one rule each
    numbers = iter(range(1_000_000))

    class Stores(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            directory = tmp_path / str(next(numbers))
            directory.mkdir()
            self.runner = asyncio.Runner()
            self.places = (Memory(), File(directory), InRedis(redis_for_all))
            self.runner.run(self.places[2].forget_everything())
            self.stores = tuple(place.worker() for place in self.places)
            self.leases = [CallLease(CallId("CA1"), 77)]

        def alike(self, ask: Asked) -> object:
            """Ask all of them and return the answer, which must be the same."""

            async def asked() -> list[object]:
                return [await _answer(ask(store)) for store in self.stores]

            answers = self.runner.run(asked())
            assert answers[1:] == answers[:1] * 2
            return answers[0]

        @rule(key=_KEYS, ttl_ms=_SPANS_MS)
        def once(self, key: str, ttl_ms: int) -> None:
            self.alike(lambda store: store.once(key, ttl_ms=ttl_ms))

        @rule(key=_KEYS, value=st.sampled_from(["", "x", "ü"]), ttl_ms=_SPANS_MS)
        def note(self, key: str, value: str, ttl_ms: int) -> None:
            self.alike(lambda store: store.note(key, value, ttl_ms=ttl_ms))

        @rule(key=_KEYS, gone=st.booleans())
        def ask(self, key: str, gone: bool) -> None:
            self.alike(lambda store: store.take(key) if gone else store.noted(key))

        @rule(key=_KEYS, window_ms=_SPANS_MS)
        def count(self, key: str, window_ms: int) -> None:
            self.alike(lambda store: store.count(key, window_ms=window_ms))

        @rule(key=_KEYS, anew=st.booleans())
        def counted(self, key: str, anew: bool) -> None:
            self.alike(lambda store: store.reset(key) if anew else store.counted(key))

        @rule(key=_KEYS, member=st.sampled_from(["x", "y", "ü"]), most=st.integers(0, 3), ttl_ms=_SPANS_MS)
        def join(self, key: str, member: str, most: int, ttl_ms: int) -> None:
            self.alike(lambda store: store.join(key, member, most=most, ttl_ms=ttl_ms))

        @rule(key=_KEYS, member=st.sampled_from(["x", "y", "ü"]))
        def leave(self, key: str, member: str) -> None:
            self.alike(lambda store: store.leave(key, member))

        @rule(call=_CALLS)
        def begin(self, call: CallId) -> None:
            self.have(lambda store: store.begin(call))

        @rule(call=_CALLS, seize=st.booleans())
        def take_over(self, call: CallId, seize: bool) -> None:
            self.have(lambda store: store.take_over(call, seize=seize))

        def have(self, ask: Asked) -> None:
            lease = self.alike(ask)
            if isinstance(lease, CallLease):
                self.leases.append(lease)

        @rule(which=st.integers(0, 9), at=st.integers(0, 4), lines=_LINES)
        def append(self, which: int, at: int, lines: list[bytes]) -> None:
            self.alike(lambda store: store.append(self.lease(which), at, lines))

        @rule(which=st.integers(0, 9), how=st.sampled_from(["renew", "end", "release"]))
        def own(self, which: int, how: str) -> None:
            self.alike(lambda store: getattr(store, how)(self.lease(which)))

        def lease(self, which: int) -> CallLease:
            """Return one of the newer leases, or of the older ones."""
            return self.leases[-1 - which % len(self.leases)]

        @rule(call=_CALLS, start=st.integers(0, 3))
        def read(self, call: CallId, start: int) -> None:
            self.alike(lambda store: store.read(call, start=start))
            self.alike(lambda store: store.interrupted())
            self.alike(lambda store: store.recorded())

        @rule(call=_CALLS)
        def erase(self, call: CallId) -> None:
            self.alike(lambda store: store.erase(call))

        @rule(ms=st.sampled_from([CALL_LEASE_MS, 30_000, 60_000, RETENTION_MS]))
        def time_passes(self, ms: int) -> None:
            for place in self.places:
                self.runner.run(place.pass_time(ms))

        def teardown(self) -> None:
            for store in self.stores:
                self.runner.run(store.close())
            self.runner.close()

    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )


async def _answer(asked: Awaitable[object]) -> object:
    try:
        answer = await asked
    except LeaseLost:
        return LeaseLost
    # In which order calls are listed is nobody's business.
    return sorted(answer) if isinstance(answer, tuple) else answer
