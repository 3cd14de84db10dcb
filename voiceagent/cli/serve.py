"""`voiceagent serve`: take calls."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.cli.agent_server import AgentServer, ServerSettings, agent_server
from voiceagent.cli.agents import agents_to_serve
from voiceagent.cli.audiosocket_option import audiosocket_ids, audiosocket_lines
from voiceagent.cli.folders import require_writable
from voiceagent.cli.serving_options import ServingOptions, with_serving_options
from voiceagent.cli.spend_options import max_spend_from, prices_from
from voiceagent.cli.workers import Inherited, Supervisor, inherited, listening_socket
from voiceagent.console.web import console_access
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError, VoiceAgentError
from voiceagent.logs import LogFormat, log_failure, set_up_logging
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.retention import DEFAULT_DAYS, Retention, days_from
from voiceagent.spec.flow import Flow
from voiceagent.telephony.byte_order import L16Order
from voiceagent.telephony.certificate import Certificate
from voiceagent.telephony.settings import CarrierKeys, SignalWireCodec, TelephonySettings, is_this_machine
from voiceagent.telephony.telnyx import TelnyxCodec

__all__ = ["serve"]

_log = logging.getLogger(__name__)


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
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="VOICEAGENT_TLS_CERT",
            metavar="FILE",
            help="Certificate of this server and those above it, in PEM: only https and wss on the port then. SIGHUP "
            "loads a renewed one.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(envvar="VOICEAGENT_TLS_KEY", metavar="FILE", help="Its key, in PEM and not encrypted."),
    ] = None,
    insecure: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--insecure", help="Let anybody in: for trying things out on this machine.")
    ] = False,
    twilio_auth_token: Annotated[
        str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Secret of the Twilio account.")
    ] = None,
    telnyx_codec: Annotated[
        TelnyxCodec, typer.Option(envvar="TELNYX_CODEC", help="How the agent's voice goes to Telnyx.")
    ] = "PCMU",
    telnyx_rate_hz: Annotated[
        int, typer.Option(envvar="TELNYX_RATE_HZ", help="8000; with L16 also 16000, 24000 or 48000.")
    ] = 8_000,
    signalwire_codec: Annotated[
        SignalWireCodec, typer.Option(envvar="SIGNALWIRE_CODEC", help="Audio of both directions at SignalWire.")
    ] = "PCMU@8000h",
    l16_order: Annotated[
        L16Order, typer.Option(help="Byte order of L16 at SignalWire and Telnyx; `measured` listens to the caller.")
    ] = "measured",
    transfer: Annotated[
        list[str] | None, typer.Option(help="Number behind a flow's transfer target: support=+15551234567. Repeatable.")
    ] = None,
    asterisk_password: Annotated[
        str | None,
        typer.Option(
            envvar="VOICEAGENT_ASTERISK_PASSWORD", help="Password that an Asterisk shows, as user `asterisk`."
        ),
    ] = None,
    asterisk_url: Annotated[
        str | None, typer.Option(help="Where an Asterisk may have us connect to it: ws://10.0.0.2:8088/media.")
    ] = None,
    ari_url: Annotated[
        str | None,
        typer.Option(
            envvar="VOICEAGENT_ARI_URL",
            help="REST interface of an Asterisk, for keys and transfers: http://10.0.0.2:8088/ari.",
        ),
    ] = None,
    ari_user: Annotated[str | None, typer.Option(envvar="VOICEAGENT_ARI_USER", help="User there (ari.conf).")] = None,
    ari_password: Annotated[
        str | None, typer.Option(envvar="VOICEAGENT_ARI_PASSWORD", help="That user's password.")
    ] = None,
    audiosocket: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[AGENT=][HOST:]PORT",
            help="Take Asterisk's AudioSocket calls there as well, with an id that lets them in. Repeatable.",
        ),
    ] = None,
    audiosocket_id: Annotated[
        list[str] | None,
        typer.Option(
            envvar="VOICEAGENT_AUDIOSOCKET_IDS",
            metavar="UUID",
            help="Let in who sends this id, besides those asked for with the Asterisk's password. Repeatable.",
        ),
    ] = None,
    max_calls: Annotated[int, typer.Option(min=1, help="Calls at a time; the next one is refused.")] = 100,
    record: Annotated[
        Path | None,
        typer.Option(envvar="VOICEAGENT_RECORDINGS", metavar="DIR", help="Record the sound of every call there."),
    ] = None,
    record_at_provider: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool,
        typer.Option("--record-at-provider", help="Have the provider record every call, by its REST interface."),
    ] = False,
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
    max_calls_per_agent: Annotated[int | None, typer.Option(min=1, help="Of these, calls to one agent.")] = None,
    max_calls_per_caller: Annotated[int, typer.Option(min=1, help="Calls at a time from one number.")] = 5,
    max_caller_calls_per_minute: Annotated[
        int, typer.Option(min=1, help="Calls that one number may begin within a minute.")
    ] = 10,
    prices: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=USD,…",
            help="What calls cost, in US dollars: a million `input`, `cached` input and `output` tokens, a million "
            "spoken `characters`, and a `minute` of call. input=2.5,cached=0.5,output=10,characters=15,minute=0.01",
        ),
    ] = None,
    max_spend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=USD,…",
            help="What may be spent at these prices by one `call`, and within an hour by one `caller`, one `agent` and "
            "this `process`. call=1,caller=5,agent=100,process=200",
        ),
    ] = None,
    drain_s: Annotated[
        int, typer.Option(min=0, help="How long calls may go on after SIGTERM; then they are told goodbye.")
    ] = 120,
    console_token: Annotated[
        str | None,
        typer.Option(
            envvar="VOICEAGENT_CONSOLE_TOKEN",
            help="Lets people see the pages at / and call agents from there. Without it only this machine's do, and "
            "nobody's where there is a --public-url or another --host.",
        ),
    ] = None,
    host_token: Annotated[
        str | None,
        typer.Option(envvar="VOICEAGENT_HOST_TOKEN", help="Secret of the application that may tell calls something."),
    ] = None,
    probe_every_s: Annotated[
        int,
        typer.Option(min=0, help="How often the server calls itself, for /readyz to say what came of it; 0: never."),
    ] = 60,
    probe_providers: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--probe-providers", help="Let these calls use the model providers as well, which costs.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that take calls from the same port; only how often callers call is limited for all."
        ),
    ] = 1,
) -> None:
    """Take calls over media WebSockets; webhooks and health checks are on the same port.

    Keys of other carriers stand in the environment (docs/telephony.md): TELNYX_PUBLIC_KEY, SIGNALWIRE_SIGNING_KEY …

    Example: voiceagent serve bank --insecure --service-url http://127.0.0.1:9000
    """
    set_up_logging(log_format)
    worker = inherited()
    if worker is not None:
        worker.heeds_the_supervisor_alone()
    served = _Served(
        lambda: agents_to_serve(agents, service_url=serving.service_url, engines=serving.engines),
        drain_s=float(drain_s),
        worker=worker,
    )
    telephony = TelephonySettings(
        agents=frozenset(flows := served.load()),
        public_url=public_url,
        twilio_auth_token=twilio_auth_token,
        asterisk_password=asterisk_password,
        asterisk_url=asterisk_url,
        ari_url=ari_url,
        ari_user=ari_user,
        ari_password=ari_password,
        keys=CarrierKeys.of(os.environ),
        telnyx_codec=telnyx_codec,
        telnyx_rate_hz=telnyx_rate_hz,
        signalwire_codec=signalwire_codec,
        l16_order=l16_order,
        insecure=insecure,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        listening_fd=worker.listening_fd if worker is not None else None,
        max_calls=max_calls,
        max_calls_per_agent=max_calls_per_agent,
        max_calls_per_caller=max_calls_per_caller,
        max_caller_calls_per_minute=max_caller_calls_per_minute,
        audiosockets=audiosocket_lines(audiosocket or (), flows),
        audiosocket_ids=audiosocket_ids(audiosocket_id or ()),
        transfer_targets=_targets(transfer or ()),
    )
    _require_somebody_gets_in(telephony)
    console_access(telephony, console_token)  # a token that could be guessed is refused before anything is loaded
    if tls_cert is not None and tls_key is not None:
        Certificate(tls_cert, tls_key)  # before anything is loaded, and by a supervisor in place of its workers
    require_writable(serving.journals)
    if record is not None:
        require_writable(record)
    settings = replace(
        serving.settings(telephony),
        recordings=record,
        record_at_provider=record_at_provider,
        host_token=host_token,
        console_token=console_token,
        probe_every_s=probe_every_s,
        probe_providers=probe_providers,
        prices=prices_from(prices, max_spend=max_spend),
        max_spend=max_spend_from(max_spend),
        retention=Retention(
            serving.journals,
            record,
            journals_days=days_from(keep_journals, option="--keep-journals"),
            recordings_days=days_from(keep_recordings, option="--keep-recordings"),
        ),
    )
    if workers > 1 and worker is None:
        _require_shared_tokens(settings)
        asyncio.run(_supervise(settings, workers))
    else:
        _run(_serve(settings, flows, served))


@dataclass(frozen=True, slots=True)
class _Served:
    """What a process that takes calls was told."""

    load: Callable[[], dict[str, Flow]]
    drain_s: float
    worker: Inherited | None


def _require_shared_tokens(settings: ServerSettings) -> None:
    """A webhook and the socket that it lets in may meet different workers."""
    if not settings.telephony.insecure and settings.state == "memory":
        raise OperatorError(
            "several workers have to share the tokens that let calls in: give --state sqlite:///state.db"
        )


async def _supervise(settings: ServerSettings, workers: int) -> None:
    """Have workers take the calls. The port is opened here, so that all of them have the same."""
    telephony = settings.telephony
    with listening_socket(telephony.host, telephony.port) as listening:
        command = [sys.executable, "-m", "voiceagent.cli", *sys.argv[1:]]
        port = int(listening.getsockname()[1])
        supervisor = Supervisor(command, workers=workers, listening=listening)
        await supervisor.run(ready=lambda: _print_addresses(settings, port))


def _targets(given: Sequence[str]) -> dict[str, str]:
    pairs = [(name, number) for name, equals, number in (one.partition("=") for one in given) if name and equals]
    if len(pairs) < len(given):
        raise OperatorError(f"--transfer takes a target and its number, support=+15551234567, not {' '.join(given)!r}")
    return dict(pairs)


def _require_somebody_gets_in(telephony: TelephonySettings) -> None:
    if telephony.insecure:
        if not is_this_machine(telephony.host):
            _log.warning("--insecure on %s: whoever reaches this machine may call", telephony.host)
        return
    missing = {
        "TWILIO_AUTH_TOKEN": telephony.twilio_auth_token or telephony.keys.let_somebody_in,
        "VOICEAGENT_PUBLIC_URL": telephony.public_url,
    }
    unset = " and ".join(name for name, value in missing.items() if not value)
    if unset and not (telephony.audiosockets or telephony.asterisk_password):
        raise OperatorError(f"every call would be refused: set {unset}, or try --insecure")


def _run(serving: Coroutine[None, None, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(serving)
    else:
        uvloop.run(serving)


async def _serve(settings: ServerSettings, flows: dict[str, Flow], served: _Served) -> None:
    """Serve until a signal; the first lets running calls finish, the second does not."""
    loop = asyncio.get_running_loop()
    stages, changed = _Stages(asyncio.Event(), asyncio.Event()), asyncio.Event()

    def say_where(call: CallId, _now_ms: int, event: ev.Event, _outgoing: tuple[Outgoing, ...]) -> None:
        if isinstance(event, ev.CallStarted):
            _log.info("call %s is recorded in %s", call, settings.journals / journal_name(call))

    if served.worker is None:
        _follow_signals(stages)
    else:
        served.worker.when_told(drain=stages.drain.set, cut_off=stages.cut_off.set)
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, changed.set)
    async with agent_server(settings, flows, observers=[say_where]) as server:
        _is_served(settings, server, served.worker)
        if served.worker is not None:
            loop.add_reader(served.worker.alive_fd, _orphaned, served.worker, stages)
        reloading = asyncio.ensure_future(_reload_whenever(changed, server, served))
        await stages.drain.wait()
        reloading.cancel()
        typer.echo(f"no new calls; {server.live_calls} still going on (signal again to cut them off)")
        draining = asyncio.ensure_future(server.drain(served.drain_s))
        forced = asyncio.ensure_future(stages.cut_off.wait())
        await asyncio.wait({draining, forced}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        forced.cancel()


@dataclass(frozen=True, slots=True)
class _Stages:
    """How a server is stopped."""

    drain: asyncio.Event
    """No new calls; those there are go on."""
    cut_off: asyncio.Event
    """They do no longer."""


def _follow_signals(stages: _Stages) -> None:
    """Let the first signal from now on drain the server, and the second cut its calls off."""
    heard = itertools.count()

    def signalled() -> None:
        (stages.cut_off if next(heard) else stages.drain).set()

    for wanted in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wanted, signalled)


def _orphaned(worker: Inherited, stages: _Stages) -> None:
    """The supervisor is gone: finish, and listen to whoever takes its place."""
    asyncio.get_running_loop().remove_reader(worker.alive_fd)
    stages.drain.set()
    _follow_signals(stages)


async def _reload_whenever(changed: asyncio.Event, server: AgentServer, served: _Served) -> None:
    """Load agents and certificate anew at every SIGHUP; where one of them is not as it should be, the old ones stay."""
    while True:
        await changed.wait()
        changed.clear()
        try:
            await server.renew_certificate()
        except OperatorError as exc:
            _log.error("the old certificate stays: %s", exc)
        try:
            flows = await asyncio.to_thread(served.load)
            await server.reload(flows)
        except VoiceAgentError as exc:
            _log.error("the agents stay as they are: %s", exc)
        except Exception as exc:  # noqa: BLE001 - authors' code runs in there, and the next SIGHUP is to be heard
            log_failure(_log, exc, "the agents stay as they are")
        else:
            hashes = ", ".join(f"{name} {flow.sha256[:12]}" for name, flow in sorted(flows.items()))
            _log.info("new calls go to the agents as they are now: %s", hashes)


def _is_served(settings: ServerSettings, server: AgentServer, worker: Inherited | None) -> None:
    if worker is None:
        _print_addresses(settings, server.port)
    else:
        worker.is_ready()  # the supervisor prints them, once


def _webhook_of(telephony: TelephonySettings) -> str:
    """Return the word in the path of webhooks: Twilio's where that is configured, else to be filled in."""
    return "twilio" if telephony.twilio_auth_token else "<dialect>"


def _print_addresses(settings: ServerSettings, port: int) -> None:
    telephony = settings.telephony
    host = f"[{telephony.host}]" if ":" in telephony.host else telephony.host
    secure = "" if telephony.tls_cert is None else "s"
    here = f"{secure}://{host}:{port}"
    for agent in sorted(telephony.agents):
        if telephony.insecure:
            typer.echo(f"serving {agent}: media ws{here}/media/twilio/{agent}")
        elif telephony.webhook_base is not None:
            typer.echo(f"serving {agent}: webhook {telephony.webhook_base}/{_webhook_of(telephony)}/{agent}/answer")
        if telephony.insecure or telephony.asterisk_password:
            typer.echo(f"serving {agent}: asterisk ws{here}/media/asterisk/{agent}")
    for line in telephony.audiosockets:
        typer.echo(f"serving {line.agent}: audiosocket {line.host}:{line.port}")
    if console_access(telephony, settings.console_token) is not None:
        typer.echo(f"call from a browser: http{here}/")
    typer.echo(f"journals in {settings.journals}/; health http{here}/healthz")
