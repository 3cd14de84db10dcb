"""`voiceagent graph`: draw an agent's phases and the ways between them."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated, Literal

import typer

from voiceagent.errors import PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.graph import as_dot, as_json, as_mermaid, flow_graph
from voiceagent.spec.graph_svg import as_svg
from voiceagent.spec.verify.names import references

__all__ = ["graph"]

_FORMATS = {"mermaid": as_mermaid, "dot": as_dot, "svg": as_svg, "json": as_json}


def graph(
    agent: Annotated[str, typer.Argument(help="Folder of an agent, or the name of one below phases/.")],
    form: Annotated[
        Literal["mermaid", "dot", "svg", "json"], typer.Option("--format", help="What to print it as.")
    ] = "mermaid",
) -> None:
    """Print an agent's phases, with grants and prefetches on the ways; loops without a bound are marked.

    Exit code 0: it is drawn. 1: a name leads nowhere, so it cannot be. 2: there is no such agent.

    Example: voiceagent graph bank --format svg > bank.svg
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # an author's module may print; our output is a picture
            flow = load_flow(agent)
    except PhaseError as exc:
        if exc.code != "unknown-agent":
            raise
        typer.echo(f"voiceagent: {exc}", err=True)
        raise typer.Exit(2) from exc
    wrong = list(references(flow))
    if wrong:
        raise PhaseError(f"{wrong[0].message} (voiceagent check {agent})", source=wrong[0].source)
    typer.echo(_FORMATS[form](flow_graph(flow)), nl=False)
