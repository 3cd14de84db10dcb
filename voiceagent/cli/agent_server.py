"""The whole server in one place: engines, models, tools, journals and the lines, put together and taken apart again."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue
from starlette.types import ASGIApp

from voiceagent.cli.agents import require_spoken
from voiceagent.cli.probing import Probing
from voiceagent.cli.progress import progress
from voiceagent.console.call_records import CallRecords
from voiceagent.console.host import HostAccess, require_host_token
from voiceagent.console.lines import open_lines
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.models.choose import ProviderAccess, model_from
from voiceagent.models.choose_speech import speech_model_from
from voiceagent.ports import Clock, CredentialBroker, IncomingCall, SharedStore, SpeechModelEngine
from voiceagent.runtime.calls import Calls
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.garbage import Garbage
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.loop_watch import LoopWatch
from voiceagent.runtime.recording import Recordings
from voiceagent.runtime.render_ahead import render_ahead
from voiceagent.runtime.retention import Retention, purged_daily
from voiceagent.runtime.session import Observer, Services
from voiceagent.runtime.spending import Prices, Spending, SpendLimits
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import TransferTo
from voiceagent.speech import Engines, open_engines, with_fallbacks
from voiceagent.stores import open_store
from voiceagent.telephony.call_control import CallControl
from voiceagent.telephony.controls import controls_of
from voiceagent.telephony.dialects import DIALECTS
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.tools.attempts import AttemptGate
from voiceagent.tools.biscuit import BiscuitAttenuation
from voiceagent.tools.credentials import EnvironmentCredential, NoCredentials, OAuthClientCredentials
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool
from voiceagent.zones import read_zone

__all__ = ["AgentServer", "ServerSettings", "ServiceSettings", "agent_server", "broker_of", "call_services"]

_log = logging.getLogger(__name__)
_GOODBYE_S = 20
"""For the last sentence, what is being said before it, and hanging up when it has been heard."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where the tools of the agents find their service, and what lets them in: one of three things, or nothing."""

    url: str = ""
    """What the paths of `ctx.http` are appended to; empty where the tools need none."""
    token_url: str | None = None
    """OAuth token endpoint; None where the service asks for no credentials."""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    biscuit: str | None = field(default=None, repr=False)
    """The agent's biscuit, to be narrowed down for every run."""
    biscuit_public_key: str = ""
    """The service's key that has signed it."""
    key_variable: str | None = None
    """Variable of the environment in which the one key of the service stands."""
    internal_urls: tuple[str, ...] = ()
    """What else tools may reach though its address is not public."""

    def __post_init__(self) -> None:
        if sum(way is not None for way in (self.token_url, self.biscuit, self.key_variable)) > 1:
            raise OperatorError("a service lets tools in by one of --token-url, --biscuit and --service-key-variable")
        if self.biscuit is not None and not self.biscuit_public_key:
            raise OperatorError("--biscuit needs --biscuit-public-key, the key that it was signed with")

    @property
    def internal(self) -> tuple[str, ...]:
        """All addresses that the operator has named."""
        return tuple(url for url in (self.url, self.token_url, *self.internal_urls) if url)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Everything the person who runs the server decides."""

    telephony: TelephonySettings
    journals: Path
    """Folder of the calls' journals."""
    state: str = field(default="memory", repr=False)
    """What workers share, as `open_store` takes it; there may be a password in it."""
    recordings: Path | None = None
    """Folder of the calls' recordings; None where none are made."""
    record_at_provider: bool = False
    """Whether calls are recorded by their providers."""
    retention: Retention | None = None
    """What this server deletes, daily; None where somebody else sees to it."""
    engines: Literal["local", "null"] = "local"
    vad: Literal["silero", "energy"] | None = None
    """What hears that somebody speaks; None: as the engines have it."""
    end_of_turn: Path | None = None
    """File of the model that hears whether callers have finished; None: there is none."""
    end_of_turn_sha256: str | None = None
    model: str | None = None
    """Names as `model_from` takes them, or None for the guided model alone."""
    speech_model: str | None = None
    """A name as `speech_model_from` takes it, or None where the engines hear and speak."""
    access: ProviderAccess = field(default_factory=ProviderAccess)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    time_zone: str = "UTC"
    host_token: str | None = field(default=None, repr=False)
    """What lets the host application tell calls something over HTTP; None: nobody may."""
    console_token: str | None = field(default=None, repr=False)
    """What lets people see the pages at `/`; None: only from this machine, if at all."""
    probe_every_s: float = 0
    """How often the server calls itself; 0: never."""
    probe_providers: bool = False
    """Whether these calls use the models of all calls, which costs; else the guided model and the engines alone."""
    prices: Prices | None = None
    """What calls cost; None where nobody counts it."""
    max_spend: SpendLimits = field(default_factory=SpendLimits)
    """What they may cost, at these prices."""

    def __post_init__(self) -> None:
        if self.host_token:
            require_host_token(self.host_token)


class _Agents:
    """The flows that are served, and the calls that run on them."""

    def __init__(
        self, flows: Mapping[str, Flow], settings: ServerSettings, services: Services, garbage: Garbage
    ) -> None:
        self.flows = dict(flows)
        self.calls = Calls(flows, services, time_zone=settings.time_zone)
        self._settings = settings
        self._services = services
        self._garbage = garbage
        self._on_the_line = 0

    async def take(self, incoming: IncomingCall) -> None:
        """Run a call on this connection, to its end or until the connection breaks."""
        _log.info("call %s for %s", incoming.call, incoming.agent)
        self._on_the_line += 1
        try:
            await self.calls.take(incoming)
        finally:
            self._on_the_line -= 1
            self._garbage.call_over(others=self._on_the_line)

    async def serve(self, flows: Mapping[str, Flow]) -> None:
        """Let the next calls run on these flows."""
        _warn_of_targets_without_number(flows, self._settings.telephony)
        services = self._services
        spoken = self._settings.telephony.spoken
        with progress("rendering what agents say", of=len(flows) * len(spoken), shown=_watched(self._settings)) as done:
            for flow in flows.values():
                for audio in spoken:
                    await render_ahead(flow, services.engines.synthesizer, services.learned, audio)
                    done(1)
        self.flows.update(flows)
        self.calls.serve(flows)


class AgentServer:
    """A running server."""

    def __init__(self, media: MediaServer, port: int, agents: _Agents, watch: LoopWatch, probing: Probing) -> None:
        self._media = media
        self._agents = agents
        self._watch = watch
        self._probing = probing
        self.port = port
        """0 where calls come by somebody else's."""

    @property
    def live_calls(self) -> int:
        """Calls that have a leg, or still have something to do."""
        return self._media.live_calls

    def tell(self, call: CallId, name: str, payload: Mapping[str, JsonValue] | None = None) -> bool:
        """Let a call learn of an event of the host application's, as `HostSignals` and recordings wait for it.

        False where this process has no such call, by the id that its carrier gave it.
        """
        return self._agents.calls.tell(call, name, payload)

    async def reload(self, flows: Mapping[str, Flow]) -> None:
        """Take new calls on these flows, of agents that are served already; those there are keep theirs."""
        self._watch.know(flows.values())
        await self._agents.serve(flows)

    async def renew_certificate(self) -> None:
        """Meet new connections with what is in the certificate's file now, where the port speaks TLS.

        Raises OperatorError where that is of no use: the old one goes on.
        """
        await asyncio.to_thread(self._media.renew_certificate)

    async def drain(self, at_most_s: float) -> bool:
        """Take no new calls and wait for those there are; False where some had to be ended after that time.

        These are told goodbye and hung up on when they have heard it, or a bounded time later.
        """
        self._media.drain()
        await self._probing.stop()
        if await self._drained(at_most_s):
            return True
        _log.warning("%d calls are ended: they have had %d s", self.live_calls, at_most_s)
        self._media.leave()
        self._agents.calls.stop()
        await self._drained(_GOODBYE_S)
        return False

    async def _drained(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._media.drained()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def agent_server(
    settings: ServerSettings,
    flows: Mapping[str, Flow],
    *,
    observers: Sequence[Observer] = (),
    mount: Callable[[ASGIApp], None] | None = None,
) -> AsyncGenerator[AgentServer]:
    """Serve these agents until the block is left. Raises OperatorError, MissingExtra and WeightsError before it serves,
    and PhaseError for one that has a phase in a language that the engines lack.

    `observers` are told everything that happens in every call, on the event loop. With `mount` no port is opened: it
    gets the app by which calls come, for somebody else to serve.
    """
    for chatty in ("transitions", "websockets"):  # at INFO a line for every transition and every connection
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for flow in flows.values():
        require_spoken(flow, settings.engines)
    clock = SystemClock()
    async with AsyncExitStack() as closing:
        await asyncio.to_thread(read_zone, settings.time_zone)
        keep_days = settings.retention.journals_days if settings.retention is not None else None
        store = await open_store(settings.state, clock=clock, keep_days=keep_days)
        closing.push_async_callback(store.close)
        services = await closing.enter_async_context(
            call_services(settings, store=store, clock=clock, observers=observers)
        )
        if settings.retention is not None:
            await closing.enter_async_context(purged_daily(settings.retention))
        garbage = closing.enter_context(Garbage(clock))
        watch = closing.enter_context(LoopWatch(flows.values()))
        agents = _Agents(flows, settings, services, garbage)
        closing.push_async_callback(agents.calls.close)
        await agents.serve(flows)
        controls = await asyncio.to_thread(_controls, settings)
        for control in controls.values():
            closing.push_async_callback(control.close)
        agents.calls.sweep()
        probing = await Probing.begun(
            services,
            lambda: agents.flows,
            every_s=settings.probe_every_s,
            providers=settings.probe_providers,
            journals=settings.journals,
            time_zone=settings.time_zone,
        )
        closing.push_async_callback(probing.stop)
        records = CallRecords(settings.journals, settings.recordings, lambda: agents.flows, clock)
        closing.callback(records.close)
        lines = open_lines(
            settings.telephony,
            handler=agents.take,
            may_go_on=agents.calls.may_go_on,
            healthy=lambda: services.engines.healthy,
            clock=clock,
            state=store,
            controls=controls,
            proven=lambda: probing.proven,
            host=HostAccess(settings.host_token, agents.calls.tell) if settings.host_token else None,
            console_token=settings.console_token,
            records=records,
            spent=services.spending,
            mount=mount,
        )
        async with lines as (media, port):
            yield AgentServer(media, port, agents, watch, probing)


@asynccontextmanager
async def call_services(
    settings: ServerSettings, *, store: SharedStore, clock: Clock, observers: Sequence[Observer]
) -> AsyncGenerator[Services]:
    """Open what calls need, whatever way they come, until the block is left. Raises as `agent_server`."""
    async with AsyncExitStack() as closing:
        # In a thread: a provider's SDK takes half a second to import. Before the engines, which take longer to load.
        models = await asyncio.to_thread(model_from, settings.model, clock=clock, access=settings.access)
        closing.push_async_callback(models.close)
        speech_model = await asyncio.to_thread(_speech_model, settings, clock)
        if speech_model is not None:
            closing.push_async_callback(speech_model.close)
        pool = await asyncio.to_thread(ConnectionPool, internal=settings.service.internal, clock=clock)
        closing.push_async_callback(pool.close)
        broker = await asyncio.to_thread(broker_of, settings.service, pool, clock)
        with progress("loading the speech engines", shown=_watched(settings)):
            opened = await asyncio.to_thread(_engines, settings)
        engines = with_fallbacks(opened, clock=clock, beside_model=speech_model is not None)
        closing.push_async_callback(asyncio.to_thread, engines.close)  # it waits for its workers
        # What dies with the process is no better a place for a journal than its file.
        journals = JournalStore(settings.journals, shared=None if settings.state == "memory" else store)
        closing.push_async_callback(journals.close)
        recordings = Recordings(settings.recordings) if settings.recordings is not None else None
        if recordings is not None:
            closing.push_async_callback(recordings.close)
        attempts = AttemptGate(store, secret=_counting_secret(settings))
        tools = ToolExecutor(clock=clock, broker=broker, pool=pool, service_url=settings.service.url, attempts=attempts)
        closing.push_async_callback(tools.close)
        spending = Spending(settings.prices, settings.max_spend, clock=clock) if settings.prices is not None else None
        yield Services(
            engines=engines,
            models=models,
            tools=tools,
            journals=journals,
            clock=clock,
            learned=Learned(),
            observers=tuple(observers),
            speech_model=speech_model,
            recordings=recordings,
            record_at_provider=settings.record_at_provider,
            spending=spending,
        )


def _watched(settings: ServerSettings) -> bool:
    """Whether this process has the terminal for itself: workers share one."""
    return settings.telephony.listening_fd is None


def _engines(settings: ServerSettings) -> Engines:
    return open_engines(
        settings.engines,
        vad=settings.vad,
        end_of_turn=settings.end_of_turn,
        end_of_turn_sha256=settings.end_of_turn_sha256,
    )


def _speech_model(settings: ServerSettings, clock: Clock) -> SpeechModelEngine | None:
    if settings.speech_model is None:
        return None
    return speech_model_from(settings.speech_model, clock=clock, access=settings.access)


def _controls(settings: ServerSettings) -> Mapping[str, CallControl]:
    """Return the providers' REST interfaces. Raises OperatorError where they are to record and none of them can."""
    controls = controls_of(settings.telephony)
    if settings.record_at_provider and not any(DIALECTS[name].features.record == "rest" for name in controls):
        raise OperatorError(
            "--record-at-provider: no provider can be asked; set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, "
            "TELNYX_API_KEY, or SIGNALWIRE_SPACE, SIGNALWIRE_PROJECT_ID and SIGNALWIRE_API_TOKEN"
        )
    return controls


def _counting_secret(settings: ServerSettings) -> bytes | None:
    """Return what keys the counts of attempts: the same for all who share them; None: nobody does."""
    secret = next(filter(None, _secrets(settings)), None)
    if settings.state == "memory" or secret is None:
        return None
    return hashlib.sha256(f"attempts of {secret}".encode()).digest()


def _secrets(settings: ServerSettings) -> Iterator[str | None]:
    """Yield everything that only servers of one operator know, in an order that does not change."""
    telephony, keys, service, access = settings.telephony, settings.telephony.keys, settings.service, settings.access
    yield from (telephony.twilio_auth_token, service.client_secret)
    yield from (keys.signalwire_signing_key, keys.signalwire_bearer, keys.signalwire_api_token, keys.telnyx_api_key)
    yield from (keys.cloudonix_secret, keys.fonoster_secret, keys.browser_secret, keys.auto_secret)
    yield from (telephony.asterisk_password, telephony.ari_password, settings.host_token, service.biscuit)
    yield os.environ.get(service.key_variable) if service.key_variable is not None else None
    yield from (access.openai_api_key, access.anthropic_api_key, access.azure_openai_api_key, access.gemini_api_key)


def broker_of(service: ServiceSettings, pool: ConnectionPool, clock: Clock) -> CredentialBroker:
    """Return what lets the agents' tools into their service. Raises OperatorError, MissingExtra."""
    if service.token_url is not None:
        return OAuthClientCredentials(
            pool,
            clock,
            token_url=service.token_url,
            client_id=service.client_id,
            client_secret=service.client_secret,
        )
    if service.biscuit is not None:
        return BiscuitAttenuation(clock, token=service.biscuit, public_key=service.biscuit_public_key)
    if service.key_variable is not None:
        return EnvironmentCredential(service.key_variable, os.environ)
    return NoCredentials()


def _warn_of_targets_without_number(flows: Mapping[str, Flow], telephony: TelephonySettings) -> None:
    for agent, flow in flows.items():
        for phase in flow.phases:
            if isinstance(phase.ends, TransferTo) and phase.ends.target not in telephony.transfer_targets:
                _log.warning(
                    "%s: phase %s hands callers over to %r, and no number is given for it: they will be told that "
                    "nobody can be reached (--transfer %s=+15551234567)",
                    agent,
                    phase.name,
                    phase.ends.target,
                    phase.ends.target,
                )
