"""The fault laboratory: one call in which things go wrong by plan, and everything that should hold all the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing.arrivals import Arrivals
from voiceagent.testing.fault_plan import Deed, FaultKind, FaultPlan, LabLevel
from voiceagent.testing.heard_invariants import HeardInvariants
from voiceagent.testing.invariants import Broken, Invariants, field_of
from voiceagent.testing.lab_agent import LAB, NUMBER, PIN
from voiceagent.testing.lab_far_side import LabBank, LabModel
from voiceagent.testing.runtime_call import RuntimeCall
from voiceagent.testing.schedule import Schedule, Swap
from voiceagent.testing.scripted_call import ScriptedCall

__all__ = ["LabCall", "play"]

_OVER_WITHIN_MS = 180_000
_PAUSE_MS = 300
_BACK_WITHIN_MS = 20_000
"""Longer than a carrier takes to connect a call again, and than a session takes to let go of it."""
_WITHIN_MS = {"core": 0, "runtime": 60}
"""How exactly it is known what was heard: a frame or two, and what a schedule is late."""
_PRIVATE = ("read_balance", "read_statement")
_EFFECTS = {tool.name: tool.effect for phase in LAB.phases for tool in LAB.tools_of(phase)}


@dataclass(slots=True)
class LabCall:
    """What came of one call."""

    plan: FaultPlan
    level: LabLevel
    broken: list[Broken] = field(default_factory=list[Broken])
    phases: Counter[str] = field(default_factory=Counter[str])
    struck: Counter[str] = field(default_factory=Counter[str])
    """Which faults really happened."""
    did: Counter[str] = field(default_factory=Counter[str])
    """What was begun, finished or stopped: a call in which nothing happens proves nothing."""
    steps: int = 0
    order: tuple[Swap, ...] | tuple[int, ...] = ()
    """What came in another order than usual."""


def play(plan: FaultPlan, level: LabLevel, *, replay: bool = True) -> LabCall:
    """Play a call to its end; with `replay` its record has to give the same effects again, byte for byte."""
    return _Run(plan, level).played(replay=replay)


class _Run:
    """One call, while it is played."""

    def __init__(self, plan: FaultPlan, level: LabLevel) -> None:
        self.plan = plan
        self.level: LabLevel = level
        self.broken: list[Broken] = []
        self.bank = LabBank(plan, level, customer=self._customer)
        self._invariants: Invariants | None = None
        self._told = 0
        self._said: list[str] = []
        self._secrets = [NUMBER, PIN]
        faults, tools, model = plan.of_the_world, self.bank.tools(self._may_run), LabModel(plan)
        self.call: ScriptedCall | RuntimeCall
        if level == "core":
            swaps = None if plan.order is None else [swap for swap in plan.order if isinstance(swap, Swap)]
            schedule = Schedule(plan.seed, only=swaps)
            self.call = ScriptedCall(
                LAB,
                model=model,
                tools=tools,
                timing=plan.timing,
                faults=faults,
                schedule=schedule,
                watch=self._step,
            )
        else:
            late = None if plan.order is None else tuple(number for number in plan.order if isinstance(number, int))
            self.call = RuntimeCall(
                LAB,
                model=model,
                tools=tools,
                timing=plan.timing,
                faults=faults,
                schedule=Arrivals(plan.seed, only=late),
                watch=self._step,
            )
        self._heard = HeardInvariants(self.call, unnoticed=(*plan.at("voice_missed"), *plan.at("voice_late")))

    # --- playing -----------------------------------------------------------------------------------------------------

    def played(self, *, replay: bool) -> LabCall:
        """Play it to its end."""
        try:
            self._play()
            self._end(replay=replay)
        except Exception as exc:  # noqa: BLE001 - whatever is raised out of a call is what was looked for
            self._break("nothing is raised", f"{type(exc).__name__}: {exc}")
        finally:
            self.call.close()
        return LabCall(
            self.plan,
            self.level,
            self._all_broken(),
            phases=Counter(dict.fromkeys(self.call.record.phases, 1)),
            struck=Counter[str](fault.kind for fault in self.plan.faults if fault.at <= self._chances(fault.kind)),
            did=self._did(),
            steps=len(self.call.journal),
            order=self._order(),
        )

    def _play(self) -> None:
        call = self.call.start()
        for deed in self.plan.deeds:
            if deed.after_ms < 0:
                call.until_quiet()
                self._quiet()
            else:
                call.run_ms(deed.after_ms)
            if call.ended or self._all_broken():
                break
            self._do(deed)
        call.until_quiet()
        self._quiet()

    def _quiet(self) -> None:
        # Of what was being said when the line broke only whole clauses count as heard.
        if not self.plan.at("synthesis_fails") and not self.plan.at("line_breaks"):
            self._heard.quiet(within_ms=_WITHIN_MS[self.level])

    def _do(self, deed: Deed) -> None:
        match deed.what:
            case "says":
                # A shorter pause no voice detector takes for one.
                self.call.run_until(max(self.call.now_ms, self.call.caller.ends_ms + _PAUSE_MS))
                self._said.append(deed.words)
                self._is_it_secret(deed.words.replace(" ", ""))
                self.call.says(deed.words, then_wait=False)
            case "coughs":
                self.call.run_until(max(self.call.now_ms, self.call.caller.ends_ms + _PAUSE_MS))
                self.call.coughs()
            case "presses":
                self._is_it_secret(deed.words)
                self.call.presses(deed.words, then_wait=False)
            case "host":
                self.call.host_says(deed.words, then_wait=False)

    def _hang_up(self) -> None:
        """The caller hangs up, once they are connected: the line may break until the last moment."""
        for _ in range(1 + len(self.plan.at("line_breaks"))):
            if self.call.conversation.state.suspended:
                self.call.run_ms(_BACK_WITHIN_MS)
            if not self.call.ended:
                self.call.hangs_up()

    def _is_it_secret(self, digits: str) -> None:
        """Bare numbers where nobody asks for any are no secret."""
        asked_for = self.call.phase == "identify" and not self.plan.at("swap_fails")
        if not asked_for and digits in self._secrets:
            self._secrets.remove(digits)

    def _end(self, *, replay: bool) -> None:
        if self._all_broken():
            return
        call = self.call
        self._hang_up()
        difference = None
        if isinstance(call, ScriptedCall):
            call.run_ms(_OVER_WITHIN_MS)
            difference = call.replay_difference() if replay else None
        else:
            written = not call.server.journals.broken
            difference = call.end(replay=replay and written, written=written)
            if "#" in repr(call.vault):
                self._break("nothing is left", repr(call.vault))
            for at_ms in call.server.recorded_late_ms:
                self._break("what happens is written down first", f"an event was handled before it, at {at_ms} ms")
        if difference is not None:
            self._break("the record is closed and replays", difference)
        if not call.ended:
            self._break("a call comes to its end", "the caller has hung up, and it goes on")
        self._heard.over(" ".join(self._said))

    # --- after every step --------------------------------------------------------------------------------------------

    def _step(self, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        try:
            self._look(now_ms, event, outgoing)
        except Exception as exc:  # noqa: BLE001 - a session goes on without an observer that raises
            self._break("nothing is raised", f"{type(exc).__name__}: {exc}")

    def _look(self, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        if self._invariants is None:
            self._invariants = Invariants(LAB, self.call.conversation)
        self._invariants.conversation = self.call.conversation  # another one goes on after a broken line
        self._invariants.happened(now_ms, event, outgoing)
        self._heard.happened(now_ms, event, outgoing)
        for problem in self._leaks(event, outgoing):
            self._break("nobody else's data, no secret", problem)

    def _leaks(self, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> Iterator[str]:
        texts: list[str] = []
        if isinstance(event, ev.DigitsPressed) and event.digits.isdigit() and self.call.phase == "identify":
            yield f"{event.digits} is pressed in clear"
        match event:
            case ev.TranscriptFinal(text=text) | ev.TranscriptPartial(text=text):
                texts.append(text)
            case ev.ToolFinished(result=result):
                texts.append(str(result))
            case _:
                pass
        served = any(isinstance(out.effect, fx.ServeFromCache) for out in outgoing)
        if served or isinstance(event, ev.ToolFinished | ev.PrefetchFinished | ev.ToolRequested):
            messages = self.call.conversation.transcript.messages()
            yield from self._foreign([message for message in messages if message.number > self._told])
            self._told = max((message.number for message in messages), default=0)
        for out in outgoing:
            match out.effect:
                case fx.AskModel(request=request):
                    texts += [message.text for message in request.history[-8:]]
                case fx.StartTool(arguments=arguments) | fx.Fetch(arguments=arguments):
                    texts.append(str(arguments))
                case fx.Speak(text=text):
                    texts.append(text)
                case _:
                    pass
        for text in texts:
            spaceless = text.replace(" ", "")
            yield from (f"{secret} in {text}" for secret in self._secrets if secret in spaceless)

    def _foreign(self, newest: list[fx.Message]) -> Iterator[str]:
        for message in newest:
            if message.role == "tool_result" and message.tool in _PRIVATE and not message.failed:
                owner = field_of(cast("JsonValue", json.loads(message.text)), "of")
                if owner is not None and owner != self._customer():
                    yield f"{message.tool} of {owner} for {self._customer()}"

    def _may_run(self, name: str) -> None:
        """A tool runs: at this very moment it has to be permitted."""
        if self.level == "core":
            return  # what the core starts runs at once: it has been looked at
        authority = self.call.conversation.authority
        starts = [
            out
            for _, _, outgoing in self.call.journal
            for out in outgoing
            if isinstance(out.effect, fx.StartTool) and out.effect.tool == name
        ]
        # What is fetched ahead runs between phases as well.
        late = authority.swapping or not starts or starts[-1].epoch != authority.epoch
        if late and name not in _PRIVATE:
            self._break("a tool only in its phase", f"{name} runs in {authority.phase}, and was started before")
        if _EFFECTS[name] != "read" and self.bank.runs.count(name) >= len(starts):
            self._break("a write only once", f"{name} runs again")

    def _customer(self) -> JsonValue:
        return self.call.facts.get("customer")

    def _break(self, invariant: str, what: str) -> None:
        self.broken.append(Broken(invariant, what, self.call.now_ms))

    def _all_broken(self) -> list[Broken]:
        own = self._invariants.broken if self._invariants else []
        return [*own, *self._heard.broken, *self.broken]

    # --- what came of it ---------------------------------------------------------------------------------------------

    def _did(self) -> Counter[str]:
        did: Counter[str] = Counter()
        did["connected again"] = sum(isinstance(event, ev.CallResumed) for _, event, _ in self.call.journal)
        for out in (out for _, _, outgoing in self.call.journal for out in outgoing):
            match out.effect:
                case fx.StartTool(tool=name):
                    did[f"{_EFFECTS[name]} tools started"] += 1
                case fx.Fetch():
                    did["fetched ahead"] += 1
                case fx.ServeFromCache():
                    did["served from the cache"] += 1
                case fx.StopPlayout():
                    did["interruptions"] += 1
                case fx.Speak(kind="filler", clause=0):
                    did["fillers"] += 1
                case fx.Speak(kind="read_back"):
                    did["read-backs"] += 1
                case fx.ReportProblem("tool refused"):
                    did["tools refused"] += 1
                case _:
                    pass
        return did

    def _order(self) -> tuple[Swap, ...] | tuple[int, ...]:
        if isinstance(self.call, ScriptedCall):
            return tuple(self.call.deviations)
        return tuple(late.number for late in self.call.deviations)

    def _chances(self, kind: FaultKind) -> int:
        """How often this could have happened: its number counts up to here."""
        record = self.call.record
        match kind.partition("_")[0]:
            case "model":
                return len(record.effects(fx.AskModel))
            case "tool":
                return len(self.bank.runs)
            case "transcript":
                return len(record.effects(fx.Transcribe))
            case "voice":
                return len(self.call.caller.spells)
            case "synthesis":
                return sum(1 for speak in record.effects(fx.Speak) if speak.text)
            case "swap":
                return len(record.phases)
            case "mark":
                return self.call.server.line.marks_heard if isinstance(self.call, RuntimeCall) else 0
            case "disk":
                return self.call.server.journals.syncs if isinstance(self.call, RuntimeCall) else 0
            case _:
                return len(self.call.journal)
