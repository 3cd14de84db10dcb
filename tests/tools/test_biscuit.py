"""The agent's biscuit, narrowed down for one run: the demo bank looks at scopes, customer and time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.tool_runs import http_to
from voiceagent.cli.agent_server import ServiceSettings
from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.biscuit import BiscuitAttenuation
from voiceagent.tools.service import ConnectionPool

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from bank_api import BankApi, BankSettings

biscuit_auth = pytest.importorskip("biscuit_auth", reason="needs the extra 'biscuit'")

ACCOUNTS = "/customers/C-1001/accounts"
SETTINGS = BankSettings(seed=7, latencies={}, biscuits=True)
REFUSED = (403, "biscuit_refused")


@pytest.fixture(scope="module")
def bank() -> Iterator[BankApi]:
    with BankApi(SETTINGS) as opened:
        yield opened


def broker(bank: BankApi, *, aged_s: int = 0) -> BiscuitAttenuation:
    """As it narrows down now, or so many seconds ago."""
    clock = ManualClock(unix_ms=int(time.time() - aged_s) * 1_000)
    return BiscuitAttenuation(clock, token=bank.mint.token, public_key=bank.mint.public_key)


def token(of: BiscuitAttenuation, *scopes: str, subject: str | None = "C-1001") -> str:
    scopes = scopes or ("accounts:read",)
    run = of.token(call="call-1", phase="inquiry", tool="get_accounts", scopes=scopes, subject=subject)
    return asyncio.run(run)["Authorization"].removeprefix("Bearer ")  # pyright: ignore[reportArgumentType] - a coroutine


def ask(bank: BankApi, bearer: str, path: str = ACCOUNTS, *, method: str = "GET") -> tuple[int, str | None]:
    async def main() -> tuple[int, str | None]:
        pool = ConnectionPool(internal=[bank.url])
        answer = await http_to(bank.url, pool, {"Authorization": f"Bearer {bearer}"}).request(method, path)
        await pool.close()
        told = answer.json()
        return answer.status_code, told.get("error") if isinstance(told, dict) else None

    return asyncio.run(main())


def test_the_bank_lets_the_run_in_that_the_biscuit_was_narrowed_down_for(bank: BankApi) -> None:
    assert ask(bank, token(broker(bank))) == (200, None)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/customers/C-1002/accounts", "GET"),
        ("/customers/C-1001/payees", "GET"),
        ("/customers/C-1001/transfers", "POST"),
        ("/customers/C-1001/cards/block", "POST"),
        ("/verify", "POST"),
        ("/_log", "GET"),
    ],
)
def test_the_bank_refuses_the_same_biscuit_anything_else(bank: BankApi, path: str, method: str) -> None:
    assert ask(bank, token(broker(bank)), path, method=method) == REFUSED


def test_a_biscuit_for_nobody_in_particular_opens_no_customers_accounts(bank: BankApi) -> None:
    assert ask(bank, token(broker(bank), subject=None)) == REFUSED
    found, _ = ask(bank, token(broker(bank), "identity:verify", subject=None), "/verify", method="POST")
    assert found == 400  # let in, and told that it says nothing


def test_a_subject_is_a_value_and_never_a_rule(bank: BankApi) -> None:
    for subject in ('C-1002"); check if true; subject("C-1001', 'C-1001") or true; //', "{until}"):
        assert ask(bank, token(broker(bank), subject=subject)) == REFUSED


def test_a_biscuit_is_worth_nothing_after_two_minutes(bank: BankApi) -> None:
    assert ask(bank, token(broker(bank, aged_s=110))) == (200, None)
    assert ask(bank, token(broker(bank, aged_s=121))) == REFUSED


def test_a_run_without_scopes_opens_nothing(bank: BankApi) -> None:
    narrowed = broker(bank).token(call="c", phase="p", tool="t", scopes=(), subject="C-1001")
    assert ask(bank, asyncio.run(narrowed)["Authorization"].removeprefix("Bearer ")) == REFUSED  # pyright: ignore[reportArgumentType] - a coroutine


def test_what_was_narrowed_down_cannot_be_widened_again(bank: BankApi) -> None:
    narrowed = biscuit_auth.Biscuit.from_base64(token(broker(bank)), biscuit_auth.PublicKey(bank.mint.public_key))
    claims = 'right("transfers:write"); scope("accounts:read"); subject("C-1002"); time(2020-01-01T00:00:00Z);'
    widened = narrowed.append(biscuit_auth.BlockBuilder(claims)).to_base64()
    assert ask(bank, widened, "/customers/C-1002/accounts") == REFUSED
    assert ask(bank, widened, "/customers/C-1001/transfers", method="POST") == REFUSED
    assert ask(bank, widened) == (200, None)


def test_a_biscuit_of_another_bank_or_a_damaged_one_is_none(bank: BankApi) -> None:
    with BankApi(SETTINGS) as other:
        foreign = token(broker(other))
    whole = token(broker(bank))
    for none in (foreign, whole[:-12], whole[:200] + "AAAA" + whole[204:], "x"):
        assert ask(bank, none) == (401, "invalid_token")


def test_a_bank_that_signs_no_biscuits_takes_none(bank: BankApi) -> None:
    with BankApi(BankSettings(seed=7, latencies={})) as plain:
        assert ask(plain, token(broker(bank))) == (401, "invalid_token")
        with pytest.raises(OperatorError, match="signs no biscuits"):
            _ = plain.mint


def test_the_token_says_to_the_services_log_which_call_phase_and_tool_it_was_for(bank: BankApi) -> None:
    read = biscuit_auth.Biscuit.from_base64(token(broker(bank)), biscuit_auth.PublicKey(bank.mint.public_key))
    run = read.block_source(1)
    assert 'call("call-1")' in run
    assert 'phase("inquiry")' in run
    assert 'tool("get_accounts")' in run


def test_two_runs_never_share_a_token_of_different_scope(bank: BankApi) -> None:
    one, other = token(broker(bank)), token(broker(bank), "payees:read")
    assert one != other
    assert ask(bank, other, "/customers/C-1001/payees") == (200, None)
    assert ask(bank, other) == REFUSED


def test_mistakes_are_told_at_the_start_without_repeating_what_was_given(bank: BankApi) -> None:
    with pytest.raises(OperatorError, match="looks like ed25519/") as swapped:
        BiscuitAttenuation(ManualClock(), token=bank.mint.public_key, public_key=bank.mint.token)
    assert bank.mint.token not in str(swapped.value)
    with pytest.raises(OperatorError, match="damaged, or was not signed") as damaged:
        BiscuitAttenuation(ManualClock(), token=bank.mint.token[:-8], public_key=bank.mint.public_key)
    assert bank.mint.token[:20] not in str(damaged.value)
    with pytest.raises(OperatorError, match="--biscuit needs --biscuit-public-key"):
        ServiceSettings(biscuit="b")
    with pytest.raises(OperatorError, match="one of --token-url, --biscuit and --service-key-variable"):
        ServiceSettings(biscuit="b", biscuit_public_key="k", key_variable="K")


def test_a_library_that_is_missing_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "biscuit_auth", None)
    with pytest.raises(MissingExtra, match=r"voiceagent\[biscuit\]"):
        BiscuitAttenuation(ManualClock(), token="t", public_key="k")
    with pytest.raises(MissingExtra, match=r"voiceagent\[biscuit\]"):
        BankApi(SETTINGS).start()
