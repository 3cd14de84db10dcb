"""`voiceagent talk`: a call from this machine's microphone."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from voiceagent.cli.agent_server import ServerSettings, call_services
from voiceagent.cli.agents import checked_flow, require_spoken, tools_that_want_a_service
from voiceagent.cli.call_lines import CallLines
from voiceagent.cli.folders import require_writable
from voiceagent.cli.interrupts import on_interrupts
from voiceagent.cli.plain_console import plain_console
from voiceagent.cli.serving_options import ServingOptions, with_serving_options
from voiceagent.cli.synthetic_call import problems_of
from voiceagent.cli.talking.dashboard import Dashboard
from voiceagent.cli.talking.sound import INPUT, OUTPUT, opened_sound
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId, LegId
from voiceagent.devices.microphone import MicrophoneLeg
from voiceagent.devices.portaudio import quiet_libraries
from voiceagent.logs import set_up_logging
from voiceagent.ports import IncomingCall
from voiceagent.runtime.agent_versions import KeptVersions
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import agent_folder
from voiceagent.runtime.reloading import Reloading
from voiceagent.runtime.render_ahead import render_ahead
from voiceagent.runtime.session import Observer, Session
from voiceagent.spec.flow import Flow
from voiceagent.stores import open_store
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.zones import read_zone

__all__ = ["Devices", "talk", "talk_to"]

_DRAWN_PER_S = 8


@dataclass(frozen=True, slots=True)
class Devices:
    """Which microphone and which loudspeaker, and whether both may be used at once."""

    microphone: str | None = None
    """Its number or a part of its name; None is the system's own."""
    loudspeaker: str | None = None
    half_duplex: bool | None = None
    """Whether the caller is heard only while the agent is silent; None: if the microphone hears the loudspeaker."""


@functools.partial(with_serving_options, without=("state",))
def talk(
    agent: Annotated[str, typer.Argument(help="Folder of an agent, or the name of one below phases/.")],
    serving: ServingOptions,
    microphone: Annotated[str | None, INPUT] = None,
    loudspeaker: Annotated[str | None, OUTPUT] = None,
    half_duplex: Annotated[
        bool | None,
        typer.Option(
            "--half-duplex/--full-duplex",
            help="Hear the caller only while the agent is silent, or always. Without either, a short sound tells "
            "whether the microphone hears the loudspeaker.",
        ),
    ] = None,
    reload: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--reload", help="Go on with the agent as it is saved, from the next phase on.")
    ] = False,
) -> None:
    """Call an agent from this machine's microphone: what serves callers, without a telephone.

    With --reload phases, prompts and tools that you save are checked and shown, and hold from the next entry into a
    phase; what does not pass is shown with file and line, and the agent is as it was.

    Ctrl-C ends the call, with a goodbye; a second one breaks it off. A headset is best: the agent can be interrupted
    then. The extra `echo` makes that possible with a loudspeaker, too.

    Exit code 0: the call came to its end. 1: it could not be begun, or something of it broke.

    Example: voiceagent talk shop

    Example, with a headset: voiceagent talk shop --input headset --output headset --full-duplex
    """
    with quiet_libraries():
        set_up_logging("text", level=logging.WARNING)
        flow = checked_flow(agent)
        name = agent_folder(agent).name
        settings = serving.settings(TelephonySettings(agents=frozenset({name}), insecure=True, port=0))
        reloading = _reloading(agent, flow, settings) if reload else None
        problems = talk_to(flow, name, settings, Devices(microphone, loudspeaker, half_duplex), reloading)
        for problem in problems:
            typer.echo(f"voiceagent: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


def _reloading(agent: str, flow: Flow, settings: ServerSettings) -> Reloading:
    require_writable(settings.journals)
    spoken = functools.partial(require_spoken, engines=settings.engines)
    return Reloading(agent, flow, kept=KeptVersions(settings.journals), clock=SystemClock(), require=spoken)


def talk_to(
    flow: Flow, name: str, settings: ServerSettings, devices: Devices, reloading: Reloading | None = None
) -> list[str]:
    """Hold a call with whoever sits here, and return what of it went wrong. Raises OperatorError, PhaseError.

    With `reloading` what is saved of the agent meanwhile is taken and printed.
    """
    require_spoken(flow, settings.engines)
    require_writable(settings.journals)
    read_zone(settings.time_zone)
    console = plain_console()
    call = CallId(f"talk-{secrets.token_hex(6)}")
    gone = asyncio.run(
        _talk(flow, call, name=name, settings=settings, devices=devices, console=console, reloading=reloading)
    )
    journal = settings.journals / journal_name(call)
    if not journal.exists():
        return ["the call was broken off before it had begun"]
    console.print(f"journal: {journal}", highlight=False, soft_wrap=True)
    console.print(f"look at it: voiceagent report {journal}", highlight=False, soft_wrap=True)
    lost = [f"{gone}: the call has ended, and all of it is in its journal"] if gone is not None else []
    return [*lost, *problems_of(inspect_journal(read_journal(journal)))]


async def _talk(
    flow: Flow,
    call: CallId,
    *,
    name: str,
    settings: ServerSettings,
    devices: Devices,
    console: Console,
    reloading: Reloading | None,
) -> str | None:
    """Hold a call; return why a device was lost in it."""
    clock = SystemClock()
    lines = CallLines(console)
    async with AsyncExitStack() as closing:
        shown: list[Observer] = []

        def happened(call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
            for show in shown:
                show(call, now_ms, event, outgoing)

        sound = await closing.enter_async_context(opened_sound(devices.microphone, devices.loudspeaker, agent=name))
        console.print(f"microphone: {sound.microphone.name}; loudspeaker: {sound.loudspeaker.name}", highlight=False)
        with _status(console, "loading what hears and speaks"):
            store = await open_store("memory", clock=clock)
            closing.push_async_callback(store.close)
            services = await closing.enter_async_context(
                call_services(settings, store=store, clock=clock, observers=(happened,))
            )
            await render_ahead(flow, services.engines.synthesizer, services.learned, sound.streams.audio)
        with _status(console, "listening for the loudspeaker"):
            echo = await sound.settle_echo(clock, half_duplex=devices.half_duplex)
        console.print(echo, highlight=False)
        wanting = () if settings.service.url else tools_that_want_a_service(flow)
        if wanting:
            console.print(f"no service is named (--service-url): {', '.join(wanting)} will fail", highlight=False)
        leg = MicrophoneLeg(LegId("microphone"), sound.streams.audio, clock)
        board = Dashboard(name, leg, echo, lines.answered_ms, clock.now_ms)
        shown += [lines.observe, board.observe]
        incoming = IncomingCall(call, leg, name, None, None, {})
        session = Session(flow, incoming, services, time_zone=settings.time_zone)
        sound.streams.use(leg)
        if reloading is not None:
            await closing.enter_async_context(reloading.following(session.take, lines.saved))
        with _live(console, board):
            await _held(session, board)
        return leg.gone


async def _held(session: Session, board: Dashboard) -> None:
    """Hold a call, from its first word to its last."""
    running = asyncio.create_task(session.run())

    def signalled() -> None:
        if board.ending:
            running.cancel()  # the goodbye is not waited for
        board.ending = True
        session.stop()

    with on_interrupts(signalled), suppress(asyncio.CancelledError):
        await running


@contextmanager
def _live(console: Console, board: Dashboard) -> Generator[None]:
    """Draw the dashboard below what is printed, where somebody sees it."""
    if not console.is_terminal:
        yield
        return
    with Live(board, console=console, refresh_per_second=_DRAWN_PER_S, transient=True):
        yield


@contextmanager
def _status(console: Console, what: str) -> Generator[None]:
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
