"""The command line: `python demo/bank_api --port 0 --seed 7 --database bank.sqlite`."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from voiceagent.errors import OperatorError

from .service import BankApi
from .settings import DEFAULT_LATENCIES, ENDPOINTS, BankSettings, Endpoint, LatencyRange

__all__ = ["main", "read_settings"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bank until SIGINT or SIGTERM; print where it answers and the seed of this run."""
    # A flag and no exception: one that came while the bank is opened or closed would leave its thread behind.
    stop = threading.Event()

    def told_to_stop(_signal: int, _frame: object) -> None:
        stop.set()

    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, told_to_stop)
    try:
        settings, is_secret_new = read_settings(sys.argv[1:] if arguments is None else arguments, os.environ)
        with BankApi(settings) as bank:
            print(f"bank: {bank.url}  seed {settings.seed}  client {settings.client_id}", flush=True)
            if is_secret_new:
                print(f"client secret of this run: {settings.client_secret}", flush=True)
            if settings.biscuits:
                print(f"public key of this run: {bank.mint.public_key}", flush=True)
                print(f"biscuit of this run: {bank.mint.token}", flush=True)
            bank.wait(stop)
    except OperatorError as exc:
        print(f"bank: {exc}", file=sys.stderr)
        return 1
    return 0


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[BankSettings, bool]:
    """Return the settings, and whether the client secret had to be drawn.

    Exits with 2 where an argument is wrong.
    """
    parser = argparse.ArgumentParser(prog="bank_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="random when not given")
    parser.add_argument("--database", type=Path, help="SQLite file, written anew; in memory when not given")
    parser.add_argument("--client-id", default=environment.get("BANK_CLIENT_ID", "phone-agent"))
    parser.add_argument("--client-secret", help="better given as BANK_CLIENT_SECRET")
    parser.add_argument("--biscuits", action="store_true", help="sign and read biscuits too")
    parser.add_argument(
        "--latency",
        type=_latency,
        action="append",
        default=[],
        metavar="ENDPOINT=MIN-MAX",
        help="in ms",
    )
    parser.add_argument(
        "--fail",
        type=_failure,
        action="append",
        default=[],
        metavar="ENDPOINT=STATUS",
        help="always refuse",
    )
    given = parser.parse_args(arguments)
    known_secret: str | None = given.client_secret or environment.get("BANK_CLIENT_SECRET")
    settings = BankSettings(
        seed=given.seed,
        port=given.port,
        database=given.database,
        client_id=given.client_id,
        client_secret=known_secret or secrets.token_urlsafe(24),
        biscuits=given.biscuits,
        latencies={**DEFAULT_LATENCIES, **dict(given.latency)},
        failures=dict(given.fail),
    )
    return settings, known_secret is None


def _latency(text: str) -> tuple[Endpoint, LatencyRange]:
    endpoint, value = _named(text)
    match = re.fullmatch(r"(\d{1,6})-(\d{1,6})", value, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{value!r} is not a range such as 1800-2600")
    try:
        return endpoint, LatencyRange(int(match[1]), int(match[2]))
    except OperatorError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _failure(text: str) -> tuple[Endpoint, int]:
    endpoint, value = _named(text)
    if not re.fullmatch(r"[45]\d\d", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"{value!r} is not a status from 400 to 599")
    return endpoint, int(value)


def _named(text: str) -> tuple[Endpoint, str]:
    name, _, value = text.partition("=")
    for endpoint in ENDPOINTS:
        if endpoint == name:
            return endpoint, value
    raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(ENDPOINTS)}")
