"""Playing scripted conversations: on the core and through the runtime, each under several schedules.

Every journal is replayed, and the first failure is explained.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal

from voiceagent.errors import AuthorError, ScriptError, Source
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import ReplyModel
from voiceagent.spec.flow import Flow
from voiceagent.testing.arrivals import Arrivals, Late
from voiceagent.testing.call_script import (
    AfterPause,
    At,
    CallScript,
    CallTurn,
    Coughs,
    DuringAnswer,
    DuringFiller,
    HangsUp,
    HostSays,
    MakesNoise,
    Presses,
    Says,
    StaysSilent,
    Waits,
    WhenHeard,
    WhenToolStarts,
)
from voiceagent.testing.expectations import Mismatch, Stretch, mismatches
from voiceagent.testing.live_models import LiveModels
from voiceagent.testing.promises import broken_promises, history_as_heard
from voiceagent.testing.readable_timeline import timeline_of
from voiceagent.testing.runtime_call import RuntimeCall
from voiceagent.testing.schedule import PLAIN_SEED, Schedule, Swap, shrink
from voiceagent.testing.scripted_call import ScriptedCall
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_call import SimulatedCall
from voiceagent.testing.simulated_provider import ProviderFaults, SimulatedProvider
from voiceagent.testing.simulated_world import ScriptedTool
from voiceagent.testing.tool_answers import ToolAnswers

__all__ = [
    "BEFORE_MS",
    "CallFailure",
    "CallOutcome",
    "CallPlayer",
    "Level",
    "Played",
    "VoiceKind",
    "not_for",
    "refuse_for_the_runtime",
]

VoiceKind = Literal["cascade", "in_place", "new_session"]
"""A cascade of engines; or a simulated speech model whose live session is changed, or replaced, at every swap."""
_FAULTS_OF_ENGINES = ("transcript_fails", "transcript_stalls", "synthesis_fails", "swap_fails")
Level = Literal["core", "runtime"]
"""On the core alone, or through the runtime."""
Deviation = Swap | Late
"""What makes a schedule differ from the plain order."""

_TRIES: Mapping[Level, int] = {"core": 200, "runtime": 150}
"""How often a failing call is played again at most to find out what it takes."""
_CARRIER_KNOWS_MS: Mapping[Level, int] = {"core": 0, "runtime": 60}
"""How exactly it is known what was heard: a frame or two, and what a schedule is late."""
BEFORE_MS = 4_000
"""How much of the time before the failing turn the timeline shows."""


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Where and how a conversation went another way than expected."""

    turn: int
    """Number of the turn, from 1; 0 for the whole call."""
    act: str
    mismatches: tuple[Mismatch, ...]
    timeline: tuple[str, ...]
    source: Source | None
    seed: int
    level: Level = "core"
    deviations: tuple[Deviation, ...] = ()
    """What must overtake what, or come late, for it to fail; nothing: it fails in the plain order too."""
    replays: bool = True
    """Whether the journal gives the same effects again: nobody knows beforehand that it will not."""


@dataclass(frozen=True, slots=True)
class Played:
    """How much of a conversation was played in one way."""

    schedules: int = 0
    simulated_ms: int = 0
    took_s: float = 0.0

    def __add__(self, other: Played) -> Played:
        return Played(
            self.schedules + other.schedules, self.simulated_ms + other.simulated_ms, self.took_s + other.took_s
        )


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of one scripted conversation."""

    script: CallScript
    failure: CallFailure | None
    core: Played
    runtime: Played = Played()

    @property
    def passed(self) -> bool:
        """Whether it went as expected; one that is known to fail must fail, and its journal replays all the same."""
        if self.failure is None:
            return self.script.xfail is None
        return self.script.xfail is not None and self.failure.replays


@dataclass(slots=True)
class CallPlayer:
    """Plays conversations with the agent of one flow."""

    flow: Flow
    guided: GuidedModels = field(default_factory=GuidedModels)
    """Shared by all calls: what it has learned of a phase is kept."""
    live: LiveModels | None = None
    """Speaks instead of the models of all scripts."""
    voice: VoiceKind = "cascade"
    """What hears and speaks. A speech model, through the runtime only, says what the scripts' models say."""

    def play(self, script: CallScript, *, seed: int | None = None, schedules: int = 1, runtime: int = 0) -> CallOutcome:
        """Play a conversation under the schedules `seed`, `seed` + 1, …, up to the first that fails.

        It is played on the core under `schedules` of them, then through the runtime under `runtime`. Without a seed the
        script's own is the first; 0 is the plain order. Raises ScriptError for what the runtime cannot play, and for a
        persona, which `PersonaPlayer` plays.
        """
        if schedules < 1:
            raise ValueError("a conversation that is not played at all proves nothing")
        if script.persona is not None:
            raise ScriptError("a persona needs a model that plays it", source=script.source)
        if (reason := not_for(script, self.voice)) is not None:
            raise ScriptError(reason, source=script.source)
        seed = script.seed if seed is None else seed
        if self.voice != "cascade":
            failure, spoken = self._played(script, "runtime", range(seed, seed + max(runtime, 1)))
            return CallOutcome(script, failure, Played(), spoken)
        if runtime:
            refuse_for_the_runtime(script)
        failure, core = self._played(script, "core", range(seed, seed + schedules))
        if failure is not None or not runtime:
            return CallOutcome(script, failure, core)
        failure, through_the_runtime = self._played(script, "runtime", range(seed, seed + runtime))
        return CallOutcome(script, failure, core, through_the_runtime)

    def _played(self, script: CallScript, level: Level, seeds: range) -> tuple[CallFailure | None, Played]:
        """Play it under these schedules, up to the first that fails."""
        played = Played()
        for seed in seeds:
            began = perf_counter()
            run = _Run(self, script, level, seed)
            failure = run.play()
            played += Played(1, run.call.now_ms, perf_counter() - began)
            if failure is not None:
                if script.xfail is None and self.live is None:  # asked again, a live model says something else
                    failure = self._explained(script, run, failure)
                return failure, played
        return None, played

    def _explained(self, script: CallScript, run: _Run, failure: CallFailure) -> CallFailure:
        """Return the failure under the fewest deviations from the plain order that bring one about."""
        failures: dict[tuple[Deviation, ...], CallFailure] = {}

        def fails(deviations: Sequence[Deviation]) -> bool:
            again = _Run(self, script, failure.level, failure.seed, only=deviations).play()
            if again is not None:
                failures[tuple(deviations)] = again
            return again is not None

        needed = shrink(run.call.deviations, fails, at_most=_TRIES[failure.level])
        return replace(failures.get(needed, failure), deviations=needed)

    def place(
        self, script: CallScript, level: Level, seed: int, *, only: Sequence[Deviation] | None = None
    ) -> SimulatedCall:
        """Return the call of a script, not yet begun, under a schedule or, with `only`, with just this part of it."""
        tools: Mapping[str, ScriptedTool] = {
            name: answers.for_call(seed) if isinstance(answers, ToolAnswers) else answers
            for name, answers in script.tools.items()
        }
        model = self._model(script)
        if level == "core":
            swaps = None if only is None else [swap for swap in only if isinstance(swap, Swap)]
            schedule = Schedule(seed, only=swaps)
            return ScriptedCall(
                self.flow, model=model, tools=tools, timing=script.timing, faults=script.faults, schedule=schedule
            )
        late = None if only is None else tuple(late.number for late in only if isinstance(late, Late))
        arrivals = Arrivals(None if seed == PLAIN_SEED else seed, only=late)
        if self.voice == "cascade":
            return RuntimeCall(
                self.flow, model=model, tools=tools, timing=script.timing, faults=script.faults, schedule=arrivals
            )
        provider = SimulatedProvider(self.flow, model, swap=self.voice, faults=ProviderFaults.like(script.faults))
        behind = self.guided.open(self.flow, locale=self.flow.locale, time_zone=script.time_zone)
        return RuntimeCall(
            self.flow, model=behind, tools=tools, timing=script.timing, schedule=arrivals, provider=provider
        )

    def _model(self, script: CallScript) -> ModelOfScript | ReplyModel:
        models = self.live or script.model or self.guided
        if callable(models):
            return models()
        return models.open(self.flow, locale=self.flow.locale, time_zone=script.time_zone)


def not_for(script: CallScript, voice: VoiceKind) -> str | None:
    """Return why a conversation is not played with this voice; None where it is."""
    if voice == "cascade":
        return None
    if script.cascade_only is not None:
        return f"it is for a cascade only: {script.cascade_only}"
    if script.xfail is not None:
        return f"it is known to fail: {script.xfail}"
    engines = [kind for kind in _FAULTS_OF_ENGINES if getattr(script.faults, kind)]
    return f"a speech model has no {engines[0]}" if engines else None


def refuse_for_the_runtime(script: CallScript) -> None:
    """Raise ScriptError, with file and line, for what can be played on the core only."""
    if script.faults.swap_fails:
        raise ScriptError(
            "through the runtime no swap fails, since a cascade takes over every phase: play this on the core only",
            source=script.fault_lines.get("swap_fails", script.source),
        )


class _Run:
    """One call under one schedule."""

    def __init__(
        self,
        player: CallPlayer,
        script: CallScript,
        level: Level,
        seed: int,
        *,
        only: Sequence[Deviation] | None = None,
    ) -> None:
        self._script = script
        self._level: Level = level
        self._seed = seed
        self._begins: tuple[int, int] = (0, 0)
        """Instant and entry of the journal at which the current turn begins."""
        self._turn = 0
        """The current turn, from 1."""
        self.call = player.place(script, level, seed, only=only)

    def play(self) -> CallFailure | None:
        """Play the call to its end or to the first turn that goes wrong; wherever that is, its journal must replay."""
        failure: CallFailure | None = None
        try:
            failure = self._converse()
            difference = self.call.replay_difference()
        except AuthorError as exc:
            return failure or self._broken(self._turn, str(exc))
        except Exception as exc:  # noqa: BLE001 - a call's outermost frame: what broke it is told like any failure
            frame = traceback.extract_tb(exc.__traceback__)[-1]
            problem = f"{type(exc).__name__}: {exc}, at {frame.filename}:{frame.lineno}"
            return failure or self._broken(self._turn, problem)
        finally:
            self.call.close()
        return failure if difference is None else self._replays_otherwise(difference, failure)

    def _converse(self) -> CallFailure | None:
        self._begin()
        for number in range(1, len(self._script.turns) + 1):
            self._turn = number
            failure = self._take(number)
            if failure is not None:
                return failure
        self.call.until_quiet()
        return self._look_at(self._turn) or self._look_at(0)

    def _begin(self) -> None:
        script = self._script
        self.call.start(
            caller_number=script.caller_number, time_zone=script.time_zone, unix_ms=script.unix_ms, then_wait=False
        )

    def _take(self, number: int) -> CallFailure | None:
        """Wait for a turn's moment, look at what came of the one before, and let the caller act."""
        turn = self._script.turns[number - 1]
        try:
            if not (number == 1 and isinstance(turn.act, Waits)):
                self._wait_for(turn.at)
        except ScriptError as exc:
            before = self._look_at(number - 1) if number > 1 else None
            broken = self._broken(number, str(exc))
            return replace(before, mismatches=(*broken.mismatches, *before.mismatches)) if before else broken
        failure = self._look_at(number - 1) if number > 1 else None
        if failure is not None:
            return failure
        self._begins = (self.call.now_ms, len(self.call.journal))
        if self.call.ended and not isinstance(turn.act, Waits):
            return self._broken(number, "the call is over already")
        self._act(turn)
        return None

    def _wait_for(self, at: At | None) -> None:
        match at:
            case None:
                self.call.until_quiet()
            case WhenHeard(words):
                self.call.until_heard(words)
            case DuringAnswer(ms):
                self.call.until_speaking(ms)
            case DuringFiller(ms):
                self.call.until_speaking(ms, filler=True)
            case WhenToolStarts(tool):
                self.call.until_tool(tool)
            case AfterPause(ms):
                self.call.run_ms(ms)

    def _act(self, turn: CallTurn) -> None:
        match turn.act:
            case Says(text, lasting_ms):
                self.call.says(text, lasting_ms=lasting_ms, then_wait=False)
            case Presses(keys):
                self.call.presses(keys, then_wait=False)
            case StaysSilent(ms):
                self.call.run_ms(ms)
            case Coughs():
                self.call.coughs()
            case MakesNoise(ms):
                self.call.says("", lasting_ms=ms, then_wait=False)
            case HangsUp():
                self.call.hangs_up()
            case HostSays(event):
                self.call.host_says(event, then_wait=False)
            case Waits():
                self.call.until_quiet()

    def _look_at(self, number: int) -> CallFailure | None:
        """Compare a turn, or with 0 the whole call, with what is expected of it and of every call."""
        begins_ms, entry = self._begins if number else (0, 0)
        expect = self._script.turns[number - 1].expect if number else self._script.in_the_end
        found = mismatches(expect, Stretch(self.call, from_ms=begins_ms, from_entry=entry))
        within_ms = _CARRIER_KNOWS_MS[self._level]
        found += (
            history_as_heard(self.call, from_entry=entry, within_ms=within_ms) if number else broken_promises(self.call)
        )
        return self._failure(number, tuple(found)) if found else None

    def _replays_otherwise(self, difference: str, failure: CallFailure | None) -> CallFailure:
        found = Mismatch("the journal", "to give the same effects again, byte for byte", difference, None)
        failure = failure or self._failure(0, ())
        return replace(failure, mismatches=(found, *failure.mismatches), replays=False)

    def _broken(self, number: int, problem: str) -> CallFailure:
        return self._failure(number, (Mismatch("the call", "to go on", problem, None),))

    def _failure(self, number: int, found: tuple[Mismatch, ...]) -> CallFailure:
        turn = self._script.turns[number - 1] if number else None
        from_ms = max(0, self._begins[0] - BEFORE_MS) if number else 0
        return CallFailure(
            turn=number,
            act=str(turn) if turn else "in the end",
            mismatches=found,
            timeline=tuple(timeline_of(self.call, from_ms=from_ms)),
            source=(turn.source if turn else None) or self._script.source,
            seed=self._seed,
            level=self._level,
        )
