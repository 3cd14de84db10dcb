"""`make bench-telephony`: what callers hear of what the agent says and takes back, and how well it knows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.telephony.exchange import EXCHANGE_METHODS, exchange_rows
from benchmarks.telephony.table import Row, show, write
from benchmarks.telephony.wire import WIRE_METHODS, wire_rows
from tests.peers.exchange import peers_root, running_exchange


def main() -> int:
    """Measure, print and keep; 1 where the p99 of a hundred values or more is beyond its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to see that it works")
    share = 10 if parser.parse_args().quick else 1
    print("measuring: clears on loopback sockets", file=sys.stderr)
    rows: list[Row] = list(wire_rows(rounds=200 // share))
    root = peers_root()
    if root is None:
        print("not measured: what SIP callers hear (there is no Asterisk here: make peers)", file=sys.stderr)
    else:
        print("measuring: SIP callers through Asterisk", file=sys.stderr)
        with running_exchange(root) as exchange:
            rows += exchange_rows(exchange, rounds=60 // share, stream_s=60 // share)
    methods = WIRE_METHODS | EXCHANGE_METHODS
    rows.sort(key=lambda row: list(methods).index(row.what))
    show(rows, methods)
    write(rows, methods, Path("bench-output"))
    print("kept in bench-output/telephony.json and bench-output/telephony.md")
    missed = [f"{row.what}, {row.where}" for row in rows if row.misses_its_goal]
    for what in missed:
        print(f"MISSED: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
