"""The bank behind the phone line: it alone knows the balances, and answers over HTTP.

    with BankApi(BankSettings(seed=7)) as bank:
        httpx.get(f"{bank.url}/health")

`settings` says how this run differs, `customers` who banks here, `opening` writes the database
and `ledger` keeps it, with `pins` beside it. `tokens`, `biscuits`, `latency` and `request_log` serve `app`, the HTTP
surface, with `incoming` and `outgoing` on its two sides; `service` is the thread it runs on.
"""

from __future__ import annotations

from .customers import CUSTOMERS, Customer
from .request_log import LoggedRequest
from .service import BankApi
from .settings import BankSettings, LatencyRange

__all__ = ["CUSTOMERS", "BankApi", "BankSettings", "Customer", "LatencyRange", "LoggedRequest"]
