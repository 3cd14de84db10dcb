"""A worker of its own process: begins or takes over a call, appends lines, says so, and holds on until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from voiceagent.core.ids import CallId
from voiceagent.errors import LeaseLost
from voiceagent.runtime.clock import SystemClock
from voiceagent.stores.redis import RedisStore
from voiceagent.stores.sqlite import SqliteStore
from voiceagent.stores.terms import Terms

CALL = CallId("CA1")
_TERMS = Terms(lease_ms=1_500)


async def main(state: str, what: str) -> None:
    store = await asyncio.to_thread(_store, state)
    if what == "begin":
        lease = await store.begin(CALL)
        say("owner" if lease is not None else "none")
        if lease is None:
            return
        for number in range(3):
            await store.append(lease, number, [f"line {number}".encode()])
        say("appended")
        await asyncio.to_thread(sys.stdin.readline)
        try:
            await store.append(lease, 3, [b"stale"])
        except LeaseLost:
            say("refused")
        else:
            say("written")
    else:
        lease = await store.take_over(CALL)
        while lease is None:
            await asyncio.sleep(0.1)
            lease = await store.take_over(CALL)
        recorded = await store.read(CALL)
        assert recorded is not None
        say(b",".join(recorded.lines).decode())
        await store.append(lease, len(recorded.lines), [b"after"])
        await store.release(lease)
        say("released")
    await store.close()


def _store(state: str) -> SqliteStore | RedisStore:
    if state.startswith("redis"):
        return RedisStore(state, terms=_TERMS)
    return SqliteStore(Path(state.removeprefix("sqlite:///")), clock=SystemClock(), terms=_TERMS)


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
