"""`voiceagent serve`: take calls."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.errors import OperatorError, PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow
from voiceagent.spec.verify import verify
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["serve"]

_DRAIN_S = 120.0


def serve(
    agents: Annotated[list[str], typer.Argument(help="Agents: folders, or names below phases/.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port for media sockets and HTTP alike; 0 takes a free one.")] = 8080,
    public_url: Annotated[
        str | None,
        typer.Option(envvar="VOICEAGENT_PUBLIC_URL", help="https address under which carriers reach this server."),
    ] = None,
    insecure: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--insecure", help="Let anybody in: for trying things out on this machine.")
    ] = False,
    engines: Annotated[
        Literal["local", "null"], typer.Option(help="Speech engines: `local`, or `null` for load tests.")
    ] = "local",
    model: Annotated[
        str | None,
        typer.Option(envvar="VOICEAGENT_MODEL", help="openai:<model>; without it the guided model speaks."),
    ] = None,
    journals: Annotated[Path, typer.Option(envvar="VOICEAGENT_JOURNALS", help="Folder of the calls' journals.")] = Path(
        "journals"
    ),
    service_url: Annotated[
        str, typer.Option(envvar="VOICEAGENT_SERVICE_URL", help="Service that the agents' tools call.")
    ] = "",
    token_url: Annotated[
        str | None, typer.Option(envvar="VOICEAGENT_TOKEN_URL", help="OAuth token endpoint of that service.")
    ] = None,
    client_id: Annotated[str, typer.Option(envvar="VOICEAGENT_CLIENT_ID", help="OAuth client.")] = "",
    client_secret: Annotated[str, typer.Option(envvar="VOICEAGENT_CLIENT_SECRET", help="Its secret.")] = "",
    twilio_auth_token: Annotated[
        str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Secret of the Twilio account.")
    ] = None,
    openai_base_url: Annotated[
        str | None, typer.Option(envvar="OPENAI_BASE_URL", help="Any OpenAI-compatible endpoint.")
    ] = None,
    openai_api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Key of that endpoint.")] = None,
    transfer: Annotated[
        list[str] | None, typer.Option(help="Number behind a flow's transfer target: support=+15551234567. Repeatable.")
    ] = None,
    time_zone: Annotated[str, typer.Option(help="IANA time zone in which callers say dates.")] = "UTC",
    max_calls: Annotated[int, typer.Option(min=1, help="Calls at a time; the next one is refused.")] = 100,
) -> None:
    """Take calls over media WebSockets; webhooks and health checks are on the same port.

    Example: voiceagent serve bank --insecure --port 8080
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    flows = _checked_flows(agents)
    settings = ServerSettings(
        telephony=TelephonySettings(
            agents=frozenset(flows),
            public_url=public_url,
            twilio_auth_token=twilio_auth_token,
            insecure=insecure,
            host=host,
            port=port,
            max_calls=max_calls,
            transfer_targets=_targets(transfer or ()),
        ),
        journals=journals,
        engines=engines,
        model=model,
        openai_base_url=openai_base_url,
        openai_api_key=openai_api_key,
        service=ServiceSettings(url=service_url, token_url=token_url, client_id=client_id, client_secret=client_secret),
        time_zone=time_zone,
    )
    forced = _run(_serve(settings, flows))
    if forced:
        raise typer.Exit(1)


def _targets(given: Sequence[str]) -> dict[str, str]:
    pairs = [(name, number) for name, equals, number in (one.partition("=") for one in given) if name and equals]
    if len(pairs) < len(given):
        raise OperatorError(f"--transfer takes a target and its number, support=+15551234567, not {' '.join(given)!r}")
    return dict(pairs)


def _checked_flows(agents: list[str]) -> dict[str, Flow]:
    flows: dict[str, Flow] = {}
    for agent in agents:
        flow = load_flow(agent)
        wrong = [finding for finding in verify(flow) if finding.severity == "error"]
        if wrong:
            more = f" (and {len(wrong) - 1} more: voiceagent check {agent})" if len(wrong) > 1 else ""
            raise PhaseError(f"{wrong[0]}{more}")
        flows[Path(agent).name] = flow
    return flows


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

    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, signalled)
    async with agent_server(settings, flows) as server:
        names = ", ".join(sorted(flows))
        typer.echo(f"serving {names} on {settings.telephony.host}:{server.port} (media, webhooks, /healthz)")
        await first.wait()
        typer.echo(f"no new calls; {server.live_calls} still going on (signal again to cut them off)")
        draining = asyncio.ensure_future(server.drain(_DRAIN_S))
        forced = asyncio.ensure_future(second.wait())
        await asyncio.wait({draining, forced}, return_when=asyncio.FIRST_COMPLETED)
        cut_off = not draining.done()
        draining.cancel()
        forced.cancel()
    return cut_off
