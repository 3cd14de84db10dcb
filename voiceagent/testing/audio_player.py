"""Playing scripted conversations in real audio: real time, local engines, a telephone call over a real socket."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import cast

from voiceagent.audio import mulaw_to_pcm16, write_stereo_wav
from voiceagent.console.lines import open_lines
from voiceagent.core.events import HostEvent
from voiceagent.errors import ScriptError
from voiceagent.language import language_for
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import MULAW_8K, Engines, IncomingCall, ReplyModel
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.render_ahead import render_ahead
from voiceagent.runtime.replay import replay
from voiceagent.runtime.session import Services, Session
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import TransferTo
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing.audio_call import AudioCall
from voiceagent.testing.audio_caller import AudioCaller
from voiceagent.testing.audio_plan import sounds_of, why_not
from voiceagent.testing.call_script import CallScript
from voiceagent.testing.caller_audio import CallerAudio
from voiceagent.testing.carrier import TwilioCarrier
from voiceagent.testing.expectations import Mismatch
from voiceagent.testing.playing import CallFailure
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_model import PacedModel
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.simulated_world import ScriptedTool
from voiceagent.testing.stalls import Stalls
from voiceagent.testing.tool_answers import ToolAnswers
from voiceagent.tools.executor import ToolExecutor

__all__ = ["AudioOutcome", "AudioPlayer"]

_AGENT = "agent"
_ENDS_WITHIN_S = 30
"""Writes under way and the leg have bounded time after a call; this is beyond it."""


@dataclass(frozen=True, slots=True)
class AudioOutcome:
    """What came of one conversation in real audio."""

    script: CallScript
    failure: CallFailure | None
    skipped: str | None
    """Why it was not played."""
    lasted_ms: int = 0
    took_s: float = 0.0


@dataclass(slots=True)
class AudioPlayer:
    """Plays conversations with the agent of one flow, each as a telephone call to a server of its own."""

    flow: Flow
    engines: Engines
    """Shared by all calls, and by agent and caller; whoever opened them closes them."""
    journals: Path
    """Folder for the journals of all calls, under their ids; it must exist."""
    guided: GuidedModels = field(default_factory=GuidedModels)
    learned: Learned = field(default_factory=Learned)

    async def play(self, script: CallScript, *, record_to: Path | None = None) -> AudioOutcome:
        """Place the call and see it to its end, in bounded time.

        `record_to` is written (stereo, 8 kHz, caller left, agent right), the journal beside it, with the suffix
        `.jsonl`. Whatever breaks the call is a failure, not an error.
        """
        languages = [self.flow.language_of(phase) for phase in self.flow.phases]
        foreign = [locale for locale in languages if language_for(locale).locale not in self.engines.languages]
        reason = why_not(script, locale=(*foreign, self.flow.locale)[0])
        if reason is not None:
            return AudioOutcome(script, None, reason)
        began = perf_counter()
        call = _PlacedCall(self, script)
        try:
            failure = await call.place(record_to)
        except Exception as exc:  # noqa: BLE001 - a call's outermost frame: what broke it is told like any failure
            failure = _broken(script, f"{type(exc).__name__}: {exc}")
        return AudioOutcome(script, failure, None, call.lasted_ms, perf_counter() - began)


class _PlacedCall:
    """One conversation as a call: a caller, a carrier and a server."""

    def __init__(self, player: AudioPlayer, script: CallScript) -> None:
        self._player = player
        self._script = script
        self.lasted_ms = 0

    async def place(self, record_to: Path | None) -> CallFailure | None:
        audio = CallerAudio(self._player.engines.synthesizer)
        turns = self._script.turns
        utterances = [await audio.utterance(sounds_of(turn.act), name=str(turn.act)) for turn in turns]
        server = _ServerOfOneCall(self._player, self._script, journals=self._player.journals)
        caller = AudioCaller(self._script, server.call, utterances, post=server.post)
        async with server.serving() as url:
            parameters = {"caller": self._script.caller_number}
            carrier = TwilioCarrier(url, caller=caller, parameters=parameters, keep_audio=record_to is not None)
            carried = await carrier.carry()
            await server.over()
        self.lasted_ms = carried.closed.at_ms
        caller.finish()
        if record_to is not None:
            await asyncio.to_thread(_record, carrier.heard, server.journal, record_to)
        return caller.failure or await asyncio.to_thread(server.replay_failure)


class _ServerOfOneCall:
    """A server on a free port of this machine: real but for its tools, which a script answers."""

    def __init__(self, player: AudioPlayer, script: CallScript, *, journals: Path) -> None:
        self._player = player
        self._script = script
        self._journals = journals
        self._clock = _ClockOfScript(script.unix_ms)
        answers: Mapping[str, ScriptedTool] = {
            name: tool.for_call(script.seed) if isinstance(tool, ToolAnswers) else tool
            for name, tool in script.tools.items()
        }
        self._tools = SimulatedTools(player.flow, answers, clock=self._clock, stalls=Stalls(), failed=self._fail)
        self._session: Session | None = None
        self._over = asyncio.Event()
        self.call = AudioCall(player.flow, self._tools, self._clock)

    def _fail(self, problem: Exception) -> None:
        self.call.problem = self.call.problem or problem

    def post(self, event: HostEvent) -> None:
        """Let something happen to the call. Raises ScriptError before there is one."""
        if self._session is None:
            raise ScriptError("the agent has not taken the call")
        self._session.post(event)

    async def over(self) -> None:
        """Return when the call is over, or was never taken, in bounded time."""
        if self._session is not None:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await self._over.wait()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        """Serve until the block is left; gives the media URL."""
        flow, engines = self._player.flow, self._player.engines
        settings = TelephonySettings(
            agents=frozenset({_AGENT}), insecure=True, port=0, transfer_targets=_numbers_of(flow)
        )
        async with AsyncExitStack() as closing:
            journals = JournalStore(self._journals)
            closing.push_async_callback(journals.close)
            closing.push_async_callback(self._tools.close)
            services = Services(
                engines=engines,
                models=self._model(),
                # It has the methods that a session uses, and is no subclass: what it inherited would be real.
                tools=cast("ToolExecutor", self._tools),
                journals=journals,
                clock=self._clock,
                learned=self._player.learned,
                observers=(self.call.observe,),
            )
            await render_ahead(flow, engines.synthesizer, self._player.learned, MULAW_8K)

            async def take(incoming: IncomingCall) -> None:
                self._session = Session(flow, incoming, services, time_zone=self._script.time_zone)
                try:
                    await self._session.run()
                finally:
                    self._over.set()

            lines = open_lines(settings, handler=take, healthy=lambda: engines.healthy, clock=self._clock)
            _, port = await closing.enter_async_context(lines)
            yield f"ws://127.0.0.1:{port}/media/twilio/{_AGENT}"

    def _model(self) -> PacedModel:
        flow, script = self._player.flow, self._script
        models = script.model or self._player.guided
        model: ModelOfScript | ReplyModel = (
            models() if callable(models) else models.open(flow, locale=flow.locale, time_zone=script.time_zone)
        )
        return PacedModel(
            model,
            script.timing,
            faults=script.faults,
            stalls=Stalls(),
            language=language_for(flow.locale),
            failed=self._fail,
        )

    @property
    def journal(self) -> Path | None:
        """Where the journal of the call is; None where it was not taken."""
        return None if self.call.call is None else self._journals / journal_name(self.call.call)

    def replay_failure(self) -> CallFailure | None:
        """Read the journal and replay it; returns what is different, or missing."""
        if self.journal is None:
            return _broken(self._script, "the agent did not take the call")
        journal = read_journal(self.journal)
        if not (journal.complete or journal.handed_over):
            return _broken(self._script, "the journal has no end")
        difference = replay(journal, self._player.flow).difference
        problem = f"the journal replays otherwise: {difference}"
        return None if difference is None else _broken(self._script, problem)


class _ClockOfScript:
    """The computer's clock, with the date of a script; fulfils the `Clock` port."""

    def __init__(self, unix_ms: int) -> None:
        self._system = SystemClock()
        self._ahead_ms = unix_ms - self._system.unix_ms()
        self.now_ms = self._system.now_ms
        self.call_at = self._system.call_at
        self.sleep = self._system.sleep

    def unix_ms(self) -> int:
        """Wall clock of the script: it goes on from what the script says."""
        return self._system.unix_ms() + self._ahead_ms


def _broken(script: CallScript, problem: str) -> CallFailure:
    found = (Mismatch("the call", "to go on", problem, None),)
    return CallFailure(0, "in the end", found, (), script.source, seed=0)


def _numbers_of(flow: Flow) -> dict[str, str]:
    """Return a number for everybody whom the flow transfers callers to; nobody dials it."""
    targets = [phase.ends.target for phase in flow.phases if isinstance(phase.ends, TransferTo)]
    return {target: f"+1555010{number:04}" for number, target in enumerate(dict.fromkeys(targets))}


def _record(heard: tuple[bytes, bytes], journal: Path | None, path: Path) -> None:
    caller, agent = heard
    write_stereo_wav(path, mulaw_to_pcm16(caller), mulaw_to_pcm16(agent), rate_hz=MULAW_8K.rate_hz)
    if journal is not None:
        shutil.copy(journal, path.with_suffix(".jsonl"))
