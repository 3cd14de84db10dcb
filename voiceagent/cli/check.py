"""`voiceagent check`: say what is wrong with an agent before anybody calls it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from voiceagent.errors import PhaseError, Source
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase
from voiceagent.spec.verify import Finding, verify
from voiceagent.spec.verify.languages import unspoken_languages
from voiceagent.spec.verify.silence import longest_wait, waits_in
from voiceagent.spec.verify.tokens import tokens_of
from voiceagent.speech import languages_of

__all__ = ["check"]


def check(
    agent: Annotated[str, typer.Argument(help="Folder of an agent, or the name of one below phases/.")],
    engines: Annotated[
        Literal["local", "null"], typer.Option(help="Which engines are to hear and speak it; `null`: every language.")
    ] = "local",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Load an agent, print what is wrong with it, with file and line, and the longest silence of every phase.

    Exit code 0: it may be called. 1: there are errors. 2: there is no such agent. Example: voiceagent check bank
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # an author's module may print; our output is read by machines
            flow = load_flow(agent)
    except PhaseError as exc:
        if exc.code == "unknown-agent":
            typer.echo(f"voiceagent: {exc}", err=True)
            raise typer.Exit(2) from exc
        _print_unloadable(exc, as_json=as_json)
        raise typer.Exit(1) from exc
    findings, told = verify(flow), flow.phases
    if any(finding.code == "unknown-locale" for finding in findings):
        told = ()  # how long they are silent depends on words that nobody has written
    else:
        heard, spoken = languages_of(engines)
        findings += unspoken_languages(flow, heard=heard, spoken=spoken)
    if as_json:
        typer.echo(json.dumps(_plain(flow, findings, told), ensure_ascii=False, indent=2))
    else:
        _print(flow, findings, told)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def _print(flow: Flow, findings: list[Finding], phases: Sequence[Phase]) -> None:
    for finding in findings:
        typer.echo(str(finding))
    if findings:
        errors = sum(finding.severity == "error" for finding in findings)
        verdict = f"{_counted(errors, 'error')}, {_counted(len(findings) - errors, 'warning')}"
    else:
        verdict = f"{sum(len(flow.tools_of(phase)) for phase in flow.phases)} tool offers, nothing wrong"
    typer.echo(f"{flow.name}: {len(flow.phases)} phases, {verdict}")
    width = max((len(phase.name) for phase in phases), default=0)
    for phase in phases:
        wait = longest_wait(flow, phase)
        silence = f"longest silence {wait}" if wait is not None else "no waits"
        typer.echo(f"  {phase.name:<{width}}  about {tokens_of(flow, phase):>5} tokens; {silence}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _print_unloadable(exc: PhaseError, *, as_json: bool) -> None:
    if as_json:
        finding = Finding(exc.code, "error", exc.message, exc.source or Source(""))
        typer.echo(json.dumps({"findings": [_plain_finding(finding)]}, ensure_ascii=False, indent=2))
    else:
        where = f"{exc.source}: " if exc.source else ""
        typer.echo(f"{where}error: {exc.message} [{exc.code}]")


def _plain(flow: Flow, findings: list[Finding], phases: Sequence[Phase]) -> dict[str, object]:
    return {
        "flow": flow.name,
        "findings": [_plain_finding(finding) for finding in findings],
        "phases": [_plain_phase(flow, phase) for phase in phases],
    }


def _plain_finding(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "source": {"file": finding.source.file, "line": finding.source.line},
        "path": list(finding.path),
    }


def _plain_phase(flow: Flow, phase: Phase) -> dict[str, object]:
    waits = [
        {"for": wait.what, "silence_ms": wait.silence_ms, "then": wait.ends_with} for wait in waits_in(flow, phase)
    ]
    return {"phase": phase.name, "estimated_tokens": tokens_of(flow, phase), "waits": waits}
