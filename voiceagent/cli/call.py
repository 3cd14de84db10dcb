"""`voiceagent call`: place a scripted, spoken call to an agent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call

__all__ = ["call"]


def call(
    target: Annotated[str, typer.Argument(help="A media URL (ws://, wss://), or an agent to serve for this one call.")],
    script: Annotated[Path, typer.Option(help="What the caller does, a YAML file.")],
    record: Annotated[Path | None, typer.Option(help="Write the call as heard: stereo wav, caller left.")] = None,
    auth_token: Annotated[
        str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Sign the call as Twilio would.")
    ] = None,
    service_url: Annotated[
        str, typer.Option(envvar="VOICEAGENT_SERVICE_URL", help="Service that the agent's tools call.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Call an agent as a telephone company would: real time, real audio, a script instead of a person.

    Exit code 0 if the script was followed to its end. Example: voiceagent call bank --script demo/calls/daniel.yaml
    """
    plan = CallerScript.read(script)
    if target.startswith(("ws://", "wss://")):
        report = asyncio.run(place_call(target, plan, auth_token=auth_token, record_to=record))
    else:
        report = asyncio.run(_call_agent(target, plan, record, service_url))
    if as_json:
        typer.echo(json.dumps(_plain(report), ensure_ascii=False, indent=2, default=str))
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)


async def _call_agent(agent: str, plan: CallerScript, record: Path | None, service_url: str) -> CallReport:
    """Serve the agent on a free port of this machine for one call."""
    name = Path(agent).name
    with TemporaryDirectory() as journals:
        settings = ServerSettings(
            telephony=TelephonySettings(agents=frozenset({name}), insecure=True, port=0),
            journals=Path(journals),
            service=ServiceSettings(url=service_url),
        )
        async with agent_server(settings, {name: load_flow(agent)}) as server:
            url = f"ws://127.0.0.1:{server.port}/media/twilio/{name}"
            return await place_call(url, plan, record_to=record)


def _plain(report: CallReport) -> dict[str, object]:
    timeline = [{"what": type(moment).__name__, **asdict(moment)} for moment in report.timeline]
    return {**asdict(report), "timeline": timeline}


def _print(report: CallReport) -> None:
    for turn in report.turns:
        waited = "no answer" if turn.answered_after_ms is None else f"answered after {turn.answered_after_ms} ms"
        typer.echo(f"{turn.from_ms / 1000:8.2f} s  {turn.said}: {waited}")
    for cut in report.barge_ins:
        typer.echo(f"{cut.at_ms / 1000:8.2f} s  barge-in, the agent was silent {cut.silent_after_ms} ms later")
    typer.echo(f"closed by {report.closed.by} ({report.closed.reason or report.closed.code})")
    if report.failure is not None:
        typer.echo(f"the script could not be followed: {report.failure}", err=True)
