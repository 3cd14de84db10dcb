"""`make bench-peers`: what a call costs with the frameworks in use, beside this one and beside the floor.

python -m benchmarks.peers --quick floor voiceagent pipecat
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.figures import machine
from benchmarks.peers.environment import PeerMissing, distribution_version, python_of
from benchmarks.peers.ladder import Step, climb
from benchmarks.peers.peer import FLOOR, PEERS, Peer
from benchmarks.peers.process import PeerFailed, loaded, served
from benchmarks.peers.row import Round, row_of
from benchmarks.peers.table import show, write
from benchmarks.peers.voice import sentence
from benchmarks.pinned import placement, server_and_generator_cores
from benchmarks.runs import Run

_CALLS = 25
_SECONDS = 12.0
_FLOOR_SECONDS = 8.0
_ROUNDS = 2
_WARM_UP_CALLS, _WARM_UP_SECONDS = 2, 2.0
_OUTPUT = Path("bench-output")


@dataclass(slots=True)
class _Measured:
    """What has become of a peer so far."""

    version: str
    rounds: list[Round] = field(default_factory=list[Round])
    ladder: list[Step] = field(default_factory=list[Step])


def main() -> int:
    """Measure, print and keep; 0 also where a peer is missing, which the table says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, and no ladder")
    parser.add_argument("peers", nargs="*", metavar="PEER", help="the start of a row's name; all without it")
    options = parser.parse_args()
    wanted = [peer for peer in PEERS if not options.peers or peer.name.startswith(tuple(options.peers))]
    if not wanted:
        parser.error(f"no peer's name begins so: {', '.join(peer.name for peer in PEERS)}")
    _OUTPUT.mkdir(exist_ok=True)
    placed = placement(*server_and_generator_cores())
    about = f"{machine()}; {placed}; load average {os.getloadavg()[0]:.1f} before it began"
    print(about)
    measured, missing = _measured(wanted, quick=options.quick)
    rows = [
        row_of(peer.name, each.version, each.rounds, each.ladder, silence_ms=peer.silence_ms)
        for peer in wanted
        if (each := measured.get(peer.name)) is not None
    ]
    loads = {
        name: {"rounds": list(map(asdict, each.rounds)), "ladder": list(map(asdict, each.ladder))}
        for name, each in measured.items()
    }
    show(about, rows, missing)
    write(about, rows, missing, loads, folder=_OUTPUT)
    print(
        "kept in bench-output/peers.json and bench-output/peers.md; what the servers said in bench-output/peers-*.log"
    )
    return 0


def _measured(wanted: Sequence[Peer], *, quick: bool) -> tuple[dict[str, _Measured], dict[str, str]]:
    """Return what was measured of each peer, and why there is nothing, or no more, of some.

    Round by round, so that a slow quarter of an hour of the machine's meets all of them. The last round has the ladder.
    """
    measured: dict[str, _Measured] = {}
    missing: dict[str, str] = {}
    rounds = 1 if quick else _ROUNDS
    for number in range(1, rounds + 1):
        for peer in wanted:
            if peer.name in missing:
                continue
            print(f"measuring, round {number} of {rounds}: {peer.name}", file=sys.stderr)
            try:
                python = python_of(peer)
                so_far = measured.setdefault(peer.name, _Measured(distribution_version(python, peer.distribution)))
                _add_round(so_far, peer, python, climbs=number == rounds and not quick)
            except (PeerMissing, PeerFailed) as exc:
                missing[peer.name] = str(exc)
    return {name: each for name, each in measured.items() if each.rounds}, missing


def _add_round(so_far: _Measured, peer: Peer, python: Path, *, climbs: bool) -> None:
    voice = sentence() if peer.hears_voices else None
    if peer.hears_voices and voice is None:
        raise PeerMissing("its callers cannot speak: the extra `local` is not installed")
    with _serving(FLOOR, python_of(FLOOR), "floor-beside", voice) as place:
        floor = place(calls=_CALLS, seconds=_FLOOR_SECONDS)
    with _serving(peer, python, peer.name.replace(", ", "-").replace(" ", "-"), voice) as place:
        so_far.rounds.append(Round(floor, place(calls=_CALLS, seconds=_SECONDS)))
        if climbs:
            so_far.ladder = climb(place, peer.silence_ms)


@contextmanager
def _serving(peer: Peer, python: Path, name: str, voice: Path | None = None) -> Generator[Callable[..., Run]]:
    """Run a server that has had its first calls; gives what places more."""
    log = _OUTPUT / f"peers-{name}.log"
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
        yield place


if __name__ == "__main__":
    sys.exit(main())
