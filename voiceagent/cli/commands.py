"""The commands; a mistake of the user's is one line on standard error, never a traceback."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from voiceagent import __version__
from voiceagent.cli.late_commands import Where, group_of
from voiceagent.errors import VoiceAgentError

__all__ = ["COMMANDS", "app", "run"]

COMMANDS = {
    "new": Where(
        "new:new",
        "Write an agent into a folder of its name: a flow in YAML, two prompts, a tool, three scripted conversations.",
    ),
    "doctor": Where(
        "doctor:doctor",
        "Look whether all is there that calls need: Python, extras, engines, keys, audio, the port, shared state.",
    ),
    "serve": Where("serve:serve", "Take calls over media WebSockets; webhooks and health checks are on the same port."),
    "call": Where(
        "call:call", "Call an agent as a telephone company would: real time, real audio, a script instead of a person."
    ),
    "dial": Where(
        "dial:dial", "Place a call by Twilio, SignalWire, Telnyx or an Asterisk; their keys stand in the environment."
    ),
    "probe": Where("probe:probe", "Place a synthetic call: connect, hear the greeting, hang up."),
    "providers": Where(
        "providers:providers",
        "Print what each dialect does in the connection itself (in_band), by REST, or not at all.",
    ),
    "chat": Where(
        "chat:chat",
        "Call an agent by typing: what serves callers, without the sound. /help tells what may be asked meanwhile.",
    ),
    "talk": Where(
        "talk:talk", "Call an agent from this machine's microphone: what serves callers, without a telephone."
    ),
    "devices": Where(
        "devices:devices",
        "List the microphones and loudspeakers that `talk` can use; with --check, find out how well they do.",
    ),
    "check": Where(
        "check:check",
        "Load an agent, print what is wrong with it, with file and line, and the longest silence of every phase.",
    ),
    "graph": Where(
        "graph:graph",
        "Print an agent's phases, with grants and prefetches on the ways; loops without a bound are marked.",
    ),
    "diff": Where("diff:diff", "Print what has changed between two versions of an agent, phase by phase."),
    "inspect": Where(
        "inspect:inspect", "Print phases, turns, tools, fillers, prefetches and latencies of a recorded call."
    ),
    "report": Where(
        "report:report",
        "Write one page that shows a call: waveforms, phases, turns, tools, fillers, marks and silences, "
        "with a player.",
    ),
    "replay": Where(
        "replay:replay",
        "Replay a call, byte for byte, and print the first difference where the effects are not the same.",
    ),
    "promote": Where(
        "promote:promote",
        "Print a call as a scripted conversation, with the caller's data replaced: a production call becomes a test.",
    ),
    "purge": Where(
        "purge:purge_records",
        "Delete journals and recordings: those kept long enough, those of one call, or those of one caller.",
    ),
    "test": Where(
        "test:play",
        "Play scripted conversations, each under several schedules; nothing is heard, nothing leaves the machine.",
    ),
    "explore": Where(
        "explore:explore",
        "Try the framework itself: calls to an agent of its own, with faults of every kind, on a virtual clock.",
    ),
    "schema": Where("schema:schema", "Print the JSON Schema of a kind of YAML file."),
}
"""What the list of all commands says of each, so that none has to be imported for it; what one says is the same."""

app = typer.Typer(
    cls=group_of(COMMANDS),
    help="Phone agents made of phases.",
    epilog="Exit code 0: done. 1: it went wrong, or there is a mistake in what was given. 2: there is no such command "
    "or option. 130: Ctrl-C. Each command says in its --help what it means by them. Shells complete commands and "
    "options after `voiceagent --install-completion` (bash, zsh, fish).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
