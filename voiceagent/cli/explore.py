"""`voiceagent explore`: thousands of simulated calls in which things go wrong, and what must hold in all of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import Annotated

import typer

from voiceagent.cli.progress import progress
from voiceagent.testing.exploring import Explored, as_test, explored, smallest
from voiceagent.testing.fault_plan import LabLevel

__all__ = ["explore"]

_WHERE: dict[LabLevel, str] = {"core": "on the core", "runtime": "through the runtime"}


def explore(
    calls: Annotated[int, typer.Option(min=0, help="How many calls on the core of the conversation alone.")] = 2_000,
    runtime: Annotated[int, typer.Option(min=0, help="How many through all that serves callers.")] = 200,
    seed: Annotated[int, typer.Option(min=1, help="Number of the first call; each has its own caller and faults.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many processes share the calls.")] = 1,
    until_broken: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--until-broken", help="Stop at the first call that breaks something, and only name it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Try the framework itself: calls to an agent of its own, with faults of every kind, on a virtual clock.

    Models, engines, tools, carriers and disks fail by seed, models obey attackers, near things change places; what must
    never happen is looked for after every step. The first call in which it does is made as small as it can be and
    printed as a test.

    Exit code 0: everything held. 1: something did not.

    Example: voiceagent explore --calls 500 --runtime 0
    """
    began = perf_counter()
    told: list[Explored] = []
    levels: tuple[tuple[LabLevel, int], ...] = (("core", calls), ("runtime", runtime))
    for level, number in levels:
        total = Explored(level)
        with progress(f"calls {_WHERE[level]}", of=number) as done:
            for lot in explored(level, first=seed, calls=number, jobs=jobs):
                total.add(lot)
                done(lot.calls)
                if until_broken and lot.failed:
                    break
        told.append(total)
        if number and not (as_json or (until_broken and total.failed)):
            _tell(total)
        if total.failed:
            break
    failed = told[-1].failed
    if as_json:
        typer.echo(json.dumps(_plain(told, made_smaller=not until_broken), ensure_ascii=False, indent=2))
    elif failed and until_broken:
        typer.echo(f"{told[-1].level} seed {failed[0].plan.seed}: {failed[0].broken[0]}")
    elif failed:
        _tell_failure(told[-1])
    else:
        took_s = perf_counter() - began
        typer.echo(f"{calls} calls on the core and {runtime} through the runtime in {took_s:.0f} s: 0 broken")
    if failed:
        raise typer.Exit(1)


def _tell(total: Explored) -> None:
    typer.echo(
        f"{total.calls} calls {_WHERE[total.level]}, {total.steps} steps, {len(total.failed)} with something broken"
    )
    typer.echo(f"  phases reached  {_listed(total.phases)}")
    typer.echo(f"  faults          {_listed(total.struck)}")
    typer.echo(f"  in them         {_listed(total.did)}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _plain(told: Sequence[Explored], *, made_smaller: bool) -> dict[str, object]:
    levels = [
        {
            "level": total.level,
            "calls": total.calls,
            "steps": total.steps,
            "phases": dict(total.phases),
            "faults": dict(total.struck),
            "did": dict(total.did),
            "broken": [{"seed": call.plan.seed, "what": str(call.broken[0])} for call in total.failed],
        }
        for total in told
    ]
    failed = told[-1].failed
    return {"levels": levels, "test": as_test(smallest(failed[0])) if failed and made_smaller else None}


def _tell_failure(total: Explored) -> None:
    counts = Counter(call.broken[0].invariant for call in total.failed)
    typer.echo(f"  broken          {_listed(counts)}")
    first = total.failed[0]
    typer.echo(f"\nseed {first.plan.seed}: {first.broken[0]}\n\n{as_test(smallest(first))}")
