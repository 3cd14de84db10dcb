"""The bank over real HTTP: who may ask what, and that money moves exactly once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from voiceagent.errors import OperatorError

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from bank_api import CUSTOMERS, BankApi, BankSettings, LatencyRange

DANIEL, DANIELS_NUMBER, DANIELS_PIN = "C-1001", "4519227", "1234"
MARIA, MARIAS_NUMBER = "C-1002", "8306114"
TODAY = date(2025, 3, 31)
SECRET = "the secret of these tests"
INJECTIONS = ("' OR '1'='1", "4519227'; DROP TABLE customers; --", '" OR ""="', "4519227\x00", "%", "\\")


def settings(seed: int = 7, **changes: Any) -> BankSettings:
    plain = BankSettings(seed=seed, latencies={}, client_secret=SECRET, today=TODAY)
    return replace(plain, **changes)


class Agent:
    """A client of the bank as a tool would be one: a token per scope and customer."""

    def __init__(self, bank: BankApi) -> None:
        self.http = httpx.Client(base_url=bank.url, timeout=20)

    def ask_token(self, **form: str) -> httpx.Response:
        given = {
            "grant_type": "client_credentials",
            "client_id": "phone-agent",
            "client_secret": SECRET,
            "scope": "accounts:read",
        }
        return self.http.post("/oauth/token", data={**given, **form})

    def bearer(self, scope: str, subject: str | None = None) -> dict[str, str]:
        response = self.ask_token(scope=scope, **({"subject": subject} if subject else {}))
        assert response.status_code == 200, response.text
        return {"Authorization": f"Bearer {response.json()['access_token']}"}

    def get(self, path: str, *, scope: str, subject: str | None = None) -> httpx.Response:
        return self.http.get(path, headers=self.bearer(scope, subject))

    def verify(self, account_number: str, pin: str) -> httpx.Response:
        body = {"account_number": account_number, "pin": pin}
        return self.http.post("/verify", json=body, headers=self.bearer("identity:verify"))

    def transfer(self, amount: str, *, key: str, to: str = f"{DANIEL}-savings") -> httpx.Response:
        body = {"from_account": f"{DANIEL}-checking", "to_account": to, "amount": amount}
        headers = {**self.bearer("transfers:write", DANIEL), "Idempotency-Key": key}
        return self.http.post(f"/customers/{DANIEL}/transfers", json=body, headers=headers)


@contextmanager
def opened(chosen: BankSettings) -> Generator[tuple[BankApi, Agent]]:
    with BankApi(chosen) as bank:
        agent = Agent(bank)
        with agent.http:
            yield bank, agent


@pytest.fixture(scope="module")
def reading() -> Iterator[Agent]:
    """One bank for the tests that change nothing."""
    with opened(settings()) as (_, agent):
        yield agent


@pytest.fixture
def open_bank() -> Iterator[tuple[BankApi, Agent]]:
    """A bank of its own for a test that changes something."""
    with opened(settings()) as both:
        yield both


# --- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/verify", "identity:verify"),
        ("GET", f"/customers/{DANIEL}/accounts", "accounts:read"),
        ("GET", f"/customers/{DANIEL}/accounts/{DANIEL}-checking/transactions", "transactions:read"),
        ("GET", f"/customers/{DANIEL}/alerts", "alerts:read"),
        ("GET", f"/customers/{DANIEL}/payees", "payees:read"),
        ("POST", f"/customers/{DANIEL}/transfers", "transfers:write"),
        ("GET", f"/customers/{DANIEL}/transfers/k1", "transfers:write"),
        ("POST", f"/customers/{DANIEL}/cards/block", "cards:write"),
        ("GET", "/_log", "demo:observe"),
    ],
)
def test_every_endpoint_demands_its_own_scope_and_subject(reading: Agent, method: str, path: str, scope: str):
    every_other = {
        "identity:verify",
        "accounts:read",
        "transactions:read",
        "alerts:read",
        "payees:read",
        "transfers:write",
        "cards:write",
        "demo:observe",
    } - {scope}
    stranger = reading.http.request(method, path)
    assert (stranger.status_code, stranger.json()["error"]) == (401, "invalid_token")
    assert stranger.headers["www-authenticate"] == "Bearer"
    lacking = reading.http.request(method, path, headers=reading.bearer(" ".join(every_other), DANIEL))
    assert (lacking.status_code, lacking.json()["error"]) == (403, "insufficient_scope")
    if DANIEL in path:
        for subject in (MARIA, None):
            wrong = reading.http.request(method, path, headers=reading.bearer(scope, subject))
            assert (wrong.status_code, wrong.json()["error"]) == (403, "wrong_subject")


def test_a_token_of_another_run_is_worth_nothing(reading: Agent):
    with opened(settings()) as (_, other):
        headers = other.bearer("accounts:read", DANIEL)
    assert reading.http.get(f"/customers/{DANIEL}/accounts", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"client_id": "somebody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "accounts:read accounts:write"}, 400, "invalid_scope"),
        ({"scope": " "}, 400, "invalid_scope"),
        ({"subject": "C-9999"}, 400, "unknown_subject"),
        ({"expires_in": "301"}, 400, "invalid_request"),
        ({"expires_in": "0"}, 400, "invalid_request"),
        ({"audience": "elsewhere"}, 400, "invalid_request"),
    ],
)
def test_a_token_is_refused(reading: Agent, form: dict[str, str], status: int, code: str):
    response = reading.ask_token(**form)
    assert (response.status_code, response.json()["error"]) == (status, code)


def test_the_client_may_prove_itself_in_a_basic_header(reading: Agent):
    form = {"grant_type": "client_credentials", "scope": "accounts:read", "expires_in": "60"}
    right = reading.http.post("/oauth/token", data=form, auth=("phone-agent", SECRET))
    assert right.json()["expires_in"] == 60
    assert right.headers["cache-control"] == "no-store"
    wrong = reading.http.post("/oauth/token", data=form, auth=("phone-agent", "guess"))
    assert wrong.status_code == 401


# --- who is calling --------------------------------------------------------------------------------------------------


def test_every_customer_is_known_by_number_and_pin(open_bank: tuple[BankApi, Agent]):
    _, agent = open_bank
    assert len(CUSTOMERS) >= 5
    for customer in CUSTOMERS:
        answer = agent.verify(customer.account_number, customer.pin).json()
        assert answer == {
            "verified": True,
            "customer_id": customer.customer_id,
            "name": customer.name,
            "attempts_left": 5,
        }


def test_the_recorded_caller_is_a_customer():
    daniel = next(customer for customer in CUSTOMERS if customer.name == "Daniel Harris")
    assert (daniel.customer_id, daniel.account_number, daniel.pin) == (DANIEL, DANIELS_NUMBER, DANIELS_PIN)
    assert daniel.birth_date == date(1987, 3, 14)


def test_an_unknown_account_and_a_wrong_pin_look_alike_up_to_the_lock(open_bank: tuple[BankApi, Agent]):
    _, agent = open_bank
    for attempts_left in (4, 3, 2, 1, 0):
        wrong, unknown = agent.verify(DANIELS_NUMBER, "0000"), agent.verify("5550000", "0000")
        assert wrong.content == unknown.content
        assert wrong.status_code == unknown.status_code == 200
        assert wrong.json() == {
            "verified": False,
            "customer_id": None,
            "name": None,
            "attempts_left": attempts_left,
        }
    wrong, unknown = agent.verify(DANIELS_NUMBER, DANIELS_PIN), agent.verify("5550000", "0000")
    assert wrong.content == unknown.content
    assert wrong.status_code == unknown.status_code == 423
    assert agent.verify(MARIAS_NUMBER, "4821").json()["verified"]


def test_the_right_pin_forgives_the_wrong_ones(open_bank: tuple[BankApi, Agent]):
    _, agent = open_bank
    for _ in range(4):
        agent.verify(DANIELS_NUMBER, "9999")
    assert agent.verify(DANIELS_NUMBER, DANIELS_PIN).json()["verified"]
    assert agent.verify(DANIELS_NUMBER, "9999").json()["attempts_left"] == 4


def test_parallel_guesses_do_not_slip_past_the_lock(open_bank: tuple[BankApi, Agent]):
    _, agent = open_bank
    with ThreadPoolExecutor(12) as guessing:
        guesses = [guessing.submit(agent.verify, DANIELS_NUMBER, "0") for _ in range(12)]
        statuses = [guess.result().status_code for guess in guesses]
    assert sorted(statuses) == [200] * 5 + [423] * 7


# --- what is on the accounts -----------------------------------------------------------------------------------------


def test_balances_are_what_the_books_say(open_bank: tuple[BankApi, Agent]):
    bank, agent = open_bank
    for customer in CUSTOMERS:
        owner = customer.customer_id
        accounts = agent.get(f"/customers/{owner}/accounts", scope="accounts:read", subject=owner).json()
        assert [account["kind"] for account in accounts] == ["checking", "savings"]
        for account in accounts:
            assert Decimal(account["balance"]) == bank.balance_of(customer.account_number, account["kind"])
            assert account["currency"] == "USD"
    with pytest.raises(LookupError):
        bank.balance_of("5550000", "checking")


def statement(agent: Agent, owner: str, kind: str, query: str = "?limit=100") -> list[dict[str, str]]:
    path = f"/customers/{owner}/accounts/{owner}-{kind}/transactions{query}"
    return agent.get(path, scope="transactions:read", subject=owner).json()


def test_every_account_has_a_past_of_eight_transactions_or_more(reading: Agent):
    for customer in CUSTOMERS:
        for kind in ("checking", "savings"):
            lines = statement(reading, customer.customer_id, kind)
            assert len(lines) >= 8
            dates = [line["date"] for line in lines]
            assert dates == sorted(dates, reverse=True)
            assert dates[0] < TODAY.isoformat()
            assert all(line["merchant"] and Decimal(line["amount"]) for line in lines)


def test_the_newest_transactions_come_first_and_ten_unless_asked_otherwise(reading: Agent):
    everything = statement(reading, DANIEL, "checking")
    assert statement(reading, DANIEL, "checking", "?limit=3") == everything[:3]
    assert statement(reading, DANIEL, "checking", "") == everything[:10]


def test_the_charge_that_the_recorded_caller_disputes_is_there(reading: Agent):
    assert "-49.99" in [line["amount"] for line in statement(reading, DANIEL, "checking")]


def test_alerts_speak_of_the_largest_charge(reading: Agent):
    largest = min(Decimal(line["amount"]) for line in statement(reading, DANIEL, "checking"))
    alerts = reading.get(f"/customers/{DANIEL}/alerts", scope="alerts:read", subject=DANIEL).json()
    message = next(alert["message"] for alert in alerts if alert["kind"] == "large_charge")
    assert f"{-largest} dollars" in message


def test_another_customers_account_is_not_found_under_ones_own_name(reading: Agent):
    path = f"/customers/{DANIEL}/accounts/{MARIA}-checking/transactions"
    response = reading.get(path, scope="transactions:read", subject=DANIEL)
    assert (response.status_code, response.json()["error"]) == (404, "unknown_account")


def money_of(seed: int) -> tuple[list[Decimal], list[str]]:
    with opened(settings(seed)) as (bank, agent):
        balances = [bank.balance_of(customer.account_number, "checking") for customer in CUSTOMERS]
        amounts = [line["amount"] for line in statement(agent, MARIA, "checking")]
        return balances, amounts


def test_a_seed_decides_the_money_and_another_seed_decides_otherwise():
    first, again, other = money_of(1), money_of(1), money_of(2)
    assert first == again
    assert all(ours != theirs for ours, theirs in zip(first, other, strict=True))


def test_without_a_seed_every_run_draws_its_own():
    assert BankSettings().seed != BankSettings().seed
    assert BankSettings().client_secret != BankSettings().client_secret
    assert BankSettings(client_secret=SECRET).client_secret not in repr(BankSettings(client_secret=SECRET))


# --- moving money ----------------------------------------------------------------------------------------------------


def test_twenty_identical_posts_at_once_book_one_transfer(open_bank: tuple[BankApi, Agent]):
    bank, agent = open_bank
    before = bank.balance_of(DANIELS_NUMBER, "checking"), bank.balance_of(DANIELS_NUMBER, "savings")
    with ThreadPoolExecutor(20) as callers:
        booking = [callers.submit(agent.transfer, "250.00", key="call-1.transfer-1") for _ in range(20)]
        answers = [one.result() for one in booking]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert bank.balance_of(DANIELS_NUMBER, "checking") == before[0] - 250
    assert bank.balance_of(DANIELS_NUMBER, "savings") == before[1] + 250
    assert Decimal(answers[0].json()["balance_after"]) == before[0] - 250
    booked = [line for line in statement(agent, DANIEL, "checking") if line["date"] == TODAY.isoformat()]
    assert [(line["merchant"], line["amount"]) for line in booked] == [("Transfer to savings", "-250.00")]


def test_many_different_transfers_at_once_never_overdraw(open_bank: tuple[BankApi, Agent]):
    bank, agent = open_bank
    third = f"{(bank.balance_of(DANIELS_NUMBER, 'checking') / 3).quantize(Decimal('0.01')) - 1}"
    with ThreadPoolExecutor(8) as callers:
        booking = [callers.submit(agent.transfer, third, key=f"k{n}", to="P-2001") for n in range(8)]
        answers = [one.result() for one in booking]
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [422] * 5
    assert 0 <= bank.balance_of(DANIELS_NUMBER, "checking") < Decimal(third)


def test_a_key_stands_for_one_order_only(open_bank: tuple[BankApi, Agent]):
    bank, agent = open_bank
    first = agent.transfer("10.00", key="k1")
    after = bank.balance_of(DANIELS_NUMBER, "checking")
    other = agent.transfer("10.01", key="k1")
    assert (other.status_code, other.json()["error"]) == (409, "key_reused")
    assert bank.balance_of(DANIELS_NUMBER, "checking") == after
    assert agent.transfer("10.00", key="k1").content == first.content


def test_a_lost_answer_can_be_had_again_by_its_key(open_bank: tuple[BankApi, Agent]):
    _, agent = open_bank
    path = f"/customers/{DANIEL}/transfers/k1"
    missing = agent.get(path, scope="transfers:write", subject=DANIEL)
    assert (missing.status_code, missing.json()["error"]) == (404, "not_booked")
    booked = agent.transfer("10.00", key="k1", to="P-2002").json()
    assert booked["booked_on"] == TODAY.isoformat()
    assert agent.get(path, scope="transfers:write", subject=DANIEL).json() == booked
    # The key belongs to the customer: under the same key, another one has booked nothing.
    marias = agent.get(f"/customers/{MARIA}/transfers/k1", scope="transfers:write", subject=MARIA)
    assert marias.status_code == 404


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"amount": "999999999.99"}, 422, "insufficient_funds"),
        ({"to_account": f"{DANIEL}-checking"}, 422, "same_account"),
        ({"to_account": f"{MARIA}-checking"}, 422, "unknown_payee"),
        ({"to_account": "P-2003"}, 422, "unknown_payee"),
        ({"from_account": f"{MARIA}-checking"}, 422, "unknown_account"),
        ({"amount": "0.00"}, 400, "invalid_request"),
        ({"amount": "-5.00"}, 400, "invalid_request"),
        ({"amount": "5"}, 400, "invalid_request"),
        ({"amount": "5.001"}, 400, "invalid_request"),
        ({"amount": "5.00\n"}, 400, "invalid_request"),
        ({"amount": "٥.٠٠"}, 400, "invalid_request"),
        ({"amount": 5.25}, 400, "invalid_request"),
        ({"note": "rent"}, 400, "invalid_request"),
    ],
)
def test_an_order_that_cannot_be_carried_out_moves_nothing(
    reading: Agent, order: dict[str, object], status: int, code: str
):
    before = statement(reading, DANIEL, "checking")
    given = {"from_account": f"{DANIEL}-checking", "to_account": f"{DANIEL}-savings", "amount": "5.00"}
    headers = {**reading.bearer("transfers:write", DANIEL), "Idempotency-Key": "k1"}
    response = reading.http.post(f"/customers/{DANIEL}/transfers", json={**given, **order}, headers=headers)
    assert (response.status_code, response.json()["error"]) == (status, code)
    assert statement(reading, DANIEL, "checking") == before


@pytest.mark.parametrize("key", [None, "", "with space", "a" * 129, "a/b"])
def test_no_transfer_without_a_usable_key(reading: Agent, key: str | None):
    headers = reading.bearer("transfers:write", DANIEL) | ({} if key is None else {"Idempotency-Key": key})
    response = reading.http.post(f"/customers/{DANIEL}/transfers", json={}, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "idempotency_key_required")


def test_a_blocked_card_stays_blocked_for_its_first_reason(open_bank: tuple[BankApi, Agent]):
    _, agent = open_bank
    headers = agent.bearer("cards:write", DANIEL)
    path = f"/customers/{DANIEL}/cards/block"
    first = agent.http.post(path, json={"reason": "stolen"}, headers=headers)
    assert first.json() == {"card": "debit", "last_four": "3081", "blocked": True, "reason": "stolen"}
    assert agent.http.post(path, headers=headers).json() == first.json()
    assert agent.http.post(path, json={"reason": "bored"}, headers=headers).status_code == 400


# --- what strangers send ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_a_field_is_only_text(open_bank: tuple[BankApi, Agent], text: str):
    bank, agent = open_bank
    before = bank.balance_of(DANIELS_NUMBER, "checking")
    assert agent.verify(text, DANIELS_PIN).json()["verified"] is False
    assert agent.verify(DANIELS_NUMBER, text).json()["verified"] is False
    assert agent.ask_token(subject=text).json()["error"] == "unknown_subject"
    assert agent.transfer("1.00", key="k1", to=text).json()["error"] == "unknown_payee"
    quoted = f"/customers/{DANIEL}/transfers/{quote(text, safe='')}"
    assert agent.get(quoted, scope="transfers:write", subject=DANIEL).status_code == 404
    assert agent.verify(DANIELS_NUMBER, DANIELS_PIN).json()["verified"] is True
    assert bank.balance_of(DANIELS_NUMBER, "checking") == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"account_number": 4519227, "pin": "1234"}',
        b'{"account_number": "\\ud800", "pin": "1234"}',
        b'{"account_number": "4519227"}',
        b'{"account_number": "4519227", "pin": "123456789012345678901234567890123456789012345678901234567890123456"}',
        b'{"account_number": "4519227", "pin": "1234", "1234": 1}',
    ],
)
def test_a_malformed_body_is_refused_without_being_repeated(reading: Agent, body: bytes):
    response = reading.http.post("/verify", content=body, headers=reading.bearer("identity:verify"))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert "1234" not in response.text


@pytest.mark.parametrize(
    "body", [b"", b"scope", b"grant_type=%ff", b"scope=a&scope=b", b"\xff=1", b"&".join([b"a=1"] * 40)]
)
def test_a_malformed_token_form_is_refused(reading: Agent, body: bytes):
    response = reading.http.post("/oauth/token", content=body)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_a_body_that_is_too_long_is_refused_whether_or_not_it_says_so(reading: Agent):
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 1024

    headers = reading.bearer("identity:verify")
    for content in (b" " * 16_385, b" " * 400_000, pieces()):
        response = reading.http.post("/verify", content=content, headers=headers)
        assert (response.status_code, response.json()["error"]) == (413, "too_large")
    assert reading.http.post("/verify", content=b" " * 16_384, headers=headers).status_code == 400


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1e1", "\u0663"])
def test_a_limit_outside_one_to_a_hundred_is_refused(reading: Agent, limit: str):
    path = f"/customers/{DANIEL}/accounts/{DANIEL}-checking/transactions"
    headers = reading.bearer("transactions:read", DANIEL)
    response = reading.http.get(path, params={"limit": limit}, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer a.b", "Bearer .", "Basic eDp5", "Bearer é.é"])
def test_a_damaged_authorization_is_nobodys(reading: Agent, authorization: str):
    headers = {b"Authorization": authorization.encode("latin-1")}
    assert reading.http.get(f"/customers/{DANIEL}/accounts", headers=headers).status_code == 401


def test_addresses_and_methods_that_do_not_exist_fail_in_the_same_shape(reading: Agent):
    assert reading.http.get("/nowhere").json()["error"] == "not_found"
    assert reading.http.delete("/verify").json()["error"] == "method_not_allowed"


# --- the demo's view -------------------------------------------------------------------------------------------------


def test_the_log_shows_every_request_but_those_for_the_log(open_bank: tuple[BankApi, Agent]):
    bank, agent = open_bank
    agent.http.get("/health")
    agent.transfer("1.00", key="k1")
    seen = agent.get("/_log", scope="demo:observe").json()
    assert [(one["number"], one["method"], one["path"], one["has_idempotency_key"]) for one in seen] == [
        (1, "GET", "/health", False),
        (2, "POST", "/oauth/token", False),
        (3, "POST", f"/customers/{DANIEL}/transfers", True),
        (4, "POST", "/oauth/token", False),
    ]
    moments = [one["at_ms"] for one in seen]
    assert moments == sorted(moments)
    assert [one.path for one in bank.requests()] == [one["path"] for one in seen]


def test_a_slow_endpoint_does_not_hold_up_the_others():
    slow = settings(latencies={"accounts": LatencyRange(600_000, 600_000)})
    with opened(slow) as (bank, agent):
        headers = agent.bearer("accounts:read", DANIEL)
        with pytest.raises(httpx.ReadTimeout):
            agent.http.get(f"/customers/{DANIEL}/accounts", headers=headers, timeout=0.2)
        assert agent.http.get("/health").json() == {"status": "ok"}
        assert bank.requests()[-1].path == "/health"


def test_an_endpoint_can_be_put_out_of_order():
    with opened(settings(failures={"transfers": 503})) as (bank, agent):
        before = bank.balance_of(DANIELS_NUMBER, "checking")
        response = agent.transfer("1.00", key="k1")
        assert (response.status_code, response.json()["error"]) == (503, "unavailable")
        assert bank.balance_of(DANIELS_NUMBER, "checking") == before
        assert agent.verify(DANIELS_NUMBER, DANIELS_PIN).json()["verified"]


# --- opening and closing ---------------------------------------------------------------------------------------------


def test_closing_leaves_no_thread_and_no_port():
    threads = set(threading.enumerate())
    bank = BankApi(settings())
    bank.start()
    url = bank.url
    with pytest.raises(OperatorError, match="open already"):
        bank.start()
    assert httpx.get(f"{url}/health").status_code == 200
    bank.stop()
    bank.stop()
    assert set(threading.enumerate()) <= threads
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    with pytest.raises(OperatorError, match="not open"):
        bank.balance_of(DANIELS_NUMBER, "checking")


def test_a_bank_that_is_closed_at_once_still_closes():
    threads = set(threading.enumerate())
    for _ in range(3):
        with BankApi(settings()):
            pass
    assert set(threading.enumerate()) <= threads


def test_closing_answers_those_who_still_wait():
    slow = settings(latencies={"accounts": LatencyRange(600_000, 600_000)})
    with ThreadPoolExecutor(1) as waiting, opened(slow) as (bank, agent):
        answer = waiting.submit(agent.get, f"/customers/{DANIEL}/accounts", scope="accounts:read", subject=DANIEL)
        while not any(one.path.endswith("/accounts") for one in bank.requests()):
            agent.http.get("/health")
        bank.stop()
        response = answer.result(timeout=20)
    assert (response.status_code, response.json()["error"]) == (503, "closing")


def test_a_port_that_is_taken_is_named():
    with opened(settings()) as (bank, _):
        taken = int(bank.url.rpartition(":")[2])
        with pytest.raises(OperatorError, match=str(taken)):
            BankApi(settings(port=taken)).start()
