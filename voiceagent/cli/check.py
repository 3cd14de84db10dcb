"""`voiceagent check`: say what is wrong with an agent before anybody calls it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from voiceagent.errors import PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.verify import Finding, verify

__all__ = ["check"]


def check(
    agent: Annotated[str, typer.Argument(help="Folder of an agent, or the name of one below phases/.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Load an agent and print what is wrong with it, with file and line.

    Exit code 0: it may be called. 1: there are errors. Example: voiceagent check bank
    """
    try:
        flow = load_flow(agent)
    except PhaseError as exc:
        _print_unloadable(exc, as_json=as_json)
        raise typer.Exit(1) from exc
    findings = verify(flow)
    if as_json:
        typer.echo(json.dumps([_plain(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            typer.echo(str(finding))
        if not findings:
            tools = sum(len(flow.tools_of(phase)) for phase in flow.phases)
            typer.echo(f"{flow.name}: {len(flow.phases)} phases, {tools} tool offers, nothing wrong")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def _print_unloadable(exc: PhaseError, *, as_json: bool) -> None:
    if as_json:
        source = {"file": exc.source.file, "line": exc.source.line} if exc.source else None
        typer.echo(json.dumps([{"code": "unloadable", "severity": "error", "message": str(exc), "source": source}]))
    else:
        typer.echo(str(exc))


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "source": {"file": finding.source.file, "line": finding.source.line},
        "path": list(finding.path),
    }
