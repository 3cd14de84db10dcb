"""Whatever happens in a call, in whatever order, late or twice: these promises hold after every event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.codec import encode_outgoing
from voiceagent.core.conversation import Conversation
from voiceagent.core.doing import Doing
from voiceagent.core.hearing import OVERLAP_MS
from voiceagent.core.ids import CallId, Epoch, FetchId, LegId, ReplyId, ToolCallId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import BeepHeard, HangUpAfter, MachineAnswers, PersonAnswers, Phase, Say, Transition, Wait
from voiceagent.testing.invariants import Invariants

# --- what may happen -------------------------------------------------------------------------------------------------

_caller = st.sampled_from([UtteranceId(f"c{number}") for number in range(1, 5)])
_agent = st.sampled_from([UtteranceId(f"a{number}") for number in range(1, 9)])
_replies = st.sampled_from([ReplyId(f"r{number}") for number in range(1, 6)] + [ReplyId("u1")])
_calls = st.sampled_from([ToolCallId(f"t{number}") for number in range(1, 6)])
_fetches = st.sampled_from([FetchId(f"f{number}") for number in range(4)])
_epochs = st.integers(0, 4).map(Epoch)
_legs = st.sampled_from([LegId("leg1"), LegId("leg2")])
_instants = st.integers(0, 60_000)
_lengths = st.integers(0, 4_000)
_texts = st.sampled_from(
    [
        "",
        " ",
        "yes",
        "Yes please do it",
        "no",
        "uh-huh",
        "what are my visits",
        "wait stop",
        "⟨number#1: 6 digits⟩",
        "⟨code#2: 4 digits⟩",
        "⟨number#1: 2 digits⟩",
        "⟨other#9: 3 digits⟩",
        "um",
    ]
)
_tool_names = st.sampled_from(
    [
        "check_patient",
        "list_visits",
        "read_visit",
        "add_note",
        "cancel_visit",
        "opening_hours",
        "identify",
        "finish",
        "nurse",
        "no_such_tool",
    ]
)
_arguments = st.sampled_from(
    [
        {},
        {"visit": "1"},
        {"visit": "2"},
        {"text": "call me"},
        {"number": "⟨number#1: 6 digits⟩", "code": "⟨code#2: 4 digits⟩"},
        {"visit": "1", "patient_id": "somebody else"},
        {"visit": None},
    ]
)
_results = st.sampled_from(
    [
        None,
        [],
        "text",
        {"recognised": True, "patient_id": "p1"},
        {"recognised": False, "patient_id": None},
        {"recognised": "perhaps", "patient_id": {"not": "text"}},
        [{"visit": "1"}, {"visit": "2"}, {"other": 3}, 4],
    ]
)
_problems = st.sampled_from([None, None, None, "not JSON: {"])
_kinds_of_failure = st.sampled_from(["failed", "timed_out", "refused", "crashed", "cancelled", "unknown"])
_words = st.sampled_from(["Let me see.", "You have two visits.", "Anything else?", ""])
_clauses = st.integers(-1, 3)
_keys = st.sampled_from(["0", "1", "2", "#", "5", "1234", "•", "••••••"])
_handles = st.sampled_from([None, None, "number#1", "code#1", "code#2", "stray#7"])

_ANYTHING: dict[type[ev.Event], st.SearchStrategy[ev.Event]] = {
    ev.CallStarted: st.just(ev.CallStarted("en-US", "UTC", 1_700_000_000_000)),
    ev.LegAttached: st.builds(ev.LegAttached, _legs, st.just("script")),
    ev.LegLost: st.builds(ev.LegLost, _legs, st.just("gone"), st.booleans()),
    ev.CallResumed: st.builds(ev.CallResumed, _lengths),
    ev.HandedOver: st.just(ev.HandedOver("support")),
    ev.TransferFailed: st.just(ev.TransferFailed("support", "nobody there")),
    ev.CallEnded: st.just(ev.CallEnded("over")),
    ev.CallerStartedSpeaking: st.builds(ev.CallerStartedSpeaking, _caller, _instants),
    ev.CallerPaused: st.builds(ev.CallerPaused, _caller, _instants),
    ev.TranscriptPartial: st.builds(ev.TranscriptPartial, _caller, _texts),
    ev.TranscriptFinal: st.builds(ev.TranscriptFinal, _caller, _texts, st.none(), st.booleans()),
    ev.TurnJudged: st.builds(ev.TurnJudged, _caller, st.floats(0, 1)),
    ev.VoiceFoundFaint: st.builds(ev.VoiceFoundFaint, _caller, st.integers(12, 60)),
    ev.TranscriptFailed: st.builds(ev.TranscriptFailed, _caller, st.just("no words")),
    ev.ToneHeard: st.builds(ev.ToneHeard, st.sampled_from([1_000, 1_100, 2_100]), _lengths, _instants),
    ev.CarrierDetected: st.builds(ev.CarrierDetected, st.sampled_from(["human", "machine_end_beep", "fax", "what"])),
    ev.DigitsPressed: st.builds(ev.DigitsPressed, _keys, _handles),
    ev.ReplyStarted: st.builds(ev.ReplyStarted, _replies, _epochs),
    ev.ReplyText: st.builds(ev.ReplyText, _replies, _words),
    ev.ToolRequested: st.builds(
        ev.ToolRequested, _replies, st.sampled_from(["q1", "q2", "q3"]), _tool_names, _arguments, _problems
    ),
    ev.ReplyFinished: st.builds(ev.ReplyFinished, _replies, st.sampled_from([None, "number", "code", "stray"])),
    ev.ReplyFailed: st.builds(ev.ReplyFailed, _replies, st.just("overloaded")),
    ev.ReplyInterrupted: st.builds(ev.ReplyInterrupted, _replies),
    ev.VoiceExpiring: st.builds(ev.VoiceExpiring, st.sampled_from([0, 60_000]), st.just("nearly over")),
    ev.SessionBegan: st.builds(ev.SessionBegan, st.integers(0, 9), st.sampled_from([(), (ReplyId("r1"),)])),
    ev.StandbyClosed: st.builds(ev.StandbyClosed, st.just("desk"), _lengths, st.booleans()),
    ev.VoiceChanged: st.builds(ev.VoiceChanged, st.booleans(), st.booleans(), st.just("lost")),
    ev.ToolFinished: st.builds(ev.ToolFinished, _calls, _results),
    ev.ToolFailed: st.builds(ev.ToolFailed, _calls, _kinds_of_failure, st.just("no answer")),
    ev.PrefetchFinished: st.builds(ev.PrefetchFinished, _fetches, _results),
    ev.PrefetchFailed: st.builds(ev.PrefetchFailed, _fetches, st.just("no answer")),
    ev.SpeechQueued: st.builds(ev.SpeechQueued, _agent, _clauses, _lengths),
    ev.SpeechFailed: st.builds(ev.SpeechFailed, _agent, _clauses, st.just("no voice")),
    ev.PlayoutStarted: st.builds(ev.PlayoutStarted, _agent, _instants),
    ev.PlayoutReached: st.builds(ev.PlayoutReached, _agent, _clauses, _lengths, st.booleans()),
    ev.PlayoutStopped: st.builds(ev.PlayoutStopped, _agent, _lengths, st.booleans()),
    ev.PhaseSwapped: st.builds(ev.PhaseSwapped, _epochs),
    ev.SwapFailed: st.builds(ev.SwapFailed, _epochs, st.just("no session")),
    ev.HostEvent: st.builds(ev.HostEvent, st.sampled_from(["closing_time", "unheard_of"])),
    ev.AgentChanged: st.builds(ev.AgentChanged, st.sampled_from(["v2", "v9"]), st.just("v1"), st.just(""), st.just({})),
    ev.ServerStops: st.just(ev.ServerStops()),
    ev.LimitReached: st.just(ev.LimitReached("spend limit of the call")),
    ev.TimePassed: st.just(ev.TimePassed()),
}
_RARE = (ev.CallEnded, ev.LegLost, ev.ServerStops, ev.LimitReached, ev.VoiceChanged)
_often = st.one_of([strategy for kind, strategy in _ANYTHING.items() if kind not in _RARE])


@dataclass(frozen=True)
class Happens:
    """Anything at all, whether it makes sense or not."""

    event: ev.Event
    after_ms: int


@dataclass(frozen=True)
class Answers:
    """The world answers one of the effects it was asked for, perhaps for the second time."""

    which: int
    variant: int
    after_ms: int


@dataclass(frozen=True)
class Speaks:
    """The caller says something, and pauses."""

    text: str
    for_ms: int


@dataclass(frozen=True)
class Waits:
    """Nothing happens until the core itself has something to do."""


Step = Happens | Answers | Speaks | Waits
_pauses = st.sampled_from([0, 0, 1, 50, 300, 900, 5_000])
_steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Answers, st.integers(0, 3), st.integers(0, 7), _pauses),
        st.builds(Answers, st.integers(0, 12), st.integers(0, 7), _pauses),
        st.builds(Speaks, _texts, st.sampled_from([200, 900])),
        st.just(Waits()),
        st.builds(Happens, _often, _pauses),
        st.builds(Happens, st.one_of([_ANYTHING[kind] for kind in _RARE]), _pauses),
    ),
    max_size=40,
)


# --- a world that answers --------------------------------------------------------------------------------------------


def _answers_to(effect: fx.Effect) -> Sequence[ev.Event]:
    """What the world may say to an effect, the likeliest first."""
    match effect:
        case fx.SwapPhase(epoch=epoch):
            return (ev.PhaseSwapped(epoch), ev.PhaseSwapped(epoch), ev.PhaseSwapped(epoch), ev.SwapFailed(epoch, "no"))
        case fx.Speak(utterance=utterance, clause=clause, last=last):
            return (
                ev.PlayoutReached(utterance, clause, 900 * (clause + 1), finished=last),
                ev.PlayoutStarted(utterance, 0),
                ev.SpeechQueued(utterance, clause, 900),
                ev.PlayoutStopped(utterance, 400, exact=True),
                ev.SpeechFailed(utterance, clause, "no voice"),
            )
        case fx.AskModel(reply=reply, request=request):
            return (
                ev.ReplyFinished(reply),
                ev.ReplyText(reply, "You have two visits."),
                *(_ask(reply, name) for name in request.tools[-3:]),
                _ask(reply, "cancel_visit"),
                _ask(reply, "list_visits"),
                ev.ReplyStarted(reply, request.epoch),
                ev.ReplyFailed(reply, "overloaded"),
            )
        case fx.PlayReply(reply=reply, utterance=utterance):
            return (
                ev.ReplyText(reply, "You have two visits."),
                ev.ReplyFinished(reply),
                _ask(reply, "list_visits"),
                ev.ReplyInterrupted(reply),
                ev.PlayoutStopped(utterance, 400, exact=True),
            )
        case fx.StartTool(call=call):
            return (
                ev.ToolFinished(call, {"recognised": True, "patient_id": "p1"}),
                ev.ToolFailed(call, "failed", "no answer"),
            )
        case fx.Fetch(fetch=fetch):
            return (ev.PrefetchFinished(fetch, [{"visit": "1"}]), ev.PrefetchFailed(fetch, "no answer"))
        case fx.Transcribe(utterance=utterance):
            return (ev.TranscriptFinal(utterance, "yes"), ev.TranscriptFinal(utterance, ""))
        case _:
            return (ev.TimePassed(),)


def _ask(reply: ReplyId, name: str) -> ev.ToolRequested:
    arguments = {
        "check_patient": {"number": "⟨number#1: 6 digits⟩", "code": "⟨code#2: 4 digits⟩"},
        "read_visit": {"visit": "1"},
        "cancel_visit": {"visit": "1"},
        "add_note": {"text": "call me"},
    }
    return ev.ToolRequested(reply, f"{reply}-{name}", name, arguments.get(name, {}))


def _prepared(flow: Flow, inherited: Inherited) -> Conversation:
    """Return a conversation with another version of its agent at hand, which says the same."""
    conversation = Conversation(flow, inherited)
    conversation.prepare("v2", flow.model_copy())
    return conversation


@dataclass
class Call:
    """A conversation, everything that has happened in it, and the promises that are looked at after every event."""

    flow: Flow
    inherited: Inherited
    now_ms: int = 0
    journal: list[tuple[int, ev.Event, tuple[fx.Outgoing, ...]]] = field(default_factory=list)
    _utterances: int = 100

    def __post_init__(self) -> None:
        self.conversation = _prepared(self.flow, self.inherited)
        self.invariants = Invariants(self.flow, self.conversation)
        self.asked: list[fx.Effect] = []
        self.over = False
        self.letting_go = False

    @property
    def desk(self) -> Doing:
        """Where calls of tools wait: not public, and the only place that knows which of them wait for a yes."""
        return self.conversation._doing  # pyright: ignore[reportPrivateUsage] - what no effect tells

    def take(self, step: Step) -> None:
        """Let one step happen."""
        match step:
            case Happens(event, after_ms):
                self.happens(event, after_ms)
            case Answers(which, variant, after_ms):
                if self.asked:
                    answers = _answers_to(self.asked[-1 - which % len(self.asked)])
                    self.happens(answers[variant % len(answers)], after_ms)
            case Speaks(text, for_ms):
                self._utterances += 1
                utterance = UtteranceId(f"c{self._utterances}")
                self.happens(ev.CallerStartedSpeaking(utterance, self.now_ms), 0)
                self.happens(ev.CallerPaused(utterance, self.now_ms + for_ms), for_ms)
                self.happens(ev.TranscriptFinal(utterance, text), 100)
            case Waits():
                deadline_ms = self.conversation.deadline_ms
                if deadline_ms is not None:
                    self.happens(ev.TimePassed(), max(0, deadline_ms - self.now_ms))

    def happens(self, event: ev.Event, after_ms: int = 0) -> None:
        """Tell the conversation, and look at all its promises."""
        self.now_ms += after_ms
        outgoing = self.conversation.handle(event, self.now_ms)
        self.journal.append((self.now_ms, event, outgoing))
        self.asked += [out.effect for out in outgoing if not isinstance(out.effect, fx.ReportProblem)]
        self.letting_go = self.letting_go or any(isinstance(out.effect, fx.HangUp | fx.Transfer) for out in outgoing)
        self.over = self.over or isinstance(event, ev.CallEnded)
        self.invariants.happened(self.now_ms, event, outgoing)
        assert self.invariants.broken == []
        waiting = [call for call in self.desk.calls.unanswered if call.state == "confirming"]
        confirmation = self.desk.confirmation
        assert self.over or [call.id for call in waiting] == ([confirmation.call] if confirmation else [])
        if self.conversation.state.suspended:  # a caller who does not come back is a call without an end
            resumed = isinstance(event, ev.CallResumed)
            self.happens(ev.LegAttached(LegId("leg-again"), "script") if resumed else ev.CallResumed(0))

    def time_goes_on(self) -> None:
        """With nothing else happening, each deadline is followed by a later one: no busy loop, and an end."""
        for _ in range(400):
            deadline_ms = self.conversation.deadline_ms
            if deadline_ms is None:
                break
            self.now_ms = max(self.now_ms, deadline_ms)
            self.happens(ev.TimePassed())
            later_ms = self.conversation.deadline_ms
            assert later_ms is None or later_ms > self.now_ms, f"busy at {self.now_ms} ms"
        else:
            raise AssertionError("a call in which nothing happens never ends")
        assert self.over or not self.conversation.state.started or self.letting_go

    def is_never_silent_for_long(self) -> None:
        """Models, tools and voices that never answer again: the caller hears of it within a minute, until the end."""
        self._hear_everything(since=0)
        silent_since_ms = self.now_ms
        while not (self.over or self.letting_go):
            deadline_ms = self.conversation.deadline_ms
            assert deadline_ms is not None
            assert deadline_ms - silent_since_ms <= _LONGEST_SILENCE_MS, f"silent since {silent_since_ms}"
            self.now_ms = max(self.now_ms, deadline_ms)
            before = len(self.asked)
            self.happens(ev.TimePassed())
            if self._hear_everything(since=before):
                silent_since_ms = self.now_ms

    def _hear_everything(self, *, since: int) -> bool:
        """Play what the agent has said, instantly; whether there was anything to hear."""
        heard = False
        while since < len(self.asked):
            effect = self.asked[since]
            since += 1
            match effect:
                case fx.Speak(utterance, clause, text, _, last):
                    heard = heard or bool(text)
                    self.happens(ev.PlayoutReached(utterance, clause, 900 * (clause + 1), finished=last))
                case fx.StopPlayout():
                    for spoken in self.conversation._saying.speech.unfinished:  # pyright: ignore[reportPrivateUsage] - what no effect tells
                        self.happens(ev.PlayoutStopped(spoken.id, 400, exact=True))
                case _:
                    pass
        for spoken in self.conversation._saying.speech.unfinished:  # pyright: ignore[reportPrivateUsage] - no effect tells
            if spoken.kind == "reply" and spoken.complete and not spoken.id.startswith("a"):
                # A speech model's own audio: the voice reports that it was heard, and no Speak asks for it.
                self.happens(ev.PlayoutReached(spoken.id, 0, 900, finished=True))
                heard = heard or bool(spoken.text)
        return heard

    def replays(self) -> None:
        """The same events at the same instants give the same bytes."""
        again = _prepared(self.flow, self.inherited)
        for now_ms, event, outgoing in self.journal:
            assert [encode_outgoing(out) for out in again.handle(event, now_ms)] == [
                encode_outgoing(out) for out in outgoing
            ]


_LONGEST_SILENCE_MS = 60_000
"""A voice that does not end is listened to for 45 s, and its transcript waited for for another four."""


def _unstarted(flow: Flow, inherited: Inherited) -> Call:
    return Call(flow, inherited)


def _welcomed(flow: Flow, inherited: Inherited) -> Call:
    call = Call(flow, inherited)
    call.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000))
    call.happens(ev.LegAttached(LegId("leg1"), "script"))
    call.happens(ev.PhaseSwapped(Epoch(1)), 5)
    call.happens(ev.PlayoutReached(UtteranceId("a1"), 0, 900, finished=True), 1_000)
    return call


def _at_the_desk(flow: Flow, inherited: Inherited) -> Call:
    call = _welcomed(flow, inherited)
    for wish in ("identify", "check_patient"):
        call.take(Speaks("please", 900))
        while not isinstance(call.asked[-1], fx.AskModel):
            call.take(Waits())
        asked = call.asked[-1]
        assert isinstance(asked, fx.AskModel)
        call.happens(_ask(asked.reply, wish), 100)
        call.happens(ev.ReplyFinished(asked.reply))
        if wish == "identify":
            call.happens(ev.PhaseSwapped(Epoch(2)), 5)
            asked = call.asked[-1]
            assert isinstance(asked, fx.AskModel)
            call.happens(ev.ReplyText(asked.reply, "Your number, please."), 100)
            call.happens(ev.ReplyFinished(asked.reply))
            call.happens(ev.PlayoutReached(UtteranceId("a2"), 1, 900, finished=True), 1_000)
    call.happens(ev.ToolFinished(ToolCallId("t1"), {"recognised": True, "patient_id": "p1"}), 100)
    call.happens(ev.PhaseSwapped(Epoch(3)), 5)
    assert call.conversation.phase == "desk"
    assert call.invariants.grants == ("records",)
    return call


def _before_the_yes(flow: Flow, inherited: Inherited) -> Call:
    call = _at_the_desk(flow, inherited)
    asked = call.asked[-1]
    assert isinstance(asked, fx.AskModel)
    call.happens(_ask(asked.reply, "cancel_visit"), 100)
    call.happens(ev.ReplyFinished(asked.reply))
    assert call.invariants.read_back is not None
    return call


_BEGINNINGS: dict[str, Callable[[Flow, Inherited], Call]] = {
    "before the call": _unstarted,
    "after the greeting": _welcomed,
    "once the caller is known": _at_the_desk,
    "while a read-back waits for its yes": _before_the_yes,
}
_VOICES = {
    "cascade": Inherited(CallId("call")),
    "speech model": Inherited(CallId("call"), voice_speaks=True, replies_unasked=True),
    "experienced": Inherited(CallId("call"), tool_latency_ms={"list_visits": 900}, phrase_ms={"One moment.": 700}),
}


def test_every_event_there_is_takes_part() -> None:
    assert set(_ANYTHING) == set(get_args(ev.Event))


@pytest.mark.parametrize("begin", _BEGINNINGS.values(), ids=_BEGINNINGS)
@given(steps=_steps, voice=st.sampled_from(sorted(_VOICES)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_the_promises_hold(
    clinic_flow: Flow, begin: Callable[[Flow, Inherited], Call], steps: list[Step], voice: str
) -> None:
    call = begin(clinic_flow, _VOICES[voice] if begin in (_unstarted, _welcomed) else _VOICES["cascade"])
    for step in steps:
        call.take(step)
    call.time_goes_on()
    call.replays()


@pytest.mark.parametrize("begin", [_welcomed, _at_the_desk, _before_the_yes])
@given(steps=_steps, voice=st.sampled_from(["cascade", "speech model"]))
@example(steps=[Answers(0, 1, 0), Speaks("yes", 200)], voice="cascade")
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_has_happened_the_caller_is_never_left_in_silence(
    clinic_flow: Flow, begin: Callable[[Flow, Inherited], Call], steps: list[Step], voice: str
) -> None:
    call = begin(clinic_flow, _VOICES[voice] if begin is _welcomed else _VOICES["cascade"])
    for step in steps:
        call.take(step)
    call.is_never_silent_for_long()


def _asking_who_answers(flow: Flow) -> Flow:
    first, *others = flow.phases
    edges = (Transition(on=MachineAnswers(), to="await_beep"), *first.transitions)
    beep = (Transition(on=BeepHeard(), to="message"), Transition(on=PersonAnswers(), to=first.name))
    phases = (
        first.model_copy(update={"transitions": edges}),
        *others,
        Phase(name="await_beep", on_enter=Wait(), transitions=beep),
        Phase(name="message", on_enter=Say(text="Please call us back."), ends=HangUpAfter()),
    )
    return flow.model_copy(update={"phases": phases})


@given(steps=_steps, voice=st.sampled_from(sorted(_VOICES)))
@example(steps=[Happens(ev.HostEvent("closing_time"), 0), Waits()], voice="cascade")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_is_said_before_it_is_known_who_has_answered(clinic_flow: Flow, steps: list[Step], voice: str) -> None:
    call = Call(_asking_who_answers(clinic_flow), _VOICES[voice])
    call.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000, outbound=True))
    call.happens(ev.LegAttached(LegId("leg1"), "script"))
    call.happens(ev.PhaseSwapped(Epoch(1)), 5)
    for step in steps:
        call.take(step)
        if call.conversation.state.answered_by == "nobody knows" and not call.conversation.state.closing:
            assert not [asked for asked in call.asked if isinstance(asked, fx.Speak | fx.AskModel)]
    call.time_goes_on()
    assert call.conversation.state.answered_by != "nobody knows" or call.letting_go or call.over
    call.replays()


def test_a_yes_to_a_read_back_that_was_heard_is_the_way_to_do_it(clinic_flow: Flow) -> None:
    """So that the promise about irreversible tools is not kept by doing nothing at all."""
    call = _before_the_yes(clinic_flow, _VOICES["cascade"])
    assert call.invariants.read_back is not None
    call.happens(ev.PlayoutReached(call.invariants.read_back, 0, 900, finished=True), 1_000)
    call.take(Speaks("yes", 900))
    call.take(Waits())
    assert [effect.tool for effect in call.asked if isinstance(effect, fx.StartTool)][-1] == "cancel_visit"


_HANGS_UP = Happens(ev.LegLost(LegId("leg1"), "gone"), 0)


@given(steps=_steps)
@example(steps=[_HANGS_UP, Waits()])
@example(steps=[_HANGS_UP, Happens(_ask(ReplyId("r3"), "add_note"), 50)])
@settings(max_examples=60, deadline=None)
def test_nothing_new_begins_once_the_line_is_let_go(clinic_flow: Flow, steps: list[Step]) -> None:
    call = _at_the_desk(clinic_flow, _VOICES["cascade"])
    for step in steps:
        call.take(step)
    assert call.invariants.begun_too_late == []


def test_a_read_whose_prefetch_fails_while_a_call_is_resumed_waits_for_its_phase(clinic_flow: Flow) -> None:
    call = _before_the_yes(clinic_flow, _VOICES["cascade"])
    for step in (Waits(), Answers(0, 6, 0), Happens(ev.CallResumed(0), 0)):
        call.take(step)
    (fetch,) = {asked.fetch for asked in call.asked if isinstance(asked, fx.Fetch)}
    begun = len(call.asked)
    call.happens(ev.PrefetchFailed(fetch, "no answer"))
    assert not [asked for asked in call.asked[begun:] if isinstance(asked, fx.StartTool)]
    call.happens(ev.PhaseSwapped(call.conversation.state.epoch), 5)
    assert [asked.tool for asked in call.asked[begun:] if isinstance(asked, fx.StartTool)] == ["list_visits"]


def test_a_result_of_a_call_that_was_never_started_is_not_believed(clinic_flow: Flow) -> None:
    call = _before_the_yes(clinic_flow, _VOICES["cascade"])
    confirmation = call.desk.confirmation
    assert confirmation is not None
    call.conversation.handle(ev.ToolFinished(confirmation.call, {"cancelled": True}), call.now_ms)
    assert call.desk.calls.get(confirmation.call) is not None


def test_a_swap_that_fails_once_nobody_is_there_is_not_apologised_for(clinic_flow: Flow) -> None:
    call = _welcomed(clinic_flow, _VOICES["cascade"])
    call.happens(ev.HostEvent("closing_time"))
    call.take(_HANGS_UP)
    call.happens(ev.SwapFailed(Epoch(2), "no session"))
    assert call.invariants.begun_too_late == []


@pytest.mark.parametrize(("left_ms", "is_cancelled"), [(OVERLAP_MS, True), (OVERLAP_MS + 1, False)])
def test_a_read_back_cut_off_in_its_last_syllable_was_heard(
    clinic_flow: Flow, left_ms: int, *, is_cancelled: bool
) -> None:
    """People answer before a question is over; whoever cuts it off earlier than that does not know it."""
    call = _before_the_yes(clinic_flow, _VOICES["cascade"])
    assert call.invariants.read_back is not None
    call.happens(ev.SpeechQueued(call.invariants.read_back, 0, 1_500), 50)
    call.happens(ev.PlayoutStopped(call.invariants.read_back, 1_500 - left_ms, exact=True), 900)
    call.take(Speaks("yes", 900))
    call.take(Waits())
    started = [effect.tool for effect in call.asked if isinstance(effect, fx.StartTool)]
    assert (started[-1] == "cancel_visit") is is_cancelled
