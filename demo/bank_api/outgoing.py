"""What the bank answers: its knowledge as JSON, and every failure in one shape."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .customers import money
from .incoming import RequestError
from .ledger import Account, Booked, Card, RaisedAlert, Transaction, Unverified, Verified

__all__ = [
    "account_json",
    "alert_json",
    "booked_json",
    "card_json",
    "explain",
    "transaction_json",
    "verification_json",
]

_CURRENCY = "USD"


def verification_json(outcome: Verified | Unverified) -> dict[str, object]:
    """`{verified, customer_id, name, attempts_left}`; nobody's id and name unless verified."""
    known = outcome if isinstance(outcome, Verified) else None
    return {
        "verified": known is not None,
        "customer_id": known and known.customer_id,
        "name": known and known.name,
        "attempts_left": outcome.attempts_left,
    }


def account_json(account: Account) -> dict[str, object]:
    """`{account_id, kind, balance: "1234.56", currency}`."""
    return {
        "account_id": account.account_id,
        "kind": account.kind,
        "balance": money(account.balance_cents),
        "currency": _CURRENCY,
    }


def transaction_json(transaction: Transaction) -> dict[str, object]:
    """`{transaction_id, date, merchant, amount: "-49.99", currency}`."""
    return {
        "transaction_id": f"T-{transaction.number}",
        "date": transaction.booked_on,
        "merchant": transaction.merchant,
        "amount": money(transaction.amount_cents),
        "currency": _CURRENCY,
    }


def alert_json(alert: RaisedAlert) -> dict[str, object]:
    """`{alert_id, date, kind, message}`."""
    return {
        "alert_id": f"A-{alert.number}",
        "date": alert.raised_on,
        "kind": alert.kind,
        "message": alert.message,
    }


def booked_json(booked: Booked) -> dict[str, object]:
    """The order again, with `transfer_id`, `balance_after` and `booked_on`."""
    return {
        "transfer_id": f"X-{booked.number}",
        "idempotency_key": booked.idempotency_key,
        "status": "booked",
        "from_account": booked.order.from_account,
        "to_account": booked.order.to_account,
        "amount": money(booked.order.amount_cents),
        "currency": _CURRENCY,
        "balance_after": money(booked.balance_after_cents),
        "booked_on": booked.booked_on,
    }


def card_json(card: Card) -> dict[str, object]:
    """`{card: "debit", last_four, blocked, reason}`."""
    return {
        "card": "debit",
        "last_four": card.last_four,
        "blocked": card.blocked_reason is not None,
        "reason": card.blocked_reason,
    }


async def explain(_request: Request, exc: Exception) -> Response:
    """Every failure leaves as `{error, message}`, whoever found it."""
    match exc:
        case RequestError():
            return _error(exc.status, exc.code, str(exc))
        case HTTPException(status_code=404):
            return _error(404, "not_found", "there is no such address")
        case HTTPException(status_code=405):
            return _error(405, "method_not_allowed", "this address does not take that method")
        case _:
            return _error(500, "internal", "the bank made a mistake")


def _error(status: int, code: str, message: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": code, "message": message}, status_code=status, headers=headers)
