"""The bank's own service over real HTTP, as far as the usual call needs it, and what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["BankService", "bank_service"]

_ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/customers/C-1/accounts"): [
        {"account_id": "C-1-checking", "kind": "checking", "balance": "2540.75", "currency": "USD"},
        {"account_id": "C-1-savings", "kind": "savings", "balance": "800.00", "currency": "USD"},
    ],
    ("GET", "/customers/C-1/accounts/C-1-checking/transactions"): [],
    ("GET", "/customers/C-1/accounts/C-1-savings/transactions"): [],
}
_DANIEL = {"account_number": "4519227", "pin": "1234"}


class BankService:
    """There is one customer: Daniel Harris, account number 4519227, PIN 1234."""

    def __init__(self) -> None:
        self.url = ""
        self.writers: set[asyncio.StreamWriter] = set()
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split(" ", 2)
                lengths = [
                    line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length")
                ]
                body = await reader.readexactly(int(lengths[0])) if lengths else b""
                answer = json.dumps(self._answer(method, target.partition("?")[0], body)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    + f"content-length: {len(answer)}\r\n\r\n".encode()
                    + answer
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            self.writers.discard(writer)

    def _answer(self, method: str, path: str, body: bytes) -> Any:
        self.asked.append(f"{method} {path}")
        if path == "/verify":
            assert json.loads(body) == _DANIEL, body
            return {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5}
        return _ANSWERS[method, path]


@asynccontextmanager
async def bank_service() -> AsyncGenerator[BankService]:
    bank = BankService()
    listening = await asyncio.start_server(bank.serve, "127.0.0.1", 0)
    bank.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield bank
    finally:
        listening.close()
        for writer in tuple(bank.writers):
            writer.close()
        await asyncio.sleep(0)
