"""Who banks here, and what each run draws for them: balances, purchases and alerts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

__all__ = [
    "CUSTOMERS",
    "Alert",
    "Customer",
    "DrawnAccount",
    "DrawnCustomer",
    "Entry",
    "Kind",
    "Payee",
    "draw",
    "money",
]

Kind = Literal["checking", "savings"]


@dataclass(frozen=True, slots=True)
class Payee:
    """Somebody at another bank to whom this customer may send money."""

    payee_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Customer:
    """What stays the same from run to run. All people and numbers are invented."""

    customer_id: str
    name: str
    account_number: str
    pin: str
    birth_date: date
    card_last_four: str
    payees: tuple[Payee, ...]


CUSTOMERS = (
    Customer(
        "C-1001",
        "Daniel Harris",  # with this number, PIN and birth date in demo/speech
        "4519227",
        "1234",
        date(1987, 3, 14),
        "3081",
        (Payee("P-2001", "Harbor View Apartments"), Payee("P-2002", "City Power and Light")),
    ),
    Customer(
        "C-1002",
        "Maria Lopez",
        "8306114",
        "4821",
        date(1992, 11, 2),
        "7745",
        (Payee("P-2003", "Lucia Lopez"), Payee("P-2004", "Northside Dental")),
    ),
    Customer(
        "C-1003",
        "Priya Raman",
        "2750938",
        "9067",
        date(1979, 6, 25),
        "1192",
        (Payee("P-2005", "Greenfield School"), Payee("P-2006", "Metro Water")),
    ),
    Customer(
        "C-1004",
        "Thomas Weaver",
        "6614052",
        "3590",
        date(1958, 1, 30),
        "5527",
        (Payee("P-2007", "Weaver Family Trust"), Payee("P-2008", "Lakeside Pharmacy")),
    ),
    Customer(
        "C-1005",
        "Aisha Okafor",
        "9183476",
        "7148",
        date(2001, 9, 8),
        "8460",
        (Payee("P-2009", "Campus Housing"), Payee("P-2010", "Emeka Okafor")),
    ),
)

_DISPUTED_CENTS = {"C-1001": 49_99}
"""The one amount that no run draws: the charge that the recorded caller does not recognise."""

_MERCHANTS = (
    "Blue Door Coffee",
    "Corner Market",
    "Riverside Books",
    "Sunrise Bakery",
    "Union Gas Station",
    "Metro Transit",
    "Maple Hardware",
    "Cinema Twelve",
    "Streamline Video",
    "Golden Noodle House",
    "Fit and Strong Gym",
    "Parkside Garage",
    "Pine Street Grocery",
    "Cloud Nine Travel",
    "Happy Paws Vet",
    "Bright Mobile",
)
_SAVINGS_SOURCES = ("Monthly deposit", "Interest", "Round-up savings", "Tax refund", "Gift deposit")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a statement; negative where money went out."""

    booked_on: date
    merchant: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that the bank would like the customer to know."""

    raised_on: date
    kind: Literal["large_charge", "new_device", "card_expiry"]
    message: str


@dataclass(frozen=True, slots=True)
class DrawnAccount:
    """An account as it stands when the bank opens; entries are oldest first."""

    kind: Kind
    balance_cents: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class DrawnCustomer:
    """What one run decided for one customer."""

    accounts: tuple[DrawnAccount, ...]
    alerts: tuple[Alert, ...]


def money(cents: int) -> str:
    """Return 123456 as `"1234.56"`, with a leading minus where it is negative."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def draw(customer: Customer, *, seed: int, today: date) -> DrawnCustomer:
    """Return this customer's money under `seed`; whoever else banks here makes no difference."""
    dice = random.Random(f"{seed}/{customer.customer_id}")  # noqa: S311 - play money, not keys
    checking = _checking(dice, today, disputed_cents=_DISPUTED_CENTS.get(customer.customer_id))
    savings = _savings(dice, today)
    return DrawnCustomer((checking, savings), _alerts(dice, today, checking.entries))


def _checking(dice: random.Random, today: date, *, disputed_cents: int | None) -> DrawnAccount:
    charges = [
        Entry(on, dice.choice(_MERCHANTS), -dice.randint(3_50, 240_00))
        for on in _days(dice, today, dice.randint(9, 14))
    ]
    if disputed_cents is not None:
        at = dice.randrange(len(charges))
        charges[at] = Entry(charges[at].booked_on, charges[at].merchant, -disputed_cents)
    payday = Entry(charges[0].booked_on, "Payroll", dice.randint(1_800_00, 3_200_00))
    # Enough for the transfer of 250 dollars in demo/speech.
    return DrawnAccount("checking", _balance(dice, 600_00, 9_500_00), (payday, *charges))


def _savings(dice: random.Random, today: date) -> DrawnAccount:
    deposits = tuple(
        Entry(on, dice.choice(_SAVINGS_SOURCES), dice.randint(1_00, 400_00)) for on in _days(dice, today, 8)
    )
    return DrawnAccount("savings", _balance(dice, 2_000_00, 48_000_00), deposits)


def _balance(dice: random.Random, least_cents: int, most_cents: int) -> int:
    """Draw a balance that sounds like no other: "eight thousand eight" and "nine cents" are taken for much else."""
    while True:
        cents = dice.randint(least_cents, most_cents)
        if cents // 100_00 % 10 and cents % 100 >= 10:
            return cents


def _days(dice: random.Random, today: date, count: int) -> Sequence[date]:
    """Return `count` days before today, oldest first, one to four days apart."""
    days = [today - timedelta(days=dice.randint(1, 2))]
    while len(days) < count:
        days.append(days[-1] - timedelta(days=dice.randint(1, 4)))
    return days[::-1]


def _alerts(dice: random.Random, today: date, entries: Sequence[Entry]) -> tuple[Alert, ...]:
    largest = min(entries, key=lambda entry: entry.amount_cents)
    alerts = [
        Alert(
            largest.booked_on,
            "large_charge",
            f"A charge of {money(-largest.amount_cents)} dollars at {largest.merchant} is larger than usual.",
        )
    ]
    if dice.random() < 0.5:
        on = today - timedelta(days=dice.randint(1, 9))
        alerts.append(Alert(on, "new_device", "Somebody signed in to online banking from a new phone."))
    if dice.random() < 0.3:
        weeks = dice.randint(2, 8)
        alerts.append(Alert(today, "card_expiry", f"The debit card expires in {weeks} weeks."))
    return tuple(alerts)
