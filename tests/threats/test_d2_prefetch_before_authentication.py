"""D2: nothing is fetched for a caller before they have said who they are, nor kept when they have gone."""

from __future__ import annotations

import pytest

from tests.threats.bank_calls import BankCall

pytestmark = pytest.mark.timeout(180)
"""Whichever test comes first waits for two calls in real time."""


def test_d2_a_caller_who_has_not_said_who_they_are_costs_no_request(bank_calls: dict[str, BankCall]) -> None:
    assert bank_calls["only listens"].requests == []


def test_d2_no_account_is_asked_for_before_the_pin_was_right(bank_calls: dict[str, BankCall]) -> None:
    requests = bank_calls["tells a card number"].requests
    verified = requests.index("POST /verify")
    assert set(requests[:verified]) <= {"POST /oauth/token"}
    accounts = [request for request in requests if "/customers/" in request]
    assert accounts, "the accounts are fetched once they have"
    assert all(requests.index(request) > verified for request in accounts)


def test_d2_a_second_after_the_caller_has_gone_nothing_of_it_is_held(bank_calls: dict[str, BankCall]) -> None:
    assert bank_calls["tells a card number"].kept == 0
