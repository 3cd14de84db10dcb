"""`voiceagent chat`: a call by typing, for whoever writes prompts."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Annotated

import typer

from voiceagent.cli.agent_server import ServerSettings, broker_of
from voiceagent.cli.agents import checked_flow, tools_that_want_a_service
from voiceagent.cli.chatting.desk import Desk
from voiceagent.cli.chatting.paper import JsonPaper, Paper, PersonPaper
from voiceagent.cli.chatting.questions import LastTurn
from voiceagent.cli.chatting.story import Story
from voiceagent.cli.chatting.typed_call import TypedCall
from voiceagent.cli.chatting.typed_lines import TypedLines
from voiceagent.cli.folders import require_writable
from voiceagent.cli.interrupts import on_interrupts
from voiceagent.cli.serving_options import ServingOptions, with_serving_options
from voiceagent.cli.synthetic_call import problems_of
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.devices.keyboard import TypedRecognizer, TypedVoiceActivity
from voiceagent.devices.typing_clock import TypingClock
from voiceagent.logs import set_up_logging
from voiceagent.models.choose import model_from
from voiceagent.ports import Engines
from voiceagent.runtime.agent_versions import KeptVersions
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.loader import agent_folder
from voiceagent.runtime.reloading import Reloading
from voiceagent.runtime.session import Observer, Services
from voiceagent.spec.flow import Flow
from voiceagent.speech.null import NullSynthesizer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool
from voiceagent.zones import read_zone

__all__ = ["chat"]

_NOT_FOR_TYPING = ("engines", "vad", "speech_model", "state")


@functools.partial(with_serving_options, without=_NOT_FOR_TYPING)
def chat(
    agent: Annotated[str, typer.Argument(help="Folder of an agent, or the name of one below phases/.")],
    serving: ServingOptions,
    reload: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--reload", help="Go on with the agent as it is saved, from the next phase on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happens for machines, an object a line.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Call an agent by typing: what serves callers, without the sound. /help tells what may be asked meanwhile.

    Time stands still while it is your turn, so that nobody asks whether you are still there; /wait 10 lets it pass.
    With --reload phases, prompts and tools that you save are checked and shown, and hold from the next entry into a
    phase; what does not pass is shown with file and line, and the agent is as it was.

    Ctrl-D and Ctrl-C end the call, with a goodbye; a second Ctrl-C breaks it off.

    Exit code 0: the call came to its end. 1: it could not be begun, or something of it broke.

    Example: voiceagent chat shop

    Example, for a script: printf 'What are your hours?\\n/why\\n' | voiceagent chat shop --json
    """
    set_up_logging("text", level=logging.WARNING)
    echoes = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    paper = JsonPaper() if as_json else PersonPaper(echoes=echoes)
    flow = checked_flow(agent)
    name = agent_folder(agent).name
    settings = serving.settings(TelephonySettings(agents=frozenset({name}), insecure=True, port=0))
    require_writable(settings.journals)
    read_zone(settings.time_zone)
    call = CallId(f"chat-{secrets.token_hex(6)}")
    reloading = _reloading(agent, flow, settings) if reload else None
    asyncio.run(_chat(flow, call, name=name, settings=settings, paper=paper, reloading=reloading))
    journal = settings.journals / journal_name(call)
    problems = problems_of(inspect_journal(read_journal(journal)))
    paper.recorded(journal, problems)
    for problem in problems:
        typer.echo(f"voiceagent: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


def _reloading(agent: str, flow: Flow, settings: ServerSettings) -> Reloading:
    return Reloading(agent, flow, kept=KeptVersions(settings.journals), clock=SystemClock())


async def _chat(
    flow: Flow, call: CallId, *, name: str, settings: ServerSettings, paper: Paper, reloading: Reloading | None
) -> None:
    """Hold a call."""
    clock = TypingClock(SystemClock())
    story, last = Story(), LastTurn()

    def happened(_call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        last.happened(event, outgoing)
        try:
            for told in story.happened(now_ms, event, outgoing):
                paper.tell(told)
        except BrokenPipeError:
            typed.end()  # nobody reads along any more

    async with _services(settings, clock, happened) as services:
        wanting = () if settings.service.url else tools_that_want_a_service(flow)
        if wanting:
            paper.note(f"no service is named (--service-url): {', '.join(wanting)} will fail")
        typed = TypedCall(flow, services, clock, agent=name, call=call, time_zone=settings.time_zone)
        async with reloading.following(typed.take, paper.saved) if reloading is not None else nullcontext():
            await _held(typed, Desk(typed, last, paper), paper)


async def _held(call: TypedCall, desk: Desk, paper: Paper) -> None:
    """Hold a call, from its first word to its last. Raises BrokenPipeError where nobody reads along any more."""
    lines = TypedLines(sys.stdin.fileno() if sys.stdin is not None else None)
    enough = asyncio.Event()
    running = asyncio.create_task(call.run())

    def signalled() -> None:
        if enough.is_set():
            running.cancel()  # the goodbye is not waited for
        enough.set()
        call.end()

    with on_interrupts(signalled):
        try:
            await _conversed(call, desk, paper, lines=lines, enough=enough)
        finally:
            call.end()
            await asyncio.wait((running,))


async def _conversed(call: TypedCall, desk: Desk, paper: Paper, *, lines: TypedLines, enough: asyncio.Event) -> None:
    await call.until_idle()
    while not call.over:
        paper.invite()
        line = await _next(lines, enough)
        if line is None:
            call.end()
            await call.until_idle()
        else:
            paper.typed(line.strip())
            await desk.take(line)


async def _next(lines: TypedLines, enough: asyncio.Event) -> str | None:
    """Return the next line; None where there is none, or nobody wants one any more."""
    reading, stopping = asyncio.create_task(lines.next()), asyncio.create_task(enough.wait())
    await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if reading.done() and not enough.is_set():
        return reading.result()
    reading.cancel()
    return None


@asynccontextmanager
async def _services(settings: ServerSettings, clock: TypingClock, observer: Observer) -> AsyncGenerator[Services]:
    """Put together what a call needs that is not heard; only the call itself is on the clock that stands still."""
    real = SystemClock()
    async with AsyncExitStack() as closing:
        # In a thread: a provider's SDK takes half a second to import.
        models = await asyncio.to_thread(model_from, settings.model, clock=real, access=settings.access)
        closing.push_async_callback(models.close)
        pool = await asyncio.to_thread(ConnectionPool, internal=settings.service.internal, clock=real)
        closing.push_async_callback(pool.close)
        broker = await asyncio.to_thread(broker_of, settings.service, pool, real)
        journals = JournalStore(settings.journals)
        closing.push_async_callback(journals.close)
        tools = ToolExecutor(clock=clock, broker=broker, pool=pool, service_url=settings.service.url)
        closing.push_async_callback(tools.close)
        yield Services(
            engines=Engines(TypedVoiceActivity(), TypedRecognizer(), NullSynthesizer()),
            models=models,
            tools=tools,
            journals=journals,
            clock=clock,
            learned=Learned(),
            observers=(observer,),
        )
