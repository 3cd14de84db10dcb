"""The bank's counter: which question needs which scope, and who answers it."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import assert_never

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .biscuits import BiscuitMint
from .incoming import (
    BlockBody,
    RequestError,
    TokenForm,
    TransferBody,
    VerifyBody,
    basic_credentials,
    bearer_token,
    idempotency_key,
    parse_form,
    parse_json,
    read_body,
    transaction_limit,
)
from .latency import LatencyDraws
from .ledger import Booked, KeyReused, Ledger, Locked, Order, Refused, Unverified, Verified
from .outgoing import (
    account_json,
    alert_json,
    booked_json,
    card_json,
    explain,
    transaction_json,
    verification_json,
)
from .request_log import RequestLog
from .settings import BankSettings, Endpoint
from .tokens import SCOPES, Claims, TokenIssuer

__all__ = ["build_app"]

_NO_STORE = {"Cache-Control": "no-store"}


def build_app(
    settings: BankSettings, *, ledger: Ledger, log: RequestLog, closing: asyncio.Event, mint: BiscuitMint | None
) -> ASGIApp:
    """Return the bank as an ASGI application; every request is logged but those for the log.

    Once `closing` is set, requests that are still taking their time are answered with 503.
    """
    starlette = Starlette(
        routes=_Counter(settings, ledger, log, closing, mint).routes(),
        exception_handlers={RequestError: explain, HTTPException: explain, Exception: explain},
    )

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/_log":
            has_key = any(name == b"idempotency-key" for name, _ in scope["headers"])
            log.add(scope["method"], scope["path"], has_idempotency_key=has_key)
        await starlette(scope, receive, send)

    return logged


@dataclass(frozen=True, slots=True)
class _Operation:
    """One line of the table of contents."""

    endpoint: Endpoint
    method: str
    path: str
    """With a customer in it, it is open to tokens of that subject only."""
    scope: str | None
    answer: Callable[[Request, bytes], Awaitable[Response]]


class _Counter:
    """Answers the operations from one ledger."""

    def __init__(
        self,
        settings: BankSettings,
        ledger: Ledger,
        log: RequestLog,
        closing: asyncio.Event,
        mint: BiscuitMint | None,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._log = log
        self._closing = closing
        self._issuer = TokenIssuer()
        self._mint = mint
        self._latency = LatencyDraws(settings.latencies, seed=settings.seed)

    def routes(self) -> list[Route]:
        """Return the table of contents."""
        of = "/customers/{customer_id}"
        statement = f"{of}/accounts/{{account_id}}/transactions"
        booking = f"{of}/transfers/{{idempotency_key}}"
        table = (
            _Operation("health", "GET", "/health", None, self._health),
            _Operation("token", "POST", "/oauth/token", None, self._token),
            _Operation("verify", "POST", "/verify", "identity:verify", self._verify),
            _Operation("accounts", "GET", f"{of}/accounts", "accounts:read", self._accounts),
            _Operation("transactions", "GET", statement, "transactions:read", self._transactions),
            _Operation("alerts", "GET", f"{of}/alerts", "alerts:read", self._alerts),
            _Operation("payees", "GET", f"{of}/payees", "payees:read", self._payees),
            _Operation("transfers", "POST", f"{of}/transfers", "transfers:write", self._transfer),
            _Operation("reconcile", "GET", booking, "transfers:write", self._reconcile),
            _Operation("cards", "POST", f"{of}/cards/block", "cards:write", self._block_card),
        )
        routes = [self._route(operation) for operation in table]
        return [*routes, Route("/_log", self._observe, methods=["GET"])]

    def _route(self, operation: _Operation) -> Route:
        async def serve(request: Request) -> Response:
            # The body first, even of a stranger: see read_body for what an unread one does.
            body = await read_body(request)
            if operation.scope is not None:
                self._admit(request, scope=operation.scope)
            await self._take_time(operation.endpoint)
            status = self._settings.failures.get(operation.endpoint)
            if status is not None:
                raise RequestError(status, "unavailable", "this service is out of order")
            answer = await operation.answer(request, body)
            silent_ms = self._settings.lost_answers.get(operation.endpoint)
            if silent_ms is not None:
                await asyncio.sleep(silent_ms / 1_000)
                raise RequestError(504, "timeout", "nobody knows what has become of it")
            return answer

        return Route(operation.path, serve, methods=[operation.method])

    def _admit(self, request: Request, *, scope: str) -> None:
        token = bearer_token(request)
        customer_id: str | None = request.path_params.get("customer_id")
        claims = None if token is None else self._issuer.read(token, now_ms=_now_ms())
        if claims is None:
            self._admit_biscuit(token, scope=scope, subject=customer_id)
            return
        if scope not in claims.scopes:
            raise RequestError(403, "insufficient_scope", f"the token lacks the scope {scope}")
        if customer_id is not None and customer_id != claims.subject:
            raise RequestError(403, "wrong_subject", "the token is not for this customer")

    def _admit_biscuit(self, token: str | None, *, scope: str, subject: str | None) -> None:
        if self._mint is None or token is None:
            raise RequestError(401, "invalid_token", "a valid bearer token is needed")
        match self._mint.judge(token, scope=scope, subject=subject):
            case "admitted":
                return
            case "refused":
                raise RequestError(403, "biscuit_refused", "the biscuit does not allow this, now and for this customer")
            case "not one of ours":
                raise RequestError(401, "invalid_token", "a valid bearer token is needed")

    async def _take_time(self, endpoint: Endpoint) -> None:
        latency_ms = self._latency.next_ms(endpoint)
        if latency_ms == 0:
            return
        try:
            await asyncio.wait_for(self._closing.wait(), latency_ms / 1000)
        except TimeoutError:
            return
        raise RequestError(503, "closing", "the bank is closing")

    async def _health(self, _request: Request, _body: bytes) -> Response:
        return JSONResponse({"status": "ok"})

    async def _observe(self, request: Request) -> Response:
        self._admit(request, scope="demo:observe")
        return JSONResponse([asdict(logged) for logged in self._log.requests()])

    async def _token(self, request: Request, body: bytes) -> Response:
        form = parse_form(body)
        self._require_client(request, form)
        if form.grant_type != "client_credentials":
            raise RequestError(400, "unsupported_grant_type", "only client_credentials is offered")
        scopes = frozenset(form.scope.split())
        if not scopes or not scopes <= SCOPES:
            raise RequestError(400, "invalid_scope", f"the scopes are {', '.join(sorted(SCOPES))}")
        if form.subject is not None:
            # Later requests may then rely on it: a token's subject banks here.
            found = await asyncio.to_thread(self._ledger.has_customer, form.subject)
            if not found:
                raise RequestError(400, "unknown_subject", "there is no such customer")
        claims = Claims(scopes, form.subject)
        token = self._issuer.issue(claims, now_ms=_now_ms(), lifetime_s=form.expires_in)
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": form.expires_in,
            "scope": " ".join(sorted(scopes)),
        }
        return JSONResponse(answer, headers=_NO_STORE)

    def _require_client(self, request: Request, form: TokenForm) -> None:
        in_form = (form.client_id or "", form.client_secret or "")
        client_id, client_secret = basic_credentials(request) or in_form
        # Both are always compared, so that the time says nothing about which one was wrong.
        same_id = hmac.compare_digest(client_id.encode(), self._settings.client_id.encode())
        same_secret = hmac.compare_digest(client_secret.encode(), self._settings.client_secret.encode())
        if not (same_id and same_secret):
            raise RequestError(401, "invalid_client", "the client id or the secret is wrong")

    async def _verify(self, _request: Request, body: bytes) -> Response:
        given = parse_json(VerifyBody, body)
        outcome = await asyncio.to_thread(self._ledger.verify, given.account_number, given.pin)
        match outcome:
            case Verified() | Unverified():
                return JSONResponse(verification_json(outcome), headers=_NO_STORE)
            case Locked():
                raise RequestError(423, "locked", "too many wrong PINs for this account number")
            case _:
                assert_never(outcome)

    async def _accounts(self, request: Request, _body: bytes) -> Response:
        accounts = await asyncio.to_thread(self._ledger.accounts, _customer_id(request))
        return JSONResponse([account_json(account) for account in accounts])

    async def _transactions(self, request: Request, _body: bytes) -> Response:
        limit = transaction_limit(request)
        account_id: str = request.path_params["account_id"]
        transactions = await asyncio.to_thread(
            self._ledger.transactions, _customer_id(request), account_id, limit=limit
        )
        if transactions is None:
            raise RequestError(404, "unknown_account", "the customer has no such account")
        return JSONResponse([transaction_json(transaction) for transaction in transactions])

    async def _alerts(self, request: Request, _body: bytes) -> Response:
        alerts = await asyncio.to_thread(self._ledger.alerts, _customer_id(request))
        return JSONResponse([alert_json(alert) for alert in alerts])

    async def _payees(self, request: Request, _body: bytes) -> Response:
        payees = await asyncio.to_thread(self._ledger.payees, _customer_id(request))
        return JSONResponse([asdict(payee) for payee in payees])

    async def _transfer(self, request: Request, body: bytes) -> Response:
        key = idempotency_key(request)
        given = parse_json(TransferBody, body)
        if given.amount_cents == 0:
            raise RequestError(400, "invalid_request", "amount: must be more than nothing")
        order = Order(given.from_account, given.to_account, given.amount_cents)
        outcome = await asyncio.to_thread(self._ledger.transfer, _customer_id(request), key, order)
        match outcome:
            case Booked():
                return JSONResponse(booked_json(outcome), status_code=201)
            case KeyReused():
                raise RequestError(409, "key_reused", "this key stands for another transfer")
            case Refused(code, message):
                raise RequestError(422, code, message)
            case _:
                assert_never(outcome)

    async def _reconcile(self, request: Request, _body: bytes) -> Response:
        key: str = request.path_params["idempotency_key"]
        booked = await asyncio.to_thread(self._ledger.booking, _customer_id(request), key)
        if booked is None:
            raise RequestError(404, "not_booked", "nothing was booked under this key")
        return JSONResponse(booked_json(booked))

    async def _block_card(self, request: Request, body: bytes) -> Response:
        reason = parse_json(BlockBody, body or b"{}").reason
        card = await asyncio.to_thread(self._ledger.block_card, _customer_id(request), reason)
        return JSONResponse(card_json(card))


def _customer_id(request: Request) -> str:
    return request.path_params["customer_id"]


def _now_ms() -> int:
    """Monotonic: nobody prolongs a token by changing the computer's clock."""
    return time.monotonic_ns() // 1_000_000
