"""Confirmations: what cannot be undone is done after a clear yes to exactly that, once, and never otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.confirmations import Confirmation, pressed_answer
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, Epoch, LegId, ReplyId, ToolCallId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.spec.flow import Flow


class Caller:
    """A caller at the desk of the clinic, whose model has just asked to cancel a visit."""

    def __init__(self, flow: Flow, *, then_says: str = "") -> None:
        self.conversation = Conversation(flow, Inherited(CallId("call")))
        self.now_ms = 0
        self.done: list[fx.Effect] = []
        self._utterances = 0
        self._call_comes_in()
        self.asks_for("cancel_visit", {"visit": "7"}, then_says=then_says)
        read_back = self.last(fx.Speak)
        assert read_back.kind == "read_back"
        self.read_back = read_back

    def happens(self, event: ev.Event, *, after_ms: int = 0) -> None:
        """Something happens; fillers are heard at once, so that nothing but the read-back is left to hear."""
        self.now_ms += after_ms
        effects = [out.effect for out in self.conversation.handle(event, self.now_ms)]
        self.done += effects
        for effect in effects:
            if isinstance(effect, fx.Speak) and effect.kind == "filler":
                self.happens(ev.PlayoutReached(effect.utterance, effect.clause, 700, finished=effect.last))

    def last(self, kind: type[fx.Speak]) -> fx.Speak:
        return [effect for effect in self.done if isinstance(effect, kind)][-1]

    def asks_for(self, name: str, arguments: dict[str, str], *, then_says: str = "") -> None:
        """The model answers with a request, and perhaps some words."""
        asked = [effect for effect in self.done if isinstance(effect, fx.AskModel)][-1]
        self.happens(ev.ToolRequested(asked.reply, f"{asked.reply}-{name}", name, arguments), after_ms=100)
        if then_says:
            self.happens(ev.ReplyText(asked.reply, then_says))
        self.happens(ev.ReplyFinished(asked.reply))

    def hears(self, speak: fx.Speak) -> None:
        self.happens(ev.PlayoutReached(speak.utterance, speak.clause, 2_000, finished=True), after_ms=2_000)

    def says(self, text: str) -> None:
        self._utterances += 1
        utterance = UtteranceId(f"c{self._utterances}")
        self.happens(ev.CallerStartedSpeaking(utterance, self.now_ms))
        self.happens(ev.CallerPaused(utterance, self.now_ms + 900), after_ms=900)
        self.happens(ev.TranscriptFinal(utterance, text), after_ms=100)
        self.waits(1_100)

    def waits(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while (due_ms := self.conversation.deadline_ms) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.happens(ev.TimePassed())
        self.now_ms = end_ms

    @property
    def cancelled(self) -> list[fx.StartTool]:
        return [effect for effect in self.done if isinstance(effect, fx.StartTool) and effect.tool == "cancel_visit"]

    @property
    def told(self) -> str:
        """What the model was told about its request, at last."""
        results = [
            m for m in self.conversation.transcript.messages() if m.role == "tool_result" and m.tool == "cancel_visit"
        ]
        assert len(results) <= 1
        return results[0].text if results else ""

    def _call_comes_in(self) -> None:
        self.happens(ev.CallStarted("en-US", "UTC", 1_700_000_000_000))
        self.happens(ev.LegAttached(LegId("leg1"), "script"))
        self.happens(ev.PhaseSwapped(Epoch(1)))
        self.hears(self.last(fx.Speak))
        self.says("My visits, please.")
        self.asks_for("identify", {})
        self.happens(ev.PhaseSwapped(Epoch(2)))
        self.asks_for("check_patient", {"number": "⟨number#1: 6 digits⟩", "code": "⟨code#1: 4 digits⟩"})
        self.happens(ev.ToolFinished(ToolCallId("t1"), {"recognised": True, "patient_id": "p1"}))
        self.happens(ev.PhaseSwapped(Epoch(3)))
        assert self.conversation.phase == "desk"


@pytest.fixture
def asked(clinic_flow: Flow) -> Caller:
    """A caller who is being asked whether a visit shall be cancelled, and has not heard it yet."""
    return Caller(clinic_flow)


@pytest.fixture
def has_heard(asked: Caller) -> Caller:
    """A caller who has heard the whole question."""
    asked.hears(asked.read_back)
    return asked


def test_the_read_back_is_made_from_exactly_these_arguments(asked: Caller) -> None:
    assert asked.read_back.text == "Shall I cancel visit 7?"
    assert asked.cancelled == []


def test_a_clear_yes_does_it_once_under_a_key(has_heard: Caller) -> None:
    has_heard.says("Yes, please.")
    (start,) = has_heard.cancelled
    assert start.arguments == {"patient_id": "p1", "visit": "7"}
    assert start.idempotency_key == "call:1"
    has_heard.says("Yes.")
    assert len(has_heard.cancelled) == 1


def test_the_key_one_is_a_yes(has_heard: Caller) -> None:
    has_heard.happens(ev.DigitsPressed("1"))
    assert len(has_heard.cancelled) == 1


def _says(text: str) -> Callable[[Caller], None]:
    return lambda caller: caller.says(text)


def _presses(keys: str) -> Callable[[Caller], None]:
    def press(caller: Caller) -> None:
        caller.happens(ev.DigitsPressed(keys))
        caller.waits(3_500)

    return press


def _waits(caller: Caller) -> None:
    caller.waits(40_000)


def _clinic_closes(caller: Caller) -> None:
    caller.happens(ev.HostEvent("closing_time"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (_says("No, don't."), "the caller said no"),
        (_says("What would that cost?"), "something else instead of a clear yes"),
        (_says("Yes but not today, no"), "something else instead of a clear yes"),
        (_presses("2"), "the caller pressed no"),
        (_presses("55"), "pressed keys instead of answering"),
        (_presses("0"), "the conversation moved on"),
        (_waits, "no answer in time"),
        (_clinic_closes, "the conversation moved on"),
    ],
)
def test_anything_else_does_nothing_and_the_model_is_told_why(
    has_heard: Caller, answer: Callable[[Caller], None], told: str
) -> None:
    answer(has_heard)
    assert has_heard.cancelled == []
    assert told in has_heard.told
    has_heard.says("Yes.")
    assert has_heard.cancelled == []


def test_a_yes_before_the_question_was_heard_is_no_answer_to_it(asked: Caller) -> None:
    asked.says("Yes.")
    assert asked.cancelled == []


def test_a_yes_pressed_before_the_question_was_heard_is_no_answer_to_it(asked: Caller) -> None:
    asked.happens(ev.DigitsPressed("1"))
    asked.waits(3_500)
    assert asked.cancelled == []


def test_a_key_in_the_middle_of_the_question_does_not_stop_it_and_is_no_number(asked: Caller) -> None:
    asked.happens(ev.DigitsPressed("1"), after_ms=500)
    asked.hears(asked.read_back)
    assert not any(isinstance(effect, fx.StopPlayout) for effect in asked.done)
    asked.happens(ev.DigitsPressed("1"))
    assert len(asked.cancelled) == 1
    assert [m.text for m in asked.conversation.transcript.messages() if m.role == "caller" and m.text == "1"] == []


def test_a_key_in_the_middle_of_the_question_is_the_first_of_a_number_that_goes_on(asked: Caller) -> None:
    asked.happens(ev.DigitsPressed("1"), after_ms=500)
    asked.happens(ev.DigitsPressed("5"), after_ms=400)
    asked.waits(5_000)
    assert [m.text for m in asked.conversation.transcript.messages() if m.role == "caller"][-1:] == ["15"]
    assert asked.cancelled == []


def test_a_no_pressed_in_the_middle_of_the_question_is_one(asked: Caller) -> None:
    asked.happens(ev.DigitsPressed("2"), after_ms=500)
    assert "no" in asked.told
    asked.waits(5_000)
    assert [m.text for m in asked.conversation.transcript.messages() if m.role == "caller" and m.text == "2"] == []


def test_a_question_that_was_cut_off_is_void(asked: Caller) -> None:
    asked.happens(ev.PlayoutStopped(asked.read_back.utterance, 300, exact=True))
    assert "interrupted the read-back" in asked.told
    asked.says("Yes.")
    assert asked.cancelled == []


def test_a_noise_before_the_question_began_puts_it_off(asked: Caller) -> None:
    asked.happens(ev.CallerStartedSpeaking(UtteranceId("c50"), asked.now_ms))
    assert isinstance(asked.done[-1], fx.StopPlayout)
    asked.happens(ev.PlayoutStopped(asked.read_back.utterance, 0, exact=True))
    asked.happens(ev.CallerPaused(UtteranceId("c50"), asked.now_ms + 200), after_ms=200)
    asked.happens(ev.TranscriptFinal(UtteranceId("c50"), ""), after_ms=100)
    asked.waits(1_100)
    again = asked.last(fx.Speak)
    assert (again.kind, again.text) == ("read_back", asked.read_back.text)
    asked.hears(again)
    asked.says("Yes.")
    assert len(asked.cancelled) == 1


def test_words_before_the_question_began_take_its_place(asked: Caller) -> None:
    asked.happens(ev.CallerStartedSpeaking(UtteranceId("c50"), asked.now_ms))
    asked.happens(ev.PlayoutStopped(asked.read_back.utterance, 0, exact=True))
    asked.happens(ev.CallerPaused(UtteranceId("c50"), asked.now_ms + 900), after_ms=900)
    asked.happens(ev.TranscriptFinal(UtteranceId("c50"), "Yes."), after_ms=100)
    asked.waits(1_100)
    assert "instead of a clear yes" in asked.told
    assert asked.cancelled == []


def test_the_model_says_nothing_between_the_question_and_its_yes(clinic_flow: Flow) -> None:
    """Whoever has been asked "Are you still listening?" last says yes to that."""
    caller = Caller(clinic_flow, then_says="Are you still listening?")
    assert caller.last(fx.Speak).kind == "read_back"


def test_who_is_asked_whether_they_are_there_is_asked_the_question_again(has_heard: Caller) -> None:
    has_heard.waits(5_000)
    reprompt, again = [effect for effect in has_heard.done if isinstance(effect, fx.Speak)][-2:]
    assert reprompt.text == "Are you still there?"
    assert (again.kind, again.text) == ("read_back", has_heard.read_back.text)
    has_heard.hears(reprompt)
    has_heard.says("Yes.")
    assert has_heard.cancelled == []
    assert "instead of a clear yes" in has_heard.told


def test_a_partial_yes_is_none(has_heard: Caller) -> None:
    has_heard.happens(ev.CallerStartedSpeaking(UtteranceId("c50"), has_heard.now_ms))
    has_heard.happens(ev.TranscriptPartial(UtteranceId("c50"), "yes"))
    assert has_heard.cancelled == []


def test_an_empty_sound_leaves_the_question_open(has_heard: Caller) -> None:
    has_heard.says("")
    assert has_heard.told == ""
    assert has_heard.last(fx.Speak).text == "Sorry?"
    has_heard.hears(has_heard.last(fx.Speak))
    has_heard.says("Yes.")
    assert len(has_heard.cancelled) == 1


def test_the_key_is_another_one_for_every_intent(has_heard: Caller) -> None:
    has_heard.says("No.")
    has_heard.asks_for("cancel_visit", {"visit": "8"})
    has_heard.hears(has_heard.last(fx.Speak))
    has_heard.says("Yes.")
    assert [start.idempotency_key for start in has_heard.cancelled] == ["call:2"]
    assert [start.arguments["visit"] for start in has_heard.cancelled] == ["8"]


def test_only_one_question_is_asked_at_a_time(clinic_flow: Flow) -> None:
    caller = Caller(clinic_flow)
    reply = ReplyId(f"r{[isinstance(effect, fx.AskModel) for effect in caller.done].count(True)}")
    caller.happens(ev.ToolRequested(reply, "second", "cancel_visit", {"visit": "9"}))
    assert [effect.text for effect in caller.done if isinstance(effect, fx.Speak) and effect.kind == "read_back"] == [
        "Shall I cancel visit 7?"
    ]


@pytest.mark.parametrize(("keys", "answer"), [("1", True), ("2", False), ("0", None), ("11", None), ("", None)])
def test_keys_are_an_answer_only_if_they_are_one(keys: str, *, answer: bool | None) -> None:
    assert pressed_answer(keys) is answer


def test_a_key_names_the_call_and_the_intent() -> None:
    confirmation = Confirmation(3, ToolCallId("t9"), UtteranceId("a4"), Epoch(2), 5, words="Shall I?", digest="d")
    assert confirmation.key("call-7") == "call-7:3"
