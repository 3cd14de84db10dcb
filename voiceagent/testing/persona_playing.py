"""Playing conversations whose caller is a persona: a model calls, the agent answers, and a model judges."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from time import perf_counter

from voiceagent.errors import ScriptError, VoiceAgentError
from voiceagent.ports import ReplyModel
from voiceagent.spec.flow import Flow
from voiceagent.testing.call_script import CallScript
from voiceagent.testing.expectations import Mismatch, Stretch, mismatches
from voiceagent.testing.judge import JUDGE_FLOW, judge
from voiceagent.testing.live_models import LiveModels
from voiceagent.testing.persona import CALLER_FLOW, Persona, PersonaCaller
from voiceagent.testing.playing import CallFailure, CallOutcome, CallPlayer, Played
from voiceagent.testing.readable_timeline import timeline_of
from voiceagent.testing.simulated_call import SimulatedCall

__all__ = ["PersonaPlayer"]


@dataclass(frozen=True, slots=True)
class PersonaPlayer:
    """Plays personas with the agent of a player; whatever speaks for the agent there speaks here."""

    player: CallPlayer
    models: LiveModels
    """Of caller and judge."""

    def play(self, script: CallScript, *, seed: int | None = None) -> CallOutcome:
        """Play a conversation once, and have it judged. Raises ScriptError for one that has no persona."""
        if script.persona is None:
            raise ScriptError("no persona calls in this conversation", source=script.source)
        began = perf_counter()
        seed = script.seed if seed is None else seed
        call = self.player.place(script, "core", seed)
        try:
            failure = self._failure(script, script.persona, call, seed)
        finally:
            call.close()
        return CallOutcome(script, failure, Played(1, call.now_ms, perf_counter() - began))

    def _failure(self, script: CallScript, persona: Persona, call: SimulatedCall, seed: int) -> CallFailure | None:
        try:
            call.start(caller_number=script.caller_number, time_zone=script.time_zone, unix_ms=script.unix_ms)
            self._talk(script, persona, call)
            found = mismatches(script.in_the_end, Stretch(call, from_ms=0, from_entry=0))
            found += self._judged(script, persona, call)
        except VoiceAgentError as exc:
            found = [Mismatch("the call", "to go on", str(exc), None)]
        except Exception as exc:  # noqa: BLE001 - a call's outermost frame: what broke it is told like any failure
            frame = traceback.extract_tb(exc.__traceback__)[-1]
            problem = f"{type(exc).__name__}: {exc}, at {frame.filename}:{frame.lineno}"
            found = [Mismatch("the call", "to go on", problem, None)]
        if not found:
            difference = call.replay_difference()
            found = [Mismatch("the journal", "to replay", difference, None)] if difference else []
        if not found:
            return None
        return CallFailure(
            turn=0,
            act="a persona calls",
            mismatches=tuple(found),
            timeline=tuple(timeline_of(call)),
            source=script.source,
            seed=seed,
        )

    def _talk(self, script: CallScript, persona: Persona, call: SimulatedCall) -> None:
        """Let the caller speak until somebody hangs up."""
        caller = PersonaCaller(persona, self._open(CALLER_FLOW, script), script.unix_ms)
        heard_ms = 0
        for _ in range(persona.at_most_turns):
            heard, heard_ms = call.voice.heard(heard_ms, call.now_ms), call.now_ms
            turn = caller.answer(heard)
            if turn.words:
                call.says(turn.words)
            if turn.hangs_up or call.ended:
                break
        if not call.ended:
            call.hangs_up()
        call.until_quiet()

    def _judged(self, script: CallScript, persona: Persona, call: SimulatedCall) -> list[Mismatch]:
        transcript = call.conversation.transcript.messages()
        verdict = judge(persona.intent, transcript, self._open(JUDGE_FLOW, script), unix_ms=script.unix_ms)
        return [] if verdict.decision == "pass" else [Mismatch("the judge", persona.intent, str(verdict), None)]

    def _open(self, flow: Flow, script: CallScript) -> ReplyModel:
        return self.models.open(flow, locale=flow.locale, time_zone=script.time_zone)
