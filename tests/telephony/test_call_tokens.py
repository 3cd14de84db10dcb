"""A call token lets one call in, once, for a minute."""

from __future__ import annotations

from voiceagent.telephony.call_tokens import TOKEN_LIFETIME_MS, CallGrant, CallTokens

GRANT = CallGrant("bank", "CA1", caller="+4930", called="+4940")


def test_a_token_is_good_once(clock):
    tokens = CallTokens(clock)
    token = tokens.mint(GRANT)
    assert tokens.redeem(token, agent="bank") == GRANT
    assert tokens.redeem(token, agent="bank") is None


def test_a_token_grows_old(clock):
    tokens = CallTokens(clock)
    token = tokens.mint(GRANT)
    clock.advance(TOKEN_LIFETIME_MS - 1)
    younger = tokens.mint(GRANT)
    clock.advance(1)
    assert tokens.redeem(token, agent="bank") is None
    assert tokens.redeem(younger, agent="bank") == GRANT


def test_a_token_is_good_for_its_agent_only(clock):
    tokens = CallTokens(clock)
    token = tokens.mint(GRANT)
    assert tokens.redeem(token, agent="clinic") is None
    assert tokens.redeem(token, agent="bank") is None, "and it was used up"


def test_nobody_guesses_a_token(clock):
    tokens = CallTokens(clock)
    tokens.mint(GRANT)
    assert [tokens.redeem(guess, agent="bank") for guess in ("", "0", "\ud800", "x" * 32)] == [None] * 4


def test_only_so_many_tokens_are_kept_and_the_oldest_goes_first(clock):
    tokens = CallTokens(clock, most=3)
    minted = [tokens.mint(CallGrant("bank", f"CA{n}")) for n in range(4)]
    assert len(set(minted)) == 4
    redeemed = [tokens.redeem(token, agent="bank") for token in minted]
    assert [grant and grant.call for grant in redeemed] == [None, "CA1", "CA2", "CA3"]
