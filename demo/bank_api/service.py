"""The bank as a running service: started, asked and stopped from any program."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Self

import uvicorn

from voiceagent.errors import OperatorError

from .app import build_app
from .biscuits import BiscuitMint
from .customers import Kind
from .ledger import Ledger
from .request_log import LoggedRequest, RequestLog
from .settings import BankSettings

__all__ = ["BankApi"]

_HOST = "127.0.0.1"
_LOOK_EVERY_S = 1
_GRACE_S = 2
"""How long `stop` waits for requests that are being answered; those still taking their time are refused at once."""


@dataclass(frozen=True, slots=True)
class _Running:
    ledger: Ledger
    log: RequestLog
    server: uvicorn.Server
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    closing: asyncio.Event
    url: str
    mint: BiscuitMint | None


class BankApi:
    """A bank on 127.0.0.1, served by a thread of its own: a context manager, or `start` and `stop`."""

    def __init__(self, settings: BankSettings | None = None) -> None:
        self.settings = settings or BankSettings()
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers: `http://127.0.0.1:40123`. Raises OperatorError while it is stopped."""
        return self._require().url

    @property
    def mint(self) -> BiscuitMint:
        """What the agent gets its biscuit from. Raises OperatorError while it is stopped, or signs none."""
        mint = self._require().mint
        if mint is None:
            raise OperatorError("the bank signs no biscuits: BankSettings(biscuits=True)")
        return mint

    def start(self) -> None:
        """Open the books and serve; requests are accepted when this returns.

        Raises OperatorError where it runs already, or the port, the database file or an extra cannot be had.
        """
        if self._running is not None:
            raise OperatorError("the bank is open already")
        mint = BiscuitMint(self.settings.client_id) if self.settings.biscuits else None
        listener = _listen(self.settings.port)
        try:
            ledger = Ledger(seed=self.settings.seed, today=self.settings.today, database=self.settings.database)
        except OperatorError:
            listener.close()
            raise
        log, closing = RequestLog(), asyncio.Event()
        server = uvicorn.Server(
            uvicorn.Config(
                build_app(self.settings, ledger=ledger, log=log, closing=closing, mint=mint),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        # The factory keeps the loop from becoming the starting thread's own: it runs in the other one.
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        loop = runner.get_loop()
        thread = threading.Thread(target=_serve, args=(runner, server, listener), name="bank-api")
        port: int = listener.getsockname()[1]
        self._running = _Running(ledger, log, server, loop, thread, closing, f"http://{_HOST}:{port}", mint)
        thread.start()

    def stop(self) -> None:
        """Finish what is being answered, end the thread, close the books; while stopped, do nothing."""
        if self._running is None:
            return
        running, self._running = self._running, None
        running.server.should_exit = True
        with suppress(RuntimeError):  # a server that died has closed its loop
            running.loop.call_soon_threadsafe(running.closing.set)
        running.thread.join()
        running.ledger.close()

    def wait(self, stop: threading.Event) -> None:
        """Block until `stop` is set or the server's thread has ended."""
        thread = self._require().thread
        while thread.is_alive() and not stop.wait(_LOOK_EVERY_S):
            pass

    def balance_of(self, account_number: str, kind: Kind) -> Decimal:
        """Return what is on the account now, read from the books and not over HTTP.

        Raises LookupError where there is no such account, OperatorError while the bank is stopped.
        """
        cents = self._require().ledger.balance_cents(account_number, kind)
        if cents is None:
            raise LookupError(f"there is no {kind} account under {account_number!r}")
        return Decimal(cents).scaleb(-2)

    def requests(self) -> list[LoggedRequest]:
        """Return the requests since the start, oldest first.

        Raises OperatorError while the bank is stopped.
        """
        return self._require().log.requests()

    def _require(self) -> _Running:
        if self._running is None:
            raise OperatorError("the bank is not open: start it first")
        return self._running


def _serve(runner: asyncio.Runner, server: uvicorn.Server, listener: socket.socket) -> None:
    with runner:
        runner.run(server.serve(sockets=[listener]))


def _listen(port: int) -> socket.socket:
    """Return a socket that queues connections at once, before the server's thread gets to them."""
    try:
        return socket.create_server((_HOST, port), backlog=128)
    except (OSError, OverflowError) as exc:
        raise OperatorError(f"port {port} cannot be had: {exc}") from exc
