"""`voiceagent probe`: place one short call, to know that callers would be answered."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from voiceagent.cli.call import call_agent
from voiceagent.cli.serving_options import ServingOptions, with_serving_options
from voiceagent.cli.synthetic_call import greeted_after_ms, hears_the_greeting
from voiceagent.testing import CallReport, place_call

__all__ = ["probe"]


@dataclass(frozen=True, slots=True)
class _Health:
    """What one call has shown."""

    healthy: bool
    connected: bool
    greeted_after_ms: int | None
    """From the start of the call to the first loud frame of the agent; None where none came."""
    ended_well: bool
    """The agent let the caller hang up, and broke nothing off."""
    reason: str | None
    """Why it is not healthy."""


@with_serving_options
def probe(
    target: Annotated[
        str,
        typer.Argument(
            help="A media URL (ws://…), the webhook of a server that demands signatures (http://…/answer), or an agent "
            "to serve for this one call."
        ),
    ],
    serving: ServingOptions,
    within_s: Annotated[int, typer.Option(min=1, help="How long the agent may take to greet, and to be done.")] = 15,
    auth_token: Annotated[
        str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Sign the call to a URL as Twilio would.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Place a synthetic call: connect, hear the greeting, hang up.

    Exit code 0: the agent was heard and the call ended well. 1: not; what is wrong is on standard error.

    Example, beside a server: voiceagent probe ws://127.0.0.1:8080/media/twilio/shop

    Example, without one: voiceagent probe shop
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    plan = hears_the_greeting(within_s=within_s)
    problems: list[str] = []
    if "://" in target:
        report = asyncio.run(place_call(target, plan, auth_token=auth_token))
    else:
        report, answered = asyncio.run(call_agent(target, plan, None, serving))
        problems = answered.problems if answered is not None else []
    health = _health_of(report, problems)
    if as_json:
        typer.echo(json.dumps(asdict(health), indent=2))
    elif health.healthy:
        typer.echo(f"healthy: the agent was heard after {health.greeted_after_ms} ms")
    if not health.healthy:
        typer.echo(f"voiceagent: not healthy: {health.reason}", err=True)
        raise typer.Exit(1)


def _health_of(report: CallReport, problems: list[str]) -> _Health:
    heard = greeted_after_ms(report)
    ended_well = report.closed.by == "caller"
    reason = None
    if not report.connected:
        reason = report.closed.reason
    elif heard is None:
        reason = "the agent was not heard"
    elif not ended_well:
        reason = f"the call was closed by the {report.closed.by}: {report.closed.reason or report.closed.code}"
    elif report.failure is not None:
        reason = str(report.failure)
    elif problems:
        reason = "; ".join(problems)
    return _Health(
        healthy=reason is None,
        connected=report.connected,
        greeted_after_ms=heard,
        ended_well=ended_well,
        reason=reason,
    )
