"""The commands; a mistake of the user's is one line on standard error, never a traceback."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from voiceagent import __version__
from voiceagent.cli.call import call
from voiceagent.cli.chat import chat
from voiceagent.cli.check import check
from voiceagent.cli.devices import devices
from voiceagent.cli.dial import dial
from voiceagent.cli.diff import diff
from voiceagent.cli.doctor import doctor
from voiceagent.cli.explore import explore
from voiceagent.cli.graph import graph
from voiceagent.cli.inspect import inspect
from voiceagent.cli.new import new
from voiceagent.cli.probe import probe
from voiceagent.cli.promote import promote
from voiceagent.cli.providers import providers
from voiceagent.cli.purge import purge_records
from voiceagent.cli.replay import replay
from voiceagent.cli.report import report
from voiceagent.cli.schema import schema
from voiceagent.cli.serve import serve
from voiceagent.cli.talk import talk
from voiceagent.cli.test import play
from voiceagent.errors import VoiceAgentError

__all__ = ["app", "run"]

app = typer.Typer(
    help="Phone agents made of phases.",
    epilog="Exit code 0: done. 1: it went wrong, or there is a mistake in what was given. 2: there is no such command "
    "or option. 130: Ctrl-C. Each command says in its --help what it means by them. Shells complete commands and "
    "options after `voiceagent --install-completion` (bash, zsh, fish).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(new)
app.command()(doctor)
app.command()(serve)
app.command()(call)
app.command()(dial)
app.command()(probe)
app.command()(providers)
app.command()(chat)
app.command()(talk)
app.command()(devices)
app.command()(check)
app.command()(graph)
app.command()(diff)
app.command()(inspect)
app.command()(report)
app.command()(replay)
app.command()(promote)
app.command("purge")(purge_records)
app.command("test")(play)
app.command()(explore)
app.command()(schema)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - how Typer calls it
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def run() -> None:
    """Run the command line; exit code 1 for a mistake in what was given."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what an author wrote may hold letters that a terminal does not have
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except VoiceAgentError as exc:
        typer.echo(f"voiceagent: {exc}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has gone: there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
