"""A scripted caller does the next thing at the right moment, and says which step did not come about."""

from __future__ import annotations

import pytest

from voiceagent.errors import ScriptError, Source
from voiceagent.testing.caller import ScriptedCaller
from voiceagent.testing.caller_script import (
    BargeInStep,
    CallerScript,
    CallerStep,
    ExpectHangUpStep,
    HangUpStep,
    PressStep,
    SayStep,
    WaitForAgentStep,
    WaitStep,
)
from voiceagent.testing.carrier import CallerAct, PressKey, PutDown, Say
from voiceagent.testing.timeline import (
    AgentSpeechStarted,
    AgentSpeechStopped,
    CallerUtteranceEnded,
    CallerUtteranceStarted,
    ClearReceived,
    Closed,
    DigitSent,
    TimelineEvent,
)
from voiceagent.testing.utterance import Utterance

HELLO = Utterance.from_mulaw("hello.wav", b"\xff" * 160 * 10 + b"\x20" * 160 * 30 + b"\xff" * 160 * 10)
"""200 ms of silence, 600 ms of voice, 200 ms of silence."""


class Line:
    """A line on which only what a test says happens."""

    def __init__(self, *steps: CallerStep) -> None:
        self.caller = ScriptedCaller(CallerScript("test", steps))
        self.acts: list[tuple[int, CallerAct]] = []
        self.now_ms = 0

    def run_until(self, ms: int, *events: TimelineEvent) -> list[tuple[int, CallerAct]]:
        """Let time pass to `ms`; each event is noticed at its own moment. Return what the caller did meanwhile."""
        before, waiting = len(self.acts), list(events)
        while self.now_ms < ms:
            while waiting and waiting[0].at_ms <= self.now_ms:
                self.caller.notice(waiting.pop(0))
            for act in self.caller.decide(self.now_ms):
                self.acts.append((self.now_ms, act))
                if isinstance(act, PressKey):
                    self.caller.notice(DigitSent(self.now_ms, act.digit))
                if isinstance(act, Say):
                    began_ms = self.now_ms + act.utterance.voiced_from_ms
                    ended_ms = self.now_ms + act.utterance.voiced_until_ms
                    waiting.append(CallerUtteranceStarted(began_ms, act.utterance.name))
                    waiting.append(CallerUtteranceEnded(ended_ms, act.utterance.name))
                    waiting.sort(key=lambda event: event.at_ms)
            self.now_ms += 20
        for event in waiting:
            self.caller.notice(event)
        return self.acts[before:]


def test_the_caller_speaks_once_the_agent_is_done():
    line = Line(WaitForAgentStep(quiet_ms=1_200), SayStep(HELLO))
    assert line.run_until(4_000, AgentSpeechStarted(500), AgentSpeechStopped(2_000))[0] == (3_200, Say(HELLO))


def test_an_agent_that_goes_on_after_a_pause_is_not_done():
    line = Line(WaitForAgentStep(quiet_ms=1_200), HangUpStep())
    greeting = (AgentSpeechStarted(0), AgentSpeechStopped(1_000), AgentSpeechStarted(1_900), AgentSpeechStopped(3_000))
    assert line.run_until(5_000, *greeting)[0] == (4_200, PutDown("the caller hung up"))


def test_the_caller_does_not_answer_a_sentence_twice():
    line = Line(WaitForAgentStep(), WaitForAgentStep(at_most_ms=5_000))
    line.run_until(9_000, AgentSpeechStarted(0), AgentSpeechStopped(1_000))
    assert "step 2: waited 5000 ms, but the agent said nothing more" in str(line.caller.failure)


def test_an_agent_that_never_speaks_fails_the_step_that_waited():
    source = Source("test.yaml", 7)
    line = Line(WaitStep(100), WaitForAgentStep(at_most_ms=3_000, source=source))
    acts = line.run_until(4_000)
    assert acts == [(3_100, PutDown("waited 3000 ms, but the agent never spoke"))]
    assert str(line.caller.failure) == "test.yaml:7: step 2: waited 3000 ms, but the agent never spoke"


def test_an_agent_that_never_ends_fails_the_step_that_waited():
    line = Line(WaitForAgentStep(at_most_ms=3_000))
    line.run_until(4_000, AgentSpeechStarted(0))
    assert "the agent was not done speaking" in str(line.caller.failure)


def test_a_barge_in_has_the_callers_voice_begin_to_the_millisecond():
    line = Line(BargeInStep(900, HELLO))
    acts = line.run_until(2_000, AgentSpeechStarted(400))
    assert acts[0] == (400 + 900 - HELLO.voiced_from_ms, Say(HELLO))


def test_a_barge_in_counts_from_the_beginning_of_the_turn_across_its_pauses():
    line = Line(BargeInStep(2_000, HELLO))
    turn = (AgentSpeechStarted(0), AgentSpeechStopped(700), AgentSpeechStarted(1_200))
    assert line.run_until(3_000, *turn)[0] == (1_800, Say(HELLO))


def test_a_barge_in_waits_for_the_agents_next_turn():
    line = Line(WaitForAgentStep(), BargeInStep(400, HELLO))
    turns = (AgentSpeechStarted(0), AgentSpeechStopped(1_000), AgentSpeechStarted(5_000))
    assert line.run_until(6_000, *turns)[0] == (5_200, Say(HELLO))


def test_a_barge_in_on_an_agent_that_never_speaks_fails():
    line = Line(BargeInStep(900, HELLO, at_most_ms=2_000))
    line.run_until(3_000)
    assert "waited 2000 ms to interrupt, but the agent never spoke" in str(line.caller.failure)


def test_a_barge_in_that_interrupts_nobody_fails():
    line = Line(BargeInStep(900, HELLO, source=Source("test.yaml", 4)), HangUpStep())
    # The voice begins at 900; that the agent was silent from 800 on is known at 1200.
    line.run_until(800, AgentSpeechStarted(0))
    line.run_until(1_200)
    line.run_until(3_000, AgentSpeechStopped(800))
    expected = "test.yaml:4: step 1: nothing was interrupted: the agent had fallen silent before"
    assert str(line.caller.failure) == expected


def test_a_barge_in_on_an_agent_that_has_been_done_for_long_fails():
    line = Line(BargeInStep(2_000, HELLO))
    line.run_until(4_000, AgentSpeechStarted(0), AgentSpeechStopped(600))
    assert "nothing was interrupted" in str(line.caller.failure)


def test_a_barge_in_on_an_agent_that_was_drawing_breath_takes_back_what_it_was_about_to_say():
    line = Line(BargeInStep(900, HELLO), HangUpStep())
    line.run_until(2_000, AgentSpeechStarted(0), AgentSpeechStopped(700), ClearReceived(1_200, 3_000))
    assert line.caller.failure is None


def test_a_barge_in_on_an_agent_that_falls_silent_is_in_order():
    line = Line(BargeInStep(900, HELLO), HangUpStep())
    line.run_until(1_100, AgentSpeechStarted(0))
    line.run_until(3_000, ClearReceived(1_180, 2_000), AgentSpeechStopped(1_180))
    assert line.caller.failure is None


def test_the_tail_of_an_interrupted_sentence_is_not_taken_for_the_answer():
    line = Line(BargeInStep(400, HELLO), WaitForAgentStep(), HangUpStep())
    # The voice is heard from 400 to 1000; the agent takes 700 ms to stop, and answers at 2500.
    events = (AgentSpeechStarted(0), AgentSpeechStopped(1_100), AgentSpeechStarted(2_500), AgentSpeechStopped(3_000))
    assert line.run_until(6_000, *events)[-1] == (4_200, PutDown("the caller hung up"))


def test_an_agent_that_talks_through_a_backchannel_is_heard_out():
    line = Line(BargeInStep(400, HELLO), WaitForAgentStep(), HangUpStep())
    events = (AgentSpeechStarted(0), AgentSpeechStopped(5_000))
    assert line.run_until(7_000, *events)[-1] == (6_200, PutDown("the caller hung up"))


def test_keys_are_pressed_one_after_the_other():
    line = Line(PressStep("12#"), HangUpStep())
    keys = [(0, PressKey("1")), (200, PressKey("2")), (400, PressKey("#"))]
    assert line.run_until(1_000) == [*keys, (420, PutDown("the caller hung up"))]


def test_after_the_last_step_the_caller_hangs_up():
    assert Line(SayStep(HELLO)).run_until(2_000) == [(0, Say(HELLO)), (800, PutDown("the script is over"))]


def test_an_expected_hang_up_that_does_not_come_fails():
    line = Line(ExpectHangUpStep(1_000))
    line.run_until(2_000)
    assert str(line.caller.failure) == "step 1: the agent did not hang up within 1000 ms"


def test_an_agent_that_hangs_up_when_expected_is_in_order():
    line = Line(ExpectHangUpStep(1_000))
    line.run_until(500, Closed(400, "agent", 1000, ""))
    assert line.caller.failure is None


def test_an_agent_that_hangs_up_after_its_goodbye_need_not_be_quiet_first():
    line = Line(WaitForAgentStep(), HangUpStep())
    line.run_until(1_000, AgentSpeechStarted(0), AgentSpeechStopped(800), Closed(900, "agent", 1000, ""))
    assert line.caller.failure is None


def test_an_agent_that_hangs_up_on_a_caller_who_had_more_to_say_fails_that_step():
    line = Line(WaitForAgentStep(), SayStep(HELLO, Source("test.yaml", 3)))
    line.run_until(1_000, AgentSpeechStarted(0), AgentSpeechStopped(800), Closed(900, "agent", 1011, "internal error"))
    expected = "test.yaml:3: step 2: the call was over: closed by the agent (code 1011): internal error"
    assert str(line.caller.failure) == expected


def test_a_broken_line_is_no_hang_up():
    line = Line(ExpectHangUpStep(1_000))
    line.run_until(500, Closed(400, "line", None, "broken"))
    assert str(line.caller.failure) == "step 1: the call was over: closed by the line: broken"


def test_a_caller_who_does_nothing_is_refused():
    with pytest.raises(ScriptError, match="has no steps"):
        CallerScript("idle", ())
