"""The whole server in one place: engines, models, tools, journals and the port, put together and taken apart again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from voiceagent.console.lines import open_lines
from voiceagent.models.choose import ProviderAccess, model_from
from voiceagent.models.choose_speech import speech_model_from
from voiceagent.ports import MULAW_8K, IncomingCall, SpeechModelEngine
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.loop_watch import LoopWatch
from voiceagent.runtime.render_ahead import render_ahead
from voiceagent.runtime.session import Observer, Services, Session
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import TransferTo
from voiceagent.speech import open_engines
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.tools.credentials import NoCredentials, OAuthClientCredentials
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool
from voiceagent.zones import read_zone

__all__ = ["AgentServer", "ServerSettings", "ServiceSettings", "agent_server"]

_log = logging.getLogger(__name__)
_GOODBYE_S = 20
"""For the last sentence, what is being said before it, and hanging up when it has been heard."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where the tools of the agents find their service, and what lets them in."""

    url: str = ""
    """What the paths of `ctx.http` are appended to; empty where the tools need none."""
    token_url: str | None = None
    """OAuth token endpoint; None where the service asks for no credentials."""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Everything the person who runs the server decides."""

    telephony: TelephonySettings
    journals: Path
    """Folder of the calls' journals."""
    engines: Literal["local", "null"] = "local"
    model: str | None = None
    """Names as `model_from` takes them, or None for the guided model alone."""
    speech_model: str | None = None
    """A name as `speech_model_from` takes it, or None where the engines hear and speak."""
    access: ProviderAccess = field(default_factory=ProviderAccess)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    time_zone: str = "UTC"


class _Agents:
    """The flows that are served, and the calls that run on them."""

    def __init__(self, flows: Mapping[str, Flow], settings: ServerSettings, services: Services) -> None:
        self._flows = dict(flows)
        self._settings = settings
        self._services = services
        self._running: dict[Session, None] = {}

    async def take(self, incoming: IncomingCall) -> None:
        """Run a call from its beginning to its end, on the flow that there is when it begins."""
        _log.info("call %s for %s", incoming.call, incoming.agent)
        flow, settings = self._flows[incoming.agent], self._settings
        session = Session(flow, incoming, self._services, time_zone=settings.time_zone)
        self._running[session] = None
        try:
            await session.run()
        finally:
            del self._running[session]

    async def serve(self, flows: Mapping[str, Flow]) -> None:
        """Let the next calls run on these flows."""
        _warn_of_targets_without_number(flows, self._settings.telephony)
        services = self._services
        for flow in flows.values():
            await render_ahead(flow, services.engines.synthesizer, services.learned, MULAW_8K)
        self._flows.update(flows)

    def stop(self) -> None:
        """Have every call brought to its end."""
        for session in self._running:
            session.stop()


class AgentServer:
    """A running server."""

    def __init__(self, media: MediaServer, port: int, agents: _Agents, watch: LoopWatch) -> None:
        self._media = media
        self._agents = agents
        self._watch = watch
        self.port = port

    @property
    def live_calls(self) -> int:
        """Calls that have a leg, or still have something to do."""
        return self._media.live_calls

    async def reload(self, flows: Mapping[str, Flow]) -> None:
        """Take new calls on these flows, of agents that are served already; those there are keep theirs."""
        self._watch.know(flows.values())
        await self._agents.serve(flows)

    async def drain(self, at_most_s: float) -> bool:
        """Take no new calls and wait for those there are; False where some had to be ended after that time.

        These are told goodbye and hung up on when they have heard it, or a bounded time later.
        """
        self._media.drain()
        if await self._drained(at_most_s):
            return True
        _log.warning("%d calls are ended: they have had %d s", self.live_calls, at_most_s)
        self._media.leave()
        self._agents.stop()
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
    settings: ServerSettings, flows: Mapping[str, Flow], *, observers: Sequence[Observer] = ()
) -> AsyncGenerator[AgentServer]:
    """Serve these agents until the block is left. Raises OperatorError, MissingExtra and WeightsError before it serves.

    `observers` are told everything that happens in every call, on the event loop.
    """
    for chatty in ("transitions", "websockets"):  # at INFO a line for every transition and every connection
        logging.getLogger(chatty).setLevel(logging.WARNING)
    clock = SystemClock()
    learned = Learned()
    async with AsyncExitStack() as closing:
        await asyncio.to_thread(read_zone, settings.time_zone)
        # In a thread: a provider's SDK takes half a second to import. Before the engines, which take longer to load.
        models = await asyncio.to_thread(model_from, settings.model, clock=clock, access=settings.access)
        closing.push_async_callback(models.close)
        speech_model = await asyncio.to_thread(_speech_model, settings, clock)
        if speech_model is not None:
            closing.push_async_callback(speech_model.close)
        engines = await asyncio.to_thread(open_engines, settings.engines)
        closing.push_async_callback(asyncio.to_thread, engines.close)  # it waits for its workers
        pool = await asyncio.to_thread(ConnectionPool)
        closing.push_async_callback(pool.close)
        journals = JournalStore(settings.journals)
        closing.push_async_callback(journals.close)
        tools = _executor(settings.service, pool, clock)
        closing.push_async_callback(tools.close)
        watch = closing.enter_context(LoopWatch(flows.values()))
        services = Services(
            engines=engines,
            models=models,
            tools=tools,
            journals=journals,
            clock=clock,
            learned=learned,
            observers=tuple(observers),
            speech_model=speech_model,
        )
        agents = _Agents(flows, settings, services)
        await agents.serve(flows)
        lines = open_lines(settings.telephony, handler=agents.take, healthy=lambda: engines.healthy, clock=clock)
        async with lines as (media, port):
            yield AgentServer(media, port, agents, watch)


def _speech_model(settings: ServerSettings, clock: SystemClock) -> SpeechModelEngine | None:
    if settings.speech_model is None:
        return None
    return speech_model_from(settings.speech_model, clock=clock, access=settings.access)


def _executor(service: ServiceSettings, pool: ConnectionPool, clock: SystemClock) -> ToolExecutor:
    broker = NoCredentials()
    if service.token_url is not None:
        broker = OAuthClientCredentials(
            pool,
            clock,
            token_url=service.token_url,
            client_id=service.client_id,
            client_secret=service.client_secret,
        )
    return ToolExecutor(clock=clock, broker=broker, pool=pool, service_url=service.url)


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
