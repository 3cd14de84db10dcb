"""The table of `make bench-swap`, with how it was measured and what is reached of the goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.swap.baselines import aws_sleeps_s
from benchmarks.swap.exact import Exact
from benchmarks.swap.provider import BARE_MS, BEHIND_MS, TIMING
from benchmarks.swap.rows import Row, Spread

__all__ = ["goals", "markdown", "method", "real_table", "virtual_table"]

_IN_PLACE_MS, _STANDBY_MS = 5, 20
"""Goals for p95, the provider's time subtracted."""

_REAL_HEAD = (
    "way to change the phase",
    "changes",
    "gap, p50 / p95 ms",
    "less provider, p50 / p95 ms",
    "added, p50 / p95 ms",
    "behind speech, p50 / p95 ms",
    "speech lost, samples",
    "twice",
    "line lost, samples",
    "twice",
    "tools",
    "tokens",
    "sent",
)
_VIRTUAL_HEAD = (
    "way to change the phase",
    "situation",
    "provider, ms",
    "silence, p50 / p95 ms",
    "less provider, p50 / p95 ms",
)


def method() -> Iterator[str]:
    """Yield how it was measured."""
    yield "Real time over loopback, in processes of their own: callers, a telephone server per row, the provider."
    yield (
        f"Provider, the same for every row (OpenAI Realtime): connect {TIMING.connect_ms} ms, prompt and tools in "
        f"force {TIMING.update_ms} ms, in a new session too, first audio {TIMING.first_audio_ms} ms, end of turn "
        f"{TIMING.turn_ends_after_ms} ms, caller's words {TIMING.transcript_ms} ms."
    )
    yield (
        f"gap: last old audio → first new audio at the ear, where the old voice ({BARE_MS} ms) ends as it asks for the "
        "change; nothing is played in between, so it is heard as silence. less provider: without the time for which "
        "the session that answers was connecting, changing or making the reply, as the provider took it down itself; "
        "it can come out below 0, since the last of the old audio takes its way to the ear too. added: from the "
        "provider's request to the first new audio at the ear, less provider: framework, sockets and this machine."
    )
    yield (
        f"behind speech: silence at the ear where the model says {BEHIND_MS / 1_000:g} s, sent faster than heard, "
        "before it asks. Fillers are off."
    )
    yield (
        "speech lost, twice: samples of the caller's speech; in every fourth change they go on speaking for 0.6 s from "
        "the moment the old voice ends. line: the same of all that the line carries, background included. Lost is what "
        "no session took in, twice what a session got again, or a second one as well."
    )
    yield (
        "tools, tokens: offered to the model, and prompt and tools in force, per reply (4 characters a token); sent: "
        "what of them went over the wire per reply, standbys included. They are those of the demo's bank."
    )
    yield (
        "AWS sample (amazon-nova-samples, conversation-transfer): its sleeps are 1 s + 0.1 s × (5 session events + 3 "
        f"per message of history + 3 for the greeting + 1): {aws_sleeps_s(0):.1f} s with none, {aws_sleeps_s(10):.1f} "
        "s with 10 messages. Its music is left out, and the old voice is heard to its end."
    )


def real_table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table of the calls in real time."""
    return _lines(_REAL_HEAD, [_real_cells(row) for row in rows])


def virtual_table(rows: Sequence[Exact]) -> Iterator[str]:
    """Yield the table of the calls on virtual time."""
    yield "Virtual time (SimulatedProvider), no machine in it. Where nothing was said, silence is from the request on."
    yield from _lines(_VIRTUAL_HEAD, [_virtual_cells(row) for row in rows])


def goals(rows: Sequence[Row], exact: Sequence[Exact]) -> Iterator[str]:
    """Yield what is reached and what is missed."""
    in_place, standby, _ = ours = rows[:3]
    yield _goal("in place, less provider, p95", in_place.bare_net.p95, _IN_PLACE_MS, " ms")
    yield _goal("standby, less provider, p95", standby.bare_net.p95, _STANDBY_MS, " ms")
    yield _goal("in place, behind a sentence, longest silence", in_place.behind.most, 0, " ms")
    yield _goal("standby, behind a sentence, longest silence", standby.behind.most, 0, " ms")
    yield _goal("ours, samples lost of all that the lines carried", sum(row.all_lost_samples for row in ours), 0, "")
    yield _goal("ours, samples twice", sum(row.all_twice_samples for row in ours), 0, "")
    yield _goal("ours, changes without an answer", sum(row.unanswered for row in ours), 0, "")
    yield f"        added, p95: in place {in_place.added.p95:.1f} ms, standby {standby.added.p95:.1f} ms"
    late = max(row.late_p99_ms for row in rows)
    yield f"        the callers' own frames were up to {late:.1f} ms late (p99): what is below that is the machine's"
    worst = max(exact, key=lambda row: row.net.p95)
    if worst.net.p95:
        yield (
            f"        most that is left on virtual time: {worst.net.p95:.0f} ms, {worst.name}, {worst.situation}: "
            "another session cannot answer what it has not been told"
        )


def markdown(machine: str, rows: Sequence[Row], exact: Sequence[Exact]) -> Iterator[str]:
    """Yield the same as a page."""
    yield f"{machine}\n"
    yield from (f"{line}\n" for line in method())
    yield from _page(_REAL_HEAD, [_real_cells(row) for row in rows])
    yield ""
    yield from _page(_VIRTUAL_HEAD, [_virtual_cells(row) for row in exact])
    yield ""
    yield from (f"- {line.strip()}" for line in goals(rows, exact))


def _goal(what: str, value: float, at_most: float, unit: str) -> str:
    reached = "reached" if value <= at_most else "missed "
    return f"{reached} {what}: {value:.1f}{unit} (goal ≤ {at_most:g})"


def _real_cells(row: Row) -> tuple[str, ...]:
    changes = f"{row.changes}" + (f" ({row.unanswered} unanswered)" if row.unanswered else "")
    gaps = (row.bare, row.bare_net, row.added, row.behind)
    return (
        row.name,
        changes if row.changes or row.unanswered else "none",
        *(_spread(gap) for gap in gaps),
        f"{row.lost_samples:,} of {row.spoken_samples:,}",
        f"{row.twice_samples:,}",
        f"{row.all_lost_samples:,}",
        f"{row.all_twice_samples:,}",
        f"{row.tools:.1f}",
        f"{row.prompt_tokens:.0f}",
        f"{row.sent_tokens:.0f}",
    )


def _virtual_cells(row: Exact) -> tuple[str, ...]:
    return row.name, row.situation, f"{row.provider_ms}", _spread(row.gap), _spread(row.net)


def _spread(spread: Spread) -> str:
    return f"{spread.p50:.1f} / {spread.p95:.1f}" if spread.count else "–"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows under their heads; a head of several words stands in several lines."""
    stacked = [name.split(", ") for name in head]
    deepest = max(map(len, stacked))
    heads = [[parts[line] if line < len(parts) else "" for parts in stacked] for line in range(deepest)]
    widths = [max(len(row[column]) for row in [*heads, *rows]) for column in range(len(head))]
    for row in [*heads, ["─" * width for width in widths], *rows]:
        cells = [
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _page(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in [head, ["---"] * len(head), *rows]:
        yield f"| {' | '.join(row)} |"
