"""A call token lets one call in, once, for a minute."""

from __future__ import annotations

import asyncio

from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import TOKEN_LIFETIME_MS, CallGrant, CallTokens

GRANT = CallGrant("bank", "CA1", caller="+4930", called="+4940")


def test_a_token_is_good_once(clock):
    async def scenario():
        tokens = CallTokens(MemoryStore(clock))
        token = await tokens.mint(GRANT)
        assert await tokens.redeem(token, agent="bank") == GRANT
        assert await tokens.redeem(token, agent="bank") is None

    asyncio.run(scenario())


def test_a_token_grows_old(clock):
    async def scenario():
        tokens = CallTokens(MemoryStore(clock))
        token = await tokens.mint(GRANT)
        clock.advance(TOKEN_LIFETIME_MS - 1)
        younger = await tokens.mint(GRANT)
        clock.advance(1)
        assert await tokens.redeem(token, agent="bank") is None
        assert await tokens.redeem(younger, agent="bank") == GRANT

    asyncio.run(scenario())


def test_a_token_is_good_for_its_agent_only(clock):
    async def scenario():
        tokens = CallTokens(MemoryStore(clock))
        token = await tokens.mint(GRANT)
        assert await tokens.redeem(token, agent="clinic") is None
        assert await tokens.redeem(token, agent="bank") is None, "and it was used up"

    asyncio.run(scenario())


def test_nobody_guesses_a_token(clock):
    async def scenario():
        tokens = CallTokens(MemoryStore(clock))
        await tokens.mint(GRANT)
        guesses = ("", "0", "\ud800", "x" * 32)
        assert [await tokens.redeem(guess, agent="bank") for guess in guesses] == [None] * 4

    asyncio.run(scenario())


def test_whoever_reads_the_shared_state_learns_no_token(clock):
    class Read(MemoryStore):
        kept = ""

        async def note(self, key, value, *, ttl_ms):
            self.kept += key + value
            await super().note(key, value, ttl_ms=ttl_ms)

    async def scenario():
        state = Read(clock)
        token = await CallTokens(state).mint(GRANT)
        assert state.kept
        assert token not in state.kept

    asyncio.run(scenario())


def test_what_another_version_has_noted_is_no_token(clock):
    class Other(MemoryStore):
        async def note(self, key, value, *, ttl_ms):
            await super().note(key, '{"agent": 7}', ttl_ms=ttl_ms)

    async def scenario():
        tokens = CallTokens(Other(clock))
        assert await tokens.redeem(await tokens.mint(GRANT), agent="bank") is None

    asyncio.run(scenario())
