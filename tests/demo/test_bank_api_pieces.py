"""The bank's parts without a network: tokens, PINs, amounts, the database file and the command line."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.errors import OperatorError

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from bank_api import CUSTOMERS, BankSettings, LatencyRange
from bank_api.command import read_settings
from bank_api.customers import draw, money
from bank_api.latency import LatencyDraws
from bank_api.ledger import Ledger
from bank_api.pins import DECOY, hash_pin, matches
from bank_api.request_log import RequestLog
from bank_api.settings import Endpoint
from bank_api.tokens import Claims, TokenIssuer

DEMO = Path(__file__).parents[2] / "demo"
TODAY = date(2025, 3, 31)
CLAIMS = Claims(frozenset({"accounts:read"}), "C-1001")
ISSUER = TokenIssuer()


def test_a_token_ends_with_its_lifetime():
    token = ISSUER.issue(CLAIMS, now_ms=1_000, lifetime_s=60)
    assert ISSUER.read(token, now_ms=60_999) == CLAIMS
    assert ISSUER.read(token, now_ms=61_000) is None


@given(st.text(max_size=60))
def test_no_text_is_taken_for_a_token(text: str):
    assert ISSUER.read(text, now_ms=0) is None


@given(st.integers(0, 200), st.sampled_from("ABCxyz019-_.="))
def test_a_token_changed_in_one_place_never_says_more(at: int, letter: str):
    token = ISSUER.issue(CLAIMS, now_ms=0, lifetime_s=60)
    at %= len(token)
    assert ISSUER.read(token[:at] + letter + token[at + 1 :], now_ms=0) in (None, CLAIMS)


def test_a_pin_is_stored_so_that_it_cannot_be_read():
    stored, again = hash_pin("1234"), hash_pin("1234")
    assert stored != again
    assert matches("1234", stored)
    assert not matches("1235", stored)
    assert not matches("1234", DECOY)


@given(st.integers(-(10**12), 10**12))
def test_money_is_written_with_two_digits_and_read_back_exactly(cents: int):
    assert Decimal(money(cents)) * 100 == cents
    assert money(cents)[-3] == "."


@given(st.integers(0, 2**32), st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_whatever_is_drawn_the_recorded_calls_can_be_played(seed: int, today: date):
    for customer in CUSTOMERS:
        drawn = draw(customer, seed=seed, today=today)
        assert drawn == draw(customer, seed=seed, today=today)
        assert {account.kind for account in drawn.accounts} == {"checking", "savings"}
        for account in drawn.accounts:
            # The recorded caller moves 250 dollars.
            assert account.balance_cents >= 250_00
            assert len(account.entries) >= 8
            days = [entry.booked_on for entry in account.entries]
            assert days == sorted(days)
            assert today - timedelta(days=60) < days[0] <= days[-1] < today
    daniels = draw(CUSTOMERS[0], seed=seed, today=today).accounts[0].entries
    assert -49_99 in [entry.amount_cents for entry in daniels]


def test_the_file_is_private_holds_no_pin_and_is_written_anew(tmp_path: Path):
    database = tmp_path / "bank.sqlite"
    balances: list[int | None] = []
    for seed in (1, 2):
        ledger = Ledger(seed=seed, today=TODAY, database=database)
        balances.append(ledger.balance_cents("4519227", "checking"))
        ledger.close()
    assert balances[0] != balances[1]
    assert database.stat().st_mode & 0o077 == 0
    sqlite = sqlite3.connect(database)
    values = {value for row in sqlite.execute("SELECT * FROM customers") for value in row}
    assert sqlite.execute("SELECT count(*) FROM customers").fetchone() == (len(CUSTOMERS),)
    sqlite.close()
    assert values.isdisjoint({customer.pin for customer in CUSTOMERS})


@pytest.mark.parametrize("content", [b"my diary", b"SQLite format 3\x00" + bytes(80)])
def test_somebody_elses_file_is_left_alone(tmp_path: Path, content: bytes):
    database = tmp_path / "precious"
    database.write_bytes(content)
    with pytest.raises(OperatorError, match="was not written by this bank"):
        Ledger(seed=1, today=TODAY, database=database)
    assert database.read_bytes() == content


def test_a_folder_is_not_a_database(tmp_path: Path):
    with pytest.raises(OperatorError, match="cannot be written"):
        Ledger(seed=1, today=TODAY, database=tmp_path)


def test_the_log_keeps_the_last_ten_thousand_and_goes_on_counting():
    log = RequestLog()
    for _ in range(10_002):
        log.add("GET", "/" + "a" * 1000, has_idempotency_key=False)
    kept = log.requests()
    assert (len(kept), kept[0].number, kept[-1].number) == (10_000, 3, 10_002)
    assert len(kept[0].path) == 256


def test_latencies_follow_the_seed_and_each_endpoint_for_itself():
    ranges: dict[Endpoint, LatencyRange] = {"accounts": LatencyRange(1800, 2600), "alerts": LatencyRange(0, 10_000)}

    def drawn(seed: int, *, alerts_between: int) -> list[int]:
        draws = LatencyDraws(ranges, seed=seed)
        latencies_ms: list[int] = []
        for _ in range(30):
            latencies_ms.append(draws.next_ms("accounts"))
            for _ in range(alerts_between):
                draws.next_ms("alerts")
        return latencies_ms

    first = drawn(1, alerts_between=0)
    assert all(1800 <= latency_ms <= 2600 for latency_ms in first)
    assert first == drawn(1, alerts_between=2) != drawn(2, alerts_between=0)
    assert LatencyDraws({}, seed=1).next_ms("accounts") == 0


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(OperatorError, match="range"):
        LatencyRange(5, 4)
    with pytest.raises(OperatorError, match="failures"):
        BankSettings(failures={"accounts": 200})
    with pytest.raises(OperatorError, match="empty"):
        BankSettings(client_secret="")


def test_arguments_become_settings():
    arguments = ["--seed", "7", "--latency", "accounts=1800-2600", "--fail", "transactions=503", "--client-id", "me"]
    settings, is_secret_new = read_settings(arguments, {"BANK_CLIENT_ID": "env", "BANK_CLIENT_SECRET": "s3"})
    assert (settings.seed, settings.client_id, settings.client_secret) == (7, "me", "s3")
    assert settings.latencies["accounts"] == LatencyRange(1800, 2600)
    assert settings.failures == {"transactions": 503}
    assert not is_secret_new
    assert read_settings([], {})[1]


@pytest.mark.parametrize(
    "argument", ["--latency=accounts", "--latency=vault=1-2", "--latency=accounts=9-1", "--fail=accounts=200"]
)
def test_an_argument_that_cannot_be_meant_is_named(argument: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        read_settings([argument], {})
    assert argument.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, told: signal.Signals):
    command = [sys.executable, str(DEMO / "bank_api"), "--port", "0", "--seed", "7"]
    command += ["--database", str(tmp_path / "bank.sqlite")]
    environment = {**os.environ, "BANK_CLIENT_SECRET": "s3"}
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - this repository's own program
        command, stdout=pipe, stderr=pipe, text=True, env=environment
    ) as bank:
        assert bank.stdout is not None
        line = bank.stdout.readline()
        url = line.split()[1]
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        bank.send_signal(told)
        rest, complaints = bank.communicate(timeout=20)
    assert "seed 7" in line
    assert (bank.returncode, rest, complaints) == (0, "", "")
