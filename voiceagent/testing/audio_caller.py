"""A caller who plays a scripted conversation in real audio: waits for each turn's moment, looks, and acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from voiceagent.core import effects as fx
from voiceagent.core.events import HostEvent
from voiceagent.errors import AuthorError, ScriptError
from voiceagent.testing.audio_call import AudioCall
from voiceagent.testing.audio_plan import in_audio
from voiceagent.testing.call_script import (
    AfterPause,
    At,
    CallScript,
    CallTurn,
    DuringAnswer,
    DuringFiller,
    HangsUp,
    HostSays,
    Presses,
    StaysSilent,
    Waits,
    WhenHeard,
    WhenToolStarts,
)
from voiceagent.testing.carrier import CallerAct, PressKey, PutDown, Say
from voiceagent.testing.expectations import Mismatch, Stretch, mismatches
from voiceagent.testing.playing import BEFORE_MS, CallFailure
from voiceagent.testing.readable_timeline import timeline_of
from voiceagent.testing.timeline import Closed, TimelineEvent
from voiceagent.testing.utterance import Utterance

__all__ = ["AudioCaller"]

_TURN_WITHIN_MS = 30_000
"""A moment that has not come by then does not come."""
_SETTLED_MS = 700
"""After so long nothing more comes of what was said: an ear that has noticed it has told so, and a model answers."""
_KEY_MS = 200


@dataclass(slots=True)
class _Begun:
    """Where the current turn begins."""

    turn: int = 0
    at_ms: int = 0
    entry: int = 0


class AudioCaller:
    """Performs one conversation in one call: the `Caller` of a carrier.

    When the carrier has carried the call and the server has ended it, `finish` looks at what is left.
    """

    def __init__(
        self,
        script: CallScript,
        call: AudioCall,
        utterances: Sequence[Utterance | None],
        *,
        post: Callable[[HostEvent], None],
    ) -> None:
        """`utterances` are what is to be heard of each turn; `post` hands over what the host application says."""
        self._script = script
        self._call = call
        self._utterances = utterances
        self._post = post
        self._acts: list[CallerAct] = []
        self._begun = _Begun()
        self._speaking = False
        self._line_closed = False
        self._story = self._follow()
        self.failure: CallFailure | None = None
        """Where the conversation went another way than expected."""

    # --- the carrier's side ---

    def notice(self, event: TimelineEvent) -> None:
        """Keep in mind what is heard on the line."""
        self._call.notice(event)
        if isinstance(event, Closed):
            self._line_closed = True

    def decide(self, at_ms: int) -> Sequence[CallerAct]:
        """Go on with the script as far as this moment allows."""
        if not at_ms:
            self._call.dial()
        return self._go_on()

    def finish(self) -> None:
        """The call is over: look at what came of it."""
        self._line_closed = True
        for _ in self._story:
            pass

    def _go_on(self) -> Sequence[CallerAct]:
        next(self._story, None)
        acts, self._acts = self._acts, []
        return acts

    # --- the script ---

    def _follow(self) -> Iterator[None]:
        """Go through the script; yields whenever time has to pass."""
        try:
            for number, turn in enumerate(self._script.turns, start=1):
                yield from self._turn(number, turn)
                if self.failure is not None:
                    break
            else:
                yield from self._until(self._quiet, "the call did not come to rest")
                self._look(self._begun.turn)
        except AuthorError as exc:
            self.failure = self._broken(str(exc))
        self._acts.append(PutDown("the script is over"))
        while not self._line_closed:
            yield
        if self.failure is None:
            self._begun = _Begun()
            self._look(0)
        if self.failure is None and self._call.problem is not None:
            self.failure = self._broken(str(self._call.problem))

    def _turn(self, number: int, turn: CallTurn) -> Iterator[None]:
        first_of_all = number == 1 and isinstance(turn.act, Waits)
        if not first_of_all:
            yield from self._wait_for(turn.at)
        if number > 1:
            self._look(number - 1)
        if self.failure is not None:
            return
        self._begun = _Begun(number, self._call.now_ms, len(self._call.journal))
        if self._call.ended and not isinstance(turn.act, Waits):
            raise ScriptError("the call is over already")
        yield from self._act(turn, self._utterances[number - 1])

    def _wait_for(self, at: At | None) -> Iterator[None]:
        call, from_ms, entry = self._call, self._call.now_ms, len(self._call.journal)

        def reached(moment_ms: int | None) -> bool:
            return moment_ms is not None and call.now_ms >= moment_ms

        def speaking(for_ms: int, *, filler: bool) -> bool:
            begins_ms = call.voice.begins(from_ms, filler=filler)
            return begins_ms is not None and reached(begins_ms + for_ms)

        def started(tool: str) -> bool:
            effects = (out.effect for _, _, outgoing in call.journal[entry:] for out in outgoing)
            return any(isinstance(effect, fx.StartTool) and effect.tool == tool for effect in effects)

        match at:
            case None:
                yield from self._until(self._quiet, "the call did not come to rest")
            case WhenHeard(words):
                yield from self._until(
                    lambda: reached(call.voice.end_of(words, from_ms)), f"the agent did not say {words!r}"
                )
            case DuringAnswer(ms):
                yield from self._until(lambda: speaking(ms, filler=False), "the agent said no answer")
            case DuringFiller(ms):
                yield from self._until(lambda: speaking(ms, filler=True), "the agent said no filler")
            case WhenToolStarts(tool):
                yield from self._until(lambda: started(tool), f"the tool {tool!r} was not started")
            case AfterPause(ms):
                yield from self._pass(ms)

    def _act(self, turn: CallTurn, utterance: Utterance | None) -> Iterator[None]:
        if utterance is not None:
            spoken = len(self._call.caller.spells)
            self._acts.append(Say(utterance))
            yield from self._until(lambda: self._said(spoken), "the caller could not finish")
        match turn.act:
            case Presses(keys):
                for key in keys:
                    self._acts.append(PressKey(key))
                    yield from self._pass(_KEY_MS)
            case StaysSilent(ms):
                yield from self._pass(ms)
            case HangsUp():
                self._acts.append(PutDown("the caller hung up"))
                while not self._line_closed:
                    yield
            case HostSays(event):
                self._post(HostEvent(event))
            case Waits():
                yield from self._until(self._quiet, "the call did not come to rest")
            case _:
                pass

    def _said(self, spoken: int) -> bool:
        """Whether the utterance after so many others has been said to its end."""
        voice = self._call.caller.spells[spoken:]
        return bool(voice) and voice[0][1] > voice[0][0]

    # --- time ---

    def _quiet(self) -> bool:
        call = self._call
        since_ms = call.journal[-1][0] if call.journal else call.now_ms
        settled_ms = max(since_ms, call.caller.ends_ms) + _SETTLED_MS
        return call.ended or (call.idle and call.now_ms >= settled_ms)

    def _pass(self, ms: int) -> Iterator[None]:
        end_ms = self._call.now_ms + ms
        while self._call.now_ms < end_ms and not self._over():
            yield

    def _until(self, ready: Callable[[], bool], otherwise: str) -> Iterator[None]:
        """Yield until it is so. Raises ScriptError where that does not come, or what broke the call."""
        end_ms = self._call.now_ms + _TURN_WITHIN_MS
        while not ready():
            if self._over():
                raise ScriptError(f"{otherwise}: the call is over")
            if self._call.now_ms >= end_ms:
                raise ScriptError(f"{otherwise} within {_TURN_WITHIN_MS} ms")
            yield

    def _over(self) -> bool:
        if self._call.problem is not None:
            raise ScriptError(str(self._call.problem)) from self._call.problem
        return self._line_closed or self._call.ended

    # --- what came of it ---

    def _look(self, number: int) -> None:
        """Compare a turn, or with 0 the whole call, with what is expected of it."""
        expect = self._script.turns[number - 1].expect if number else self._script.in_the_end
        stretch = Stretch(self._call, from_ms=self._begun.at_ms, from_entry=self._begun.entry)
        found = mismatches(in_audio(expect), stretch)
        if found:
            self.failure = self._failed(number, tuple(found))

    def _broken(self, problem: str) -> CallFailure:
        return self._failed(self._begun.turn, (Mismatch("the call", "to go on", problem, None),))

    def _failed(self, number: int, found: tuple[Mismatch, ...]) -> CallFailure:
        turn = self._script.turns[number - 1] if number else None
        from_ms = max(0, self._begun.at_ms - BEFORE_MS) if number else 0
        return CallFailure(
            turn=number,
            act=str(turn) if turn else "in the end",
            mismatches=found,
            timeline=tuple(timeline_of(self._call, from_ms=from_ms)),
            source=(turn.source if turn else None) or self._script.source,
            seed=0,
        )
