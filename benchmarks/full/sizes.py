"""What a call takes of networks, disks and shared state: the numbers that capacity planning multiplies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any, cast

from benchmarks.core import bank_call
from benchmarks.figures import Figure
from benchmarks.full.table import LeftOut, Row
from benchmarks.runs import OURS, Run, Server, run
from voiceagent.core.codec import encode_event, encode_outgoing
from voiceagent.runtime.loader import load_flow

__all__ = ["sizes"]

_CALLS = 10
_RAMP_MINUTES = 2 / 60
"""How long a caller is there, on the mean, before all of them are: half of the ramp, and the second after it."""
_STARTED_WITHIN_S = 20


def sizes(*, quick: bool) -> Iterator[Row]:
    """Count bytes and requests of the load test's calls, which swap phases in every turn, and of a call to the bank."""
    seconds = 10.0 if quick else 30.0
    alone = run(OURS, calls=_CALLS, seconds=seconds)
    report = alone.report
    yield _of_bits("the caller's audio, to the server", report.sent_bytes, report.frames, report)
    yield _of_bits("the agent's audio, to the carrier", report.received_bytes, report.received_messages, report)
    yield Figure(
        "journal of a load test's call",
        alone.inside["journal_bytes"] / _whole_minutes(alone) / 1024,
        "KiB per call-minute",
        None,
        how=f"{report.turns_per_call_minute:.0f} turns a minute, each with a swap; {alone.how}",
    )
    yield _bank_journal()
    if shutil.which("redis-server") is None:
        yield LeftOut("requests of a call to Redis", "there is no redis-server: `make redis`")
        return
    with _redis() as url:
        shared = run(Server("ours, Redis", (*OURS.command, "--state", url)), calls=_CALLS, seconds=seconds)
        yield from _asked(url, shared, alone)


def _of_bits(what: str, size_bytes: int, messages: int, report: Any) -> Figure:
    minutes = report.call_minutes
    return Figure(
        what,
        size_bytes * 8 / (minutes * 60) / 1000,
        "kbit/s per call",
        None,
        spread=f"{messages / (minutes * 60):.1f} messages a second",
        how="WebSocket frames with JSON and base64; TCP, IP and TLS come on top",
    )


def _whole_minutes(measured: Run) -> float:
    return _CALLS * (measured.report.seconds / 60 + _RAMP_MINUTES)


def _bank_journal() -> Figure:
    call = bank_call(load_flow(Path("phases/bank")))
    lines = [encode_event(event, at_ms) for at_ms, event, _ in call.journal]
    lines += [encode_outgoing(out) for _, _, outgoing in call.journal for out in outgoing]
    minutes = call.now_ms / 60_000
    return Figure(
        "journal of a call to the bank",
        sum(len(line) + 1 for line in lines) / minutes / 1024,
        "KiB per call-minute",
        None,
        how=f"{len(lines) / minutes:.0f} lines a minute: a scripted call of {minutes:.1f} minutes, eight turns",
    )


# --- Redis ---


@contextmanager
def _redis() -> Generator[str]:
    """Run a Redis of one's own on a socket in a folder of its own; gives its address."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        command = (shutil.which("redis-server") or "", "--port", "0", "--unixsocket", str(path), "--dir", folder)
        process = subprocess.Popen(  # noqa: S603 - the program that was found
            [*command, "--save", "", "--appendonly", "yes"], stdout=subprocess.DEVNULL
        )
        try:
            for _ in range(_STARTED_WITHIN_S * 20):
                if path.exists():
                    break
                sleep(0.05)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait()


def _asked(url: str, shared: Run, alone: Run) -> Iterator[Figure]:
    from redis import Redis

    with closing(cast("Any", Redis).from_url(url)) as client:
        commands = cast("dict[str, dict[str, float]]", client.info("commandstats"))
        spent = cast("dict[str, float]", client.info("cpu"))
        moved = cast("dict[str, float]", client.info("stats"))
    minutes = _whole_minutes(shared)
    scripts = commands["cmdstat_evalsha"]["calls"]
    within = ", ".join(
        f"{name.removeprefix('cmdstat_')} {each['calls'] / minutes:.0f}"
        for name, each in sorted(commands.items(), key=lambda item: -item[1]["calls"])[:6]
    )
    yield Figure(
        "requests of a call to Redis",
        scripts / minutes,
        "scripts per call-minute",
        None,
        how=f"{shared.report.turns_per_call_minute:.0f} turns a minute; a minute's commands: {within}",
    )
    cpu_s = spent["used_cpu_sys"] + spent["used_cpu_user"]
    yield Figure("Redis's own CPU", cpu_s / minutes * 1000, "ms per call-minute", None, how="with its append-only file")
    yield Figure(
        "between server and Redis",
        (moved["total_net_input_bytes"] + moved["total_net_output_bytes"]) * 8 / (minutes * 60) / 1000,
        "kbit/s per call",
        None,
    )
    yield Figure(
        "CPU per call-minute, with Redis / without",
        shared.cpu_s_per_call_minute / alone.cpu_s_per_call_minute,
        "×",
        None,
        how=shared.how,
    )
