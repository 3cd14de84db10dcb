"""`make bench-peers`: what a call costs with the frameworks in use, beside this one and beside the floor.

python -m benchmarks.peers --quick floor voiceagent pipecat
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.figures import machine
from benchmarks.peers.environment import PeerMissing, distribution_version, python_of
from benchmarks.peers.peer import PEERS, Peer
from benchmarks.peers.process import PeerFailed, loaded, served
from benchmarks.peers.row import Row, capacity_of, row_of
from benchmarks.peers.table import show, write
from benchmarks.peers.voice import sentence
from benchmarks.runs import Run

_CALLS = 25
_SECONDS, _QUICK_SECONDS = 20.0, 10.0
_LADDER = (1, 25, 50, 100, 200, 400)
_STEP_SECONDS = 10.0
_WARM_UP_CALLS, _WARM_UP_SECONDS = 2, 5.0
_OUTPUT = Path("bench-output")


def main() -> int:
    """Measure, print and keep; 0 also where a peer is missing, which the table says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 s each, and no ladder")
    parser.add_argument("peers", nargs="*", metavar="PEER", help="the start of a row's name; all without it")
    options = parser.parse_args()
    wanted = [peer for peer in PEERS if not options.peers or peer.name.startswith(tuple(options.peers))]
    if not wanted:
        parser.error(f"no peer's name begins so: {', '.join(peer.name for peer in PEERS)}")
    _OUTPUT.mkdir(exist_ok=True)
    about = f"{machine()}; load average {os.getloadavg()[0]:.1f} before it began"
    rows: list[Row] = []
    missing: dict[str, str] = {}
    loads: dict[str, object] = {}
    for peer in wanted:
        try:
            python = python_of(peer)
            version = distribution_version(python, peer.distribution)
            print(f"measuring: {peer.name}", file=sys.stderr)
            main_load, ladder = _measured(peer, python, quick=options.quick)
        except (PeerMissing, PeerFailed) as exc:
            missing[peer.name] = str(exc)
            continue
        rows.append(row_of(peer.name, version, main_load, ladder, silence_ms=peer.silence_ms))
        loads[peer.name] = {"load": asdict(main_load), "ladder": [asdict(step) for step in ladder]}
    show(about, rows, missing)
    write(about, rows, missing, loads, folder=_OUTPUT)
    print(
        "kept in bench-output/peers.json and bench-output/peers.md; what the servers said in bench-output/peers-*.log"
    )
    return 0


def _measured(peer: Peer, python: Path, *, quick: bool) -> tuple[Run, list[Run]]:
    voice = sentence() if peer.hears_voices else None
    if peer.hears_voices and voice is None:
        raise PeerMissing("its callers cannot speak: the extra `local` is not installed")
    log = _OUTPUT / f"peers-{peer.name.replace(', ', '-').replace(' ', '-')}.log"
    with ExitStack() as running:
        arguments = list(peer.arguments)
        if peer.companion is not None:
            beside = served(
                Path(sys.executable), peer.companion, log=log.with_suffix(".companion.log"), beside_callers=True
            )
            arguments += ["--companion", str(running.enter_context(beside)[1])]
        pid, port = running.enter_context(served(python, peer.module, arguments, log=log))
        place = partial(loaded, pid, f"ws://127.0.0.1:{port}/media/twilio/loadtest", voice=voice)
        place(calls=_WARM_UP_CALLS, seconds=_WARM_UP_SECONDS)
        main_load = place(calls=_CALLS, seconds=_QUICK_SECONDS if quick else _SECONDS)
        return main_load, [] if quick else _climbed(place, peer.silence_ms)


def _climbed(place: Callable[..., Run], silence_ms: int) -> list[Run]:
    """Return step after step, the last of which was too much for the server, or for the generator, twice."""
    climbed: list[Run] = []
    for calls in _LADDER:
        step = place(calls=calls, seconds=_STEP_SECONDS)
        if capacity_of([*climbed, step], silence_ms=silence_ms).then:
            step = place(calls=calls, seconds=_STEP_SECONDS)  # what comes once may be the machine's
        climbed.append(step)
        if capacity_of(climbed, silence_ms=silence_ms).then:
            break
    return climbed


if __name__ == "__main__":
    sys.exit(main())
