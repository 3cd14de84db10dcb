"""`voiceagent call`: place a scripted, spoken call to an agent."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.cli.agent_server import agent_server
from voiceagent.cli.agents import agents_to_serve
from voiceagent.cli.folders import require_writable
from voiceagent.cli.serving_options import ServingOptions, with_serving_options
from voiceagent.cli.synthetic_call import problems_of
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.logs import set_up_logging
from voiceagent.runtime.call_summary import CallSummary
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import read_journal
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call

__all__ = ["Answered", "call", "call_agent"]

_DRAIN_S = 20


@dataclass(frozen=True, slots=True)
class Answered:
    """The agent's side of a call that was served here."""

    journal: Path
    summary: CallSummary

    @property
    def problems(self) -> list[str]:
        return problems_of(self.summary)


@with_serving_options
def call(
    target: Annotated[
        str,
        typer.Argument(
            help="A media URL (ws://…), the webhook of a server that demands signatures (http://…/answer), or an agent "
            "to serve for this one call."
        ),
    ],
    script: Annotated[Path, typer.Option(help="What the caller does, a YAML file.")],
    serving: ServingOptions,
    record: Annotated[Path | None, typer.Option(help="Write the call as heard: stereo wav, caller left.")] = None,
    auth_token: Annotated[
        str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Sign the call to a URL as Twilio would.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Call an agent as a telephone company would: real time, real audio, a script instead of a person.

    Exit code 0 if the script was followed to its end and, where the agent is served for this call, nothing of it broke.

    Example, beside a server: voiceagent call ws://127.0.0.1:8080/media/twilio/shop --script caller.yaml

    Example, without one: voiceagent call shop --script caller.yaml --record call.wav

    Example, beside `python demo/bank_api --port 9000`: voiceagent call bank --script demo/calls/daniel.yaml
    --service-url http://127.0.0.1:9000 --token-url http://127.0.0.1:9000/oauth/token --client-id phone-agent
    --client-secret …
    """
    set_up_logging("text", level=logging.WARNING)
    plan = CallerScript.read(script)
    answered = None
    if "://" in target:
        report = asyncio.run(place_call(target, plan, auth_token=auth_token, record_to=record))
    else:
        report, answered = asyncio.run(call_agent(target, plan, record, serving))
    if as_json:
        typer.echo(json.dumps(_plain(report, answered), ensure_ascii=False, indent=2, default=str))
    else:
        _print(report, answered)
    if not report.ok or (answered is not None and answered.problems):
        raise typer.Exit(1)


async def call_agent(
    agent: str, plan: CallerScript, record: Path | None, serving: ServingOptions
) -> tuple[CallReport, Answered | None]:
    """Serve the agent on a free port of this machine for one call."""
    flows = await asyncio.to_thread(agents_to_serve, [agent], service_url=serving.service_url, engines=serving.engines)
    await asyncio.to_thread(require_writable, serving.journals)
    (name,) = flows
    calls: list[CallId] = []

    def note(call: CallId, _now_ms: int, event: ev.Event, _outgoing: tuple[Outgoing, ...]) -> None:
        if isinstance(event, ev.CallStarted):
            calls.append(call)

    settings = serving.settings(TelephonySettings(agents=frozenset({name}), insecure=True, port=0))
    async with agent_server(settings, flows, observers=[note]) as server:
        url = f"ws://127.0.0.1:{server.port}/media/twilio/{name}"
        report = await place_call(url, plan, record_to=record)
        await server.drain(_DRAIN_S)
    if not calls:
        return report, None
    journal = serving.journals / journal_name(calls[0])
    return report, Answered(journal, inspect_journal(await asyncio.to_thread(read_journal, journal)))


def _plain(report: CallReport, answered: Answered | None) -> dict[str, object]:
    timeline = [{"what": type(moment).__name__, **asdict(moment)} for moment in report.timeline]
    agent = (
        {"journal": answered.journal, "problems": answered.problems, "transcript": answered.summary.transcript}
        if answered is not None
        else None
    )
    failure = None if report.failure is None else str(report.failure)
    return {**asdict(replace(report, failure=None)), "failure": failure, "timeline": timeline, "agent": agent}


def _measured(report: CallReport) -> Iterator[tuple[int, str]]:
    for turn in report.turns:
        waited = "no answer" if turn.answered_after_ms is None else f"answered after {turn.answered_after_ms} ms"
        yield turn.from_ms, f"{turn.said}: {waited}"
    for cut in report.barge_ins:
        yield cut.at_ms, f"{cut.said}: barge-in, the agent was silent {cut.silent_after_ms} ms later"


def _hint(reason: str) -> str:
    if reason.startswith("nobody listens"):
        return "; is voiceagent serve running?"
    if reason.endswith("HTTP 403"):
        return "; a server that demands signatures is called at its webhook, http://…/answer, with --auth-token"
    return ""


def _print(report: CallReport, answered: Answered | None) -> None:
    if not report.connected:
        raise OperatorError(f"{report.closed.reason}{_hint(report.closed.reason)}")
    if answered is not None:
        typer.echo(answered.summary.to_text())
    for at_ms, measured in sorted(_measured(report)):
        typer.echo(f"{at_ms / 1000:8.2f} s  {measured}")
    typer.echo(f"closed by the {report.closed.by} ({report.closed.reason or report.closed.code})")
    if report.recording is not None:
        typer.echo(f"recording: {report.recording}")
    if answered is not None:
        typer.echo(f"journal: {answered.journal}")
        for problem in answered.problems:
            typer.echo(f"voiceagent: {problem}", err=True)
    if report.failure is not None:
        typer.echo(f"the script could not be followed: {report.failure}", err=True)
