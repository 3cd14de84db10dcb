"""The ledger: what the bank knows of its customers, and the only way to move their money."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from .customers import Kind, Payee
from .opening import open_bank
from .pins import DECOY, PinHash, matches

__all__ = [
    "Account",
    "BlockReason",
    "Booked",
    "Card",
    "KeyReused",
    "Ledger",
    "Locked",
    "Order",
    "RaisedAlert",
    "Refused",
    "Transaction",
    "Unverified",
    "Verified",
]

_ATTEMPTS = 5

BlockReason = Literal["lost", "stolen"]


# --- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    """The PIN belongs to the account number."""

    customer_id: str
    name: str
    attempts_left: int = _ATTEMPTS


@dataclass(frozen=True, slots=True)
class Unverified:
    """It does not, or there is no such account: the two cannot be told apart."""

    attempts_left: int


@dataclass(frozen=True, slots=True)
class Locked:
    """Too many wrong PINs: until the next start, not even the right one is looked at."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account and what is on it."""

    account_id: str
    kind: Kind
    balance_cents: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One line of a statement; negative where money went out."""

    number: int
    booked_on: str
    merchant: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class RaisedAlert:
    """Something that the bank would like the customer to know."""

    number: int
    raised_on: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Card:
    """The customer's debit card."""

    last_four: str
    blocked_reason: BlockReason | None


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer asks for: this amount from here to there."""

    from_account: str
    to_account: str
    """An account of the same customer, or one of the customer's payees."""
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Booked:
    """The transfer as it was made, the same however often it is asked for."""

    number: int
    idempotency_key: str
    order: Order
    balance_after_cents: int
    """What the transfer left on the account it was taken from."""
    booked_on: str


@dataclass(frozen=True, slots=True)
class KeyReused:
    """This key already stands for another order; nothing was booked."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The order cannot be carried out; nothing was booked and the key is still free."""

    code: Literal["insufficient_funds", "unknown_account", "unknown_payee", "same_account"]
    message: str


# --- the books -----------------------------------------------------------------------------------


class Ledger:
    """One connection behind one lock: each method is one transaction, callable from any thread."""

    def __init__(self, *, seed: int, today: date, database: Path | None) -> None:
        """Write the database anew. Raises OperatorError where the file cannot be had."""
        self._today = today.isoformat()
        self._lock = threading.Lock()
        self._sqlite = open_bank(database, seed=seed, today=today)

    def close(self) -> None:
        """Close the database; a file stays as it is, to be looked at."""
        with self._lock:
            self._sqlite.close()

    def verify(self, account_number: str, pin: str) -> Verified | Unverified | Locked:
        """Check a PIN and count the wrong ones.

        Counting is by the number as given, whether or not there is such an account: otherwise the
        count would tell which numbers exist. It is one transaction with the check, so that parallel
        guesses cannot slip past the limit.
        """
        with self._transaction() as sqlite:
            wrong = _wrong_pins(sqlite, account_number)
            if wrong >= _ATTEMPTS:
                return Locked()
            customer = sqlite.execute(
                "SELECT customer_id, name, pin_salt, pin_digest FROM customers WHERE account_number = ?",
                (account_number,),
            ).fetchone()
            stored = DECOY if customer is None else PinHash(customer[2], customer[3])
            if matches(pin, stored) and customer is not None:
                sqlite.execute("DELETE FROM wrong_pins WHERE account_number = ?", (account_number,))
                return Verified(customer[0], customer[1])
            sqlite.execute(
                "INSERT INTO wrong_pins VALUES (?, 1)"
                " ON CONFLICT (account_number) DO UPDATE SET attempts = attempts + 1",
                (account_number,),
            )
            return Unverified(_ATTEMPTS - wrong - 1)

    def has_customer(self, customer_id: str) -> bool:
        """Return whether this customer banks here."""
        with self._transaction() as sqlite:
            found = sqlite.execute("SELECT 1 FROM customers WHERE customer_id = ?", (customer_id,))
            return found.fetchone() is not None

    def accounts(self, customer_id: str) -> list[Account]:
        """Return the customer's accounts, checking first."""
        with self._transaction() as sqlite:
            return _accounts(sqlite, customer_id)

    def transactions(self, customer_id: str, account_id: str, *, limit: int) -> list[Transaction] | None:
        """Return the newest transactions first, or None: the account is not this customer's."""
        with self._transaction() as sqlite:
            if all(account.account_id != account_id for account in _accounts(sqlite, customer_id)):
                return None
            rows = sqlite.execute(
                "SELECT number, booked_on, merchant, amount_cents FROM transactions"
                " WHERE account_id = ? ORDER BY booked_on DESC, number DESC LIMIT ?",
                (account_id, limit),
            )
            return [Transaction(*row) for row in rows]

    def alerts(self, customer_id: str) -> list[RaisedAlert]:
        """Return the customer's alerts, newest first."""
        with self._transaction() as sqlite:
            rows = sqlite.execute(
                "SELECT number, raised_on, kind, message FROM alerts WHERE customer_id = ?"
                " ORDER BY raised_on DESC, number DESC",
                (customer_id,),
            )
            return [RaisedAlert(*row) for row in rows]

    def payees(self, customer_id: str) -> list[Payee]:
        """Return whom the customer may send money to."""
        with self._transaction() as sqlite:
            return _payees(sqlite, customer_id)

    def transfer(self, customer_id: str, idempotency_key: str, order: Order) -> Booked | KeyReused | Refused:
        """Book the order once: under the same key, the same order returns the first booking."""
        with self._transaction() as sqlite:
            earlier = _booking(sqlite, customer_id, idempotency_key)
            if earlier is not None:
                return earlier if earlier.order == order else KeyReused()
            own = {account.account_id: account for account in _accounts(sqlite, customer_id)}
            payees = {payee.payee_id: payee for payee in _payees(sqlite, customer_id)}
            refusal = _objection(order, own=own, payees=payees)
            if refusal is not None:
                return refusal
            self._move(order, own=own, payees=payees)
            after_cents = own[order.from_account].balance_cents - order.amount_cents
            row = sqlite.execute(
                "INSERT INTO transfers (customer_id, idempotency_key, from_account, to_account,"
                " amount_cents, balance_after_cents, booked_on) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " RETURNING number",
                (
                    customer_id,
                    idempotency_key,
                    order.from_account,
                    order.to_account,
                    order.amount_cents,
                    after_cents,
                    self._today,
                ),
            ).fetchone()
            return Booked(row[0], idempotency_key, order, after_cents, self._today)

    def booking(self, customer_id: str, idempotency_key: str) -> Booked | None:
        """Return what was booked under this key, if anything was."""
        with self._transaction() as sqlite:
            return _booking(sqlite, customer_id, idempotency_key)

    def block_card(self, customer_id: str, reason: BlockReason) -> Card:
        """Block the customer's debit card; one that is blocked keeps its first reason."""
        with self._transaction() as sqlite:
            row = sqlite.execute(
                "UPDATE cards SET blocked_reason = coalesce(blocked_reason, ?)"
                " WHERE customer_id = ? RETURNING last_four, blocked_reason",
                (reason, customer_id),
            ).fetchone()
            return Card(*row)

    def balance_cents(self, account_number: str, kind: Kind) -> int | None:
        """Return what is on the account, or None where there is none."""
        with self._transaction() as sqlite:
            row = sqlite.execute(
                "SELECT balance_cents FROM accounts JOIN customers USING (customer_id)"
                " WHERE account_number = ? AND kind = ?",
                (account_number, kind),
            ).fetchone()
            return None if row is None else int(row[0])

    def _move(self, order: Order, *, own: Mapping[str, Account], payees: Mapping[str, Payee]) -> None:
        source = own[order.from_account]
        target = own.get(order.to_account)
        if target is None:
            # The money leaves the bank: only its debit is booked here.
            self._book(source, f"Transfer to {payees[order.to_account].name}", cents=-order.amount_cents)
            return
        self._book(source, f"Transfer to {target.kind}", cents=-order.amount_cents)
        self._book(target, f"Transfer from {source.kind}", cents=order.amount_cents)

    def _book(self, account: Account, merchant: str, *, cents: int) -> None:
        self._sqlite.execute(
            "UPDATE accounts SET balance_cents = balance_cents + ? WHERE account_id = ?",
            (cents, account.account_id),
        )
        self._sqlite.execute(
            "INSERT INTO transactions (account_id, booked_on, merchant, amount_cents) VALUES (?, ?, ?, ?)",
            (account.account_id, self._today, merchant, cents),
        )

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            self._sqlite.execute("BEGIN IMMEDIATE")
            try:
                yield self._sqlite
            except BaseException:
                # Whatever went wrong, half a booking must not stay.
                self._sqlite.execute("ROLLBACK")
                raise
            self._sqlite.execute("COMMIT")


def _wrong_pins(sqlite: sqlite3.Connection, account_number: str) -> int:
    row = sqlite.execute("SELECT attempts FROM wrong_pins WHERE account_number = ?", (account_number,)).fetchone()
    return 0 if row is None else int(row[0])


def _accounts(sqlite: sqlite3.Connection, customer_id: str) -> list[Account]:
    rows = sqlite.execute(
        "SELECT account_id, kind, balance_cents FROM accounts WHERE customer_id = ? ORDER BY kind",
        (customer_id,),
    )
    return [Account(*row) for row in rows]


def _payees(sqlite: sqlite3.Connection, customer_id: str) -> list[Payee]:
    rows = sqlite.execute("SELECT payee_id, name FROM payees WHERE customer_id = ? ORDER BY payee_id", (customer_id,))
    return [Payee(*row) for row in rows]


def _booking(sqlite: sqlite3.Connection, customer_id: str, idempotency_key: str) -> Booked | None:
    row = sqlite.execute(
        "SELECT number, from_account, to_account, amount_cents, balance_after_cents, booked_on"
        " FROM transfers WHERE customer_id = ? AND idempotency_key = ?",
        (customer_id, idempotency_key),
    ).fetchone()
    if row is None:
        return None
    return Booked(row[0], idempotency_key, Order(row[1], row[2], row[3]), row[4], row[5])


def _objection(order: Order, *, own: Mapping[str, Account], payees: Mapping[str, Payee]) -> Refused | None:
    if order.from_account not in own:
        return Refused("unknown_account", "the customer has no such account to take money from")
    if order.from_account == order.to_account:
        return Refused("same_account", "money cannot be moved from an account to itself")
    if order.to_account not in own and order.to_account not in payees:
        return Refused("unknown_payee", "neither an account nor a payee of this customer")
    if own[order.from_account].balance_cents < order.amount_cents:
        return Refused("insufficient_funds", "there is not enough money on the account")
    return None
