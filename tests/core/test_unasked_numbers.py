"""A long number that nobody asked for, a card's mostly, is sealed like one that was; other numbers stay as they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent import Digits, Flow, Phase, tool
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId, UtteranceId
from voiceagent.core.sealing import Sealing, without_handles
from voiceagent.core.state import Inherited
from voiceagent.language import language_for
from voiceagent.runtime.sealed_events import sealed
from voiceagent.spec.phase import HangUpAfter, Pressed, Requested, Say, Transition, Wait
from voiceagent.spec.prompt import Prompt
from voiceagent.tools.vault import Vault

ENGLISH = language_for("en-US")
NOBODY_ASKED = Sealing(slots=(), counts=(), unasked=True, long_from=12)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CARD = "4111111111111111"


def left_of(text: str, sealing: Sealing = NOBODY_ASKED) -> str:
    return Vault().seal(text, ENGLISH, sealing)


# --- words -----------------------------------------------------------------------------------------------------------

_number = st.text("0123456789", min_size=12, max_size=19)


@st.composite
def _said(draw: st.DrawFn, number: st.SearchStrategy[str] = _number) -> str:
    """A number as people say it and recognizers write it: words, figures, doubles, groups, and sounds in between."""
    digits, parts = draw(number), list[str]()
    while digits:
        how = draw(st.sampled_from(["word", "double", "figures"]))
        count = 2 if how == "double" and digits[0] == digits[1:2] else 1
        if how == "figures":
            count = draw(st.integers(1, min(4, len(digits))))
            parts.append(digits[:count])
        else:
            parts.append(("double " if count == 2 else "") + WORDS[int(digits[0])])
        digits = digits[count:]
        parts.append(draw(st.sampled_from(["", "", "", ",", "um", "then", "and then", "dash", "-", "."])))
    return " ".join(part for part in parts if part)


@given(_said(), st.sampled_from(["", "my card is ", "it's "]), st.sampled_from(["", " and it expires soon", "."]))
def test_nothing_of_a_long_number_is_left_however_it_is_said(said: str, before: str, after: str) -> None:
    assert ENGLISH.digits(without_handles(left_of(before + said + after))) == ""


@given(st.integers(1, 11).flatmap(lambda length: st.text("123456789", min_size=length, max_size=length)))
def test_other_numbers_stay_as_they_are(number: str) -> None:
    assert left_of(f"it is {number} I think") == f"it is {number} I think"
    assert left_of(f"from {number} to {number}, please") == f"from {number} to {number}, please"


@pytest.mark.parametrize(
    "said",
    [
        "four one one one one one one one one one one one one one one one",
        "double four one one triple one 1234 and then five six seven eight",
        "forty one eleven eleven eleven eleven eleven eleven eleven",
        "4111-1111-1111-1111",
        "4,111,111,111,111,111",
        "4111. 1111. 1111. 1111.",
    ],
)
def test_a_card_number_is_one_number(said: str) -> None:
    assert left_of(said).rstrip(".").endswith(" digits⟩")
    assert ENGLISH.digits(without_handles(left_of(said))) == ""


def test_a_number_that_a_turn_went_before_with_is_taken_together_with_it() -> None:
    eight_before = Sealing(slots=(), counts=(), unasked=True, long_from=12, said_before=8)
    assert left_of("one one one one", eight_before) == "⟨digits#0: 4 digits⟩"
    assert left_of("the amount is 1111", eight_before) == "the amount is 1111"


def test_a_number_as_long_as_a_secret_of_another_phase_is_sealed_without_its_name() -> None:
    with_a_card = Sealing(slots=(("card#0", 16),), counts=(), unasked=True, long_from=12)
    assert left_of(f"take {CARD}", with_a_card) == "take ⟨card#0: 16 digits⟩"


# --- in a call -------------------------------------------------------------------------------------------------------


@tool
async def look_up(number: str) -> dict[str, object]:
    """Look something up."""
    return {"number": number}


def a_flow(*expects: Digits, seal_unasked: int | None = 12) -> Flow:
    talk = Phase(
        name="talk",
        prompt="small/talk.md",
        on_enter=Wait(),
        tools=(look_up,),
        expects=expects,
        transitions=(Transition(on=Requested(name="finish", description="Done."), to="bye"),),
    )
    return Flow(
        name="small",
        initial="talk",
        phases=(talk, Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())),
        prompts={"small/talk.md": Prompt("Talk.")},
        seal_unasked=seal_unasked,
    )


class Edge:
    """A call without engines, with its edge: what the conversation sees of what happens."""

    def __init__(self, flow: Flow) -> None:
        self.conversation = Conversation(flow, Inherited(CallId("c")))
        self.vault = Vault()
        self.seen: list[ev.Event] = []
        self.effects: list[object] = []
        self.now_ms = 0
        self._utterances = 0
        self.happens(ev.CallStarted("en-US", "UTC", 0, "", "", {}), ev.LegAttached(LegId("l1"), "test"))
        self.happens(ev.PhaseSwapped(self.conversation.state.epoch))

    def happens(self, *events: ev.Event) -> None:
        for event in events:
            seen = sealed(event, self.conversation, self.vault)
            self.seen.append(seen)
            self.effects += [out.effect for out in self.conversation.handle(seen, self.now_ms)]

    def says(self, *pieces: str, partials: bool = False) -> None:
        """Say it with pauses in it."""
        for piece in pieces:
            self._utterances += 1
            utterance = UtteranceId(f"u{self._utterances}")
            self.happens(ev.CallerStartedSpeaking(utterance, self.now_ms))
            words = piece.split()
            for end in range(1, len(words)) if partials else ():
                self.happens(ev.TranscriptPartial(utterance, " ".join(words[:end])))
            self.now_ms += 1_000
            self.happens(ev.CallerPaused(utterance, self.now_ms), ev.TranscriptFinal(utterance, piece))
            self.now_ms += 100

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.now_ms += 200
            self.happens(ev.DigitsPressed(key))

    def waits(self, ms: int = 10_000) -> None:
        """Let the turn end."""
        end_ms = self.now_ms + ms
        while (due_ms := self.conversation.deadline_ms) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.happens(ev.TimePassed())
        self.now_ms = end_ms

    @property
    def everything(self) -> str:
        """What events, effects and the history show."""
        return repr(self.seen) + repr(self.effects)


def longest_run_in(edge: Edge) -> int:
    pressed = "".join(event.digits for event in edge.seen if isinstance(event, ev.DigitsPressed))
    said = [event.text for event in edge.seen if isinstance(event, ev.TranscriptFinal | ev.TranscriptPartial)]
    runs = [*pressed.replace("•", " ").split(), *(ENGLISH.digits(without_handles(text)) for text in said)]
    return max(map(len, runs), default=0)


@given(_said())
def test_a_long_number_stands_in_no_event_and_no_request(said: str) -> None:
    edge = Edge(a_flow())
    edge.says(f"my card is {said}", partials=True)
    edge.waits()
    assert longest_run_in(edge) < 6, "not even half of it"
    assert "digits⟩" in edge.everything


def test_of_a_number_said_with_pauses_nothing_is_seen_from_the_twelfth_digit_on() -> None:
    edge = Edge(a_flow())
    edge.says("four one one one", "two two two two", "three three three three", "and then 5555")
    edge.waits()
    finals = [event.text for event in edge.seen if isinstance(event, ev.TranscriptFinal)]
    assert finals[2:] == ["⟨digits#0: 4 digits⟩", "and then ⟨digits#0: 4 digits⟩"]


def test_of_a_number_that_is_pressed_half_is_seen_at_most() -> None:
    edge = Edge(a_flow())
    edge.presses(*CARD)
    edge.waits()
    assert longest_run_in(edge) == 6
    assert "⟨digits#0: 16 digits⟩" in edge.everything
    assert "411111" not in edge.everything


def test_of_a_number_that_is_pressed_in_groups_no_more_is_seen() -> None:
    edge = Edge(a_flow())
    for group in ("4111", "2222", "3333", "4444"):
        edge.presses(*group)
        edge.waits(4_000)
    pressed = "".join(event.digits for event in edge.seen if isinstance(event, ev.DigitsPressed))
    assert pressed == "411122" + "•" * 10


def test_a_telephone_number_can_be_pressed_again() -> None:
    edge = Edge(a_flow(Digits(name="phone", length=10)))
    for _ in range(3):
        edge.presses(*"5551234567")
        edge.waits(4_000)
    assert "•" not in edge.everything


def test_a_menu_can_be_gone_through_key_by_key() -> None:
    talk, bye = a_flow().phases
    again = Transition(on=Pressed(digits="5"), to="talk")
    talk = talk.model_copy(update={"transitions": (again, *talk.transitions)})
    edge = Edge(a_flow().model_copy(update={"phases": (talk, bye)}))
    for _ in range(12):
        edge.presses("5")
        edge.happens(ev.PhaseSwapped(edge.conversation.state.epoch))
        edge.waits(1_000)
    assert "•" not in edge.everything


def test_a_number_that_is_pressed_at_once_is_not_seen_at_all() -> None:
    edge = Edge(a_flow())
    edge.presses(CARD)
    edge.waits()
    assert longest_run_in(edge) == 0


def test_a_number_that_the_phase_expects_is_no_secret() -> None:
    edge = Edge(a_flow(Digits(name="tracking", length=16)))
    edge.presses(*CARD)
    edge.waits()
    edge.says(CARD)
    edge.waits()
    assert edge.everything.count(CARD) >= 2


def test_a_number_longer_than_the_phase_expects_is() -> None:
    edge = Edge(a_flow(Digits(name="phone", length=10)))
    edge.says(CARD)
    edge.presses(CARD)
    edge.waits()
    assert longest_run_in(edge) == 0


def test_a_telephone_number_can_be_pressed_where_it_is_expected() -> None:
    edge = Edge(a_flow(Digits(name="phone", length=10)))
    edge.presses(*"5551234567")
    edge.waits()
    assert "'5551234567'" in edge.everything


def test_a_flow_may_take_long_numbers_down_as_they_are() -> None:
    edge = Edge(a_flow(seal_unasked=None))
    edge.says(CARD)
    edge.waits()
    edge.presses(*CARD)
    edge.waits()
    assert edge.everything.count(CARD) >= 2
