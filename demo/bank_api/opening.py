"""Opening day: writes the bank's database anew, with what this run draws for each customer."""

from __future__ import annotations

import sqlite3
from datetime import date
from pathlib import Path

from voiceagent.errors import OperatorError

from .customers import CUSTOMERS, Customer, DrawnAccount, draw
from .pins import hash_pin

__all__ = ["open_bank"]

_APPLICATION_ID = 0x62616E6B
"""`bank` in the file's header: what tells the demo's database from somebody else's."""

_SCHEMA = """
CREATE TABLE customers (
    customer_id TEXT PRIMARY KEY, name TEXT NOT NULL, birth_date TEXT NOT NULL,
    account_number TEXT NOT NULL UNIQUE, pin_salt BLOB NOT NULL, pin_digest BLOB NOT NULL);
CREATE TABLE wrong_pins (account_number TEXT PRIMARY KEY, attempts INTEGER NOT NULL);
CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers, kind TEXT NOT NULL,
    balance_cents INTEGER NOT NULL CHECK (balance_cents >= 0), UNIQUE (customer_id, kind));
CREATE TABLE transactions (
    number INTEGER PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts,
    booked_on TEXT NOT NULL, merchant TEXT NOT NULL, amount_cents INTEGER NOT NULL);
CREATE INDEX transactions_by_account ON transactions (account_id, booked_on);
CREATE TABLE payees (
    payee_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers, name TEXT NOT NULL);
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers,
    raised_on TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE cards (
    customer_id TEXT PRIMARY KEY REFERENCES customers, last_four TEXT NOT NULL,
    blocked_reason TEXT);
CREATE TABLE transfers (
    number INTEGER PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers,
    idempotency_key TEXT NOT NULL, from_account TEXT NOT NULL, to_account TEXT NOT NULL,
    amount_cents INTEGER NOT NULL, balance_after_cents INTEGER NOT NULL, booked_on TEXT NOT NULL,
    UNIQUE (customer_id, idempotency_key));
"""


def open_bank(database: Path | None, *, seed: int, today: date) -> sqlite3.Connection:
    """Return a connection, in autocommit mode, to a database that holds the bank of this run.

    Raises OperatorError where the file cannot be written or was not written by this bank.
    """
    if database is not None:
        _clear(database)
    sqlite = sqlite3.connect(database or ":memory:", isolation_level=None, check_same_thread=False)
    sqlite.execute("PRAGMA foreign_keys = ON")
    sqlite.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    sqlite.executescript(_SCHEMA)
    sqlite.execute("BEGIN")
    for customer in CUSTOMERS:
        _enter(sqlite, customer, seed=seed, today=today)
    sqlite.execute("COMMIT")
    return sqlite


def _clear(database: Path) -> None:
    """Put an empty private file in the place of an earlier run's, and of nothing else."""
    try:
        if database.exists() and not _is_ours(database):
            raise OperatorError(f"{database} was not written by this bank: choose another file")
        database.unlink(missing_ok=True)
        database.touch(mode=0o600)
    except OSError as exc:
        raise OperatorError(f"{database} cannot be written: {exc}") from exc


def _is_ours(database: Path) -> bool:
    # A SQLite file has its name at 0 and the application id at 68 (sqlite.org/fileformat2.html).
    with database.open("rb") as file:
        header = file.read(72)
    ours = header[:15] == b"SQLite format 3" and header[68:] == _APPLICATION_ID.to_bytes(4)
    return ours or not header


def _enter(sqlite: sqlite3.Connection, customer: Customer, *, seed: int, today: date) -> None:
    """Write one customer with everything that this run draws."""
    drawn = draw(customer, seed=seed, today=today)
    pin = hash_pin(customer.pin)
    owner, born = customer.customer_id, customer.birth_date.isoformat()
    sqlite.execute(
        "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)",
        (owner, customer.name, born, customer.account_number, pin.salt, pin.digest),
    )
    for account in drawn.accounts:
        _enter_account(sqlite, account, owner=owner)
    sqlite.executemany(
        "INSERT INTO alerts (customer_id, raised_on, kind, message) VALUES (?, ?, ?, ?)",
        [(owner, alert.raised_on.isoformat(), alert.kind, alert.message) for alert in drawn.alerts],
    )
    sqlite.executemany(
        "INSERT INTO payees VALUES (?, ?, ?)",
        [(payee.payee_id, owner, payee.name) for payee in customer.payees],
    )
    sqlite.execute("INSERT INTO cards VALUES (?, ?, NULL)", (owner, customer.card_last_four))


def _enter_account(sqlite: sqlite3.Connection, account: DrawnAccount, *, owner: str) -> None:
    account_id = f"{owner}-{account.kind}"
    sqlite.execute(
        "INSERT INTO accounts VALUES (?, ?, ?, ?)",
        (account_id, owner, account.kind, account.balance_cents),
    )
    sqlite.executemany(
        "INSERT INTO transactions (account_id, booked_on, merchant, amount_cents) VALUES (?, ?, ?, ?)",
        [(account_id, entry.booked_on.isoformat(), entry.merchant, entry.amount_cents) for entry in account.entries],
    )
