"""`voiceagent serve`: take calls."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.cli.agent_server import AgentServer, ServerSettings, agent_server
from voiceagent.cli.agents import agents_to_serve
from voiceagent.cli.folders import require_writable
from voiceagent.cli.serving_options import ServingOptions, with_serving_options
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.logs import LogFormat, set_up_logging
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.retention import DEFAULT_DAYS, Retention, days_from
from voiceagent.spec.flow import Flow
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["serve"]

_log = logging.getLogger(__name__)
_DRAIN_S = 120.0


@with_serving_options
def serve(
    agents: Annotated[list[str], typer.Argument(help="Agents: folders, or names below phases/.")],
    serving: ServingOptions,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port for media sockets and HTTP alike; 0 takes a free one.")
    ] = 8080,
    public_url: Annotated[
        str | None,
        typer.Option(envvar="VOICEAGENT_PUBLIC_URL", help="https address under which carriers reach this server."),
    ] = None,
    insecure: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--insecure", help="Let anybody in: for trying things out on this machine.")
    ] = False,
    twilio_auth_token: Annotated[
        str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Secret of the Twilio account.")
    ] = None,
    transfer: Annotated[
        list[str] | None, typer.Option(help="Number behind a flow's transfer target: support=+15551234567. Repeatable.")
    ] = None,
    max_calls: Annotated[int, typer.Option(min=1, help="Calls at a time; the next one is refused.")] = 100,
    record: Annotated[
        Path | None,
        typer.Option(envvar="VOICEAGENT_RECORDINGS", metavar="DIR", help="Record the sound of every call there."),
    ] = None,
    keep_journals: Annotated[
        str,
        typer.Option(
            envvar="VOICEAGENT_KEEP_JOURNALS", metavar="DAYS", help="Days after which they are deleted, or `forever`."
        ),
    ] = str(DEFAULT_DAYS),
    keep_recordings: Annotated[
        str, typer.Option(envvar="VOICEAGENT_KEEP_RECORDINGS", metavar="DAYS", help="The same for recordings.")
    ] = str(DEFAULT_DAYS),
    log_format: Annotated[
        LogFormat, typer.Option(envvar="VOICEAGENT_LOG_FORMAT", help="One line per event: `json`, or `text` to read.")
    ] = "text",
) -> None:
    """Take calls over media WebSockets; webhooks and health checks are on the same port.

    Example: voiceagent serve bank --insecure --service-url http://127.0.0.1:9000
    """
    set_up_logging(log_format)
    telephony = TelephonySettings(
        agents=frozenset(flows := agents_to_serve(agents, service_url=serving.service_url)),
        public_url=public_url,
        twilio_auth_token=twilio_auth_token,
        insecure=insecure,
        host=host,
        port=port,
        max_calls=max_calls,
        transfer_targets=_targets(transfer or ()),
    )
    _require_somebody_gets_in(telephony)
    require_writable(serving.journals)
    if record is not None:
        require_writable(record)
    settings = replace(
        serving.settings(telephony),
        recordings=record,
        retention=Retention(
            serving.journals,
            record,
            journals_days=days_from(keep_journals, option="--keep-journals"),
            recordings_days=days_from(keep_recordings, option="--keep-recordings"),
        ),
    )
    forced = _run(_serve(settings, flows))
    if forced:
        raise typer.Exit(1)


def _targets(given: Sequence[str]) -> dict[str, str]:
    pairs = [(name, number) for name, equals, number in (one.partition("=") for one in given) if name and equals]
    if len(pairs) < len(given):
        raise OperatorError(f"--transfer takes a target and its number, support=+15551234567, not {' '.join(given)!r}")
    return dict(pairs)


def _require_somebody_gets_in(telephony: TelephonySettings) -> None:
    if telephony.insecure:
        if not _is_this_machine(telephony.host):
            _log.warning("--insecure on %s: whoever reaches this machine may call", telephony.host)
        return
    missing = {
        "TWILIO_AUTH_TOKEN": telephony.twilio_auth_token,
        "VOICEAGENT_PUBLIC_URL": telephony.public_url,
    }
    unset = " and ".join(name for name, value in missing.items() if not value)
    if unset:
        raise OperatorError(f"every call would be refused: set {unset}, or try --insecure")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(serving: object) -> bool:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return asyncio.run(serving)  # pyright: ignore[reportArgumentType, reportUnknownVariableType] - our own coroutine
    return uvloop.run(serving)  # pyright: ignore[reportArgumentType, reportUnknownVariableType] - our own coroutine


async def _serve(settings: ServerSettings, flows: dict[str, Flow]) -> bool:
    """Serve until a signal; the first lets running calls finish, the second does not. True if it came to that."""
    loop = asyncio.get_running_loop()
    first, second = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (second if first.is_set() else first).set()

    def say_where(call: CallId, _now_ms: int, event: ev.Event, _outgoing: tuple[Outgoing, ...]) -> None:
        if isinstance(event, ev.CallStarted):
            _log.info("call %s is recorded in %s", call, settings.journals / journal_name(call))

    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, signalled)
    async with agent_server(settings, flows, observers=[say_where]) as server:
        _print_addresses(settings, server)
        await first.wait()
        typer.echo(f"no new calls; {server.live_calls} still going on (signal again to cut them off)")
        draining = asyncio.ensure_future(server.drain(_DRAIN_S))
        forced = asyncio.ensure_future(second.wait())
        await asyncio.wait({draining, forced}, return_when=asyncio.FIRST_COMPLETED)
        cut_off = not draining.done()
        draining.cancel()
        forced.cancel()
    return cut_off


def _print_addresses(settings: ServerSettings, server: AgentServer) -> None:
    telephony = settings.telephony
    host = f"[{telephony.host}]" if ":" in telephony.host else telephony.host
    here = f"{host}:{server.port}"
    for agent in sorted(telephony.agents):
        if telephony.insecure:
            typer.echo(f"serving {agent}: media ws://{here}/media/twilio/{agent}")
        else:
            typer.echo(f"serving {agent}: webhook {telephony.webhook_base}/twilio/{agent}/answer")
    typer.echo(f"journals in {settings.journals}/; health http://{here}/healthz")
