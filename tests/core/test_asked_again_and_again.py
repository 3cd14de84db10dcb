"""What is asked after every event is remembered: the answers are those of somebody who was never asked before."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from voiceagent.core.agent_speech import AgentSpeech, Spoken
from voiceagent.core.hearing import Hearing
from voiceagent.core.hints import Hints
from voiceagent.core.ids import CallId, UtteranceId
from voiceagent.core.prefetch import PrefetchPlan
from voiceagent.core.state import CallState, Inherited, Outbox
from voiceagent.language import language_for
from voiceagent.spec.expects import Choice, Digits, FreeSpeech, SpokenAmount, SpokenDate, YesNo
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase

# --- how long the caller is waited for -------------------------------------------------------------------------------

FLOW = Flow(
    name="counter",
    initial="open",
    phases=(
        Phase(name="open"),
        Phase(name="abierto", language="es-ES"),
        Phase(
            name="order", expects=(YesNo(), Choice(options={"small": ("small",), "large": ("large",)}), FreeSpeech())
        ),
        Phase(name="bill", expects=(SpokenAmount(), SpokenDate(), Digits(name="number", length=2))),
        Phase(
            name="identify",
            sensitive=True,
            expects=(Digits(name="account", length=4, sealed=True), Digits(name="pin", length=2, sealed=True)),
        ),
    ),
)
_SAID = (
    "yes",
    "sí",
    "small",
    "two hundred",
    "March fourteenth",
    "four five",
    "my number is",
    "I would like to know my balance.",
    "⟨account#1: 4 digits⟩",
    "⟨account#1: 2 digits⟩",
    "⟨pin#1: 2 digits⟩",
    "",
)


class Desk:
    """The caller's desk, and what it goes by."""

    def __init__(self) -> None:
        phase = FLOW.phase(FLOW.initial)
        self.state = CallState(FLOW, Inherited(CallId("c")), language_for("en"), FLOW.facts(), phase)
        self.reads_back = False
        hints = Hints(self.state, PrefetchPlan())
        self.hearing = Hearing(self.state, Outbox(self.state), hints, reads_back=lambda: self.reads_back)
        self._count = 0

    def take(self, step: tuple[str, object]) -> None:
        self.state.now_ms += 700
        match step:
            case ("says", str(text)):
                self._count += 1
                utterance = UtteranceId(f"c{self._count}")
                self.hearing.started(utterance, self.state.now_ms - 500, over_speech=False)
                self.hearing.paused(utterance, self.state.now_ms)
                self.hearing.transcribed(utterance, text)
            case ("presses", str(keys)):
                self.hearing.pressed(keys, "account#1" if self.state.phase.sensitive else None)
            case ("has the keys taken", _):
                self.hearing.forget_keys()
            case ("sounds", float(done)):
                self.hearing.judged(UtteranceId(f"c{self._count}"), done)
            case ("is asked for", str() | None as slot):
                self.hearing.reply_asks(slot)
            case ("comes to", str(phase)):
                self.hearing.leave_phase()
                self.state.phase = FLOW.phase(phase)
                self.state.language = language_for(self.state.locale)
                self.hearing.enter_phase(self.state.phase)
            case ("is read back to", bool(reads_back)):
                self.reads_back = reads_back
            case _:
                self.hearing.take_turn()


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("says"), st.sampled_from(_SAID)),
        st.tuples(st.just("presses"), st.sampled_from(["1", "12"])),
        st.just(("has the keys taken", None)),
        st.tuples(st.just("sounds"), st.sampled_from([0.1, 0.7, 0.95])),
        st.tuples(st.just("is asked for"), st.sampled_from(["account", "pin", "answer", "amount", "number", None])),
        st.tuples(st.just("comes to"), st.sampled_from(list(FLOW.by_name))),
        st.tuples(st.just("is read back to"), st.booleans()),
        st.just(("has finished", None)),
    ),
    max_size=8,
)


def _never_asked(steps: Sequence[tuple[str, object]]) -> Desk:
    desk = Desk()
    for step in steps:
        desk.take(step)
    return desk


@given(_steps)
@example([("says", "four five"), ("says", "six")])
@example([("comes to", "bill"), ("says", "two hundred"), ("comes to", "open")])
@example([("says", "sí"), ("comes to", "abierto")])
@example(
    [
        ("comes to", "identify"),
        ("says", "⟨account#1: 2 digits⟩"),
        ("presses", "12"),
        ("has the keys taken", None),
    ]
)
@example([("says", "yes"), ("is read back to", True)])
def test_how_long_a_caller_is_waited_for_does_not_depend_on_how_often_that_was_asked(
    steps: list[tuple[str, object]],
) -> None:
    asked = Desk()
    for number, step in enumerate(steps, start=1):
        asked.take(step)
        anew = _never_asked(steps[:number])
        assert asked.hearing.deadline_ms == anew.hearing.deadline_ms
    assert asked.hearing.take_turn() == _never_asked(steps).hearing.take_turn()


# --- who speaks, and what they have said -----------------------------------------------------------------------------

_utterances = st.integers(1, 6)
_acts = st.lists(
    st.one_of(
        st.tuples(st.just("begins"), st.sampled_from([None, None, "u1", "u2"])),
        st.tuples(st.just("says"), _utterances, st.sampled_from(["One moment.", "You owe", "nothing", ""])),
        st.tuples(st.just("lasts"), _utterances, st.integers(0, 3), st.integers(0, 2_000)),
        st.tuples(st.just("fails"), _utterances, st.integers(0, 3), st.integers(0, 2_000)),
        st.tuples(st.just("is heard"), _utterances, st.integers(0, 3), st.booleans()),
        st.tuples(st.just("is stopped"), _utterances, st.integers(0, 4_000)),
        st.tuples(st.just("is forgotten"), st.integers(1, 2)),
    ),
    max_size=30,
)


@given(_acts)
@example([("begins", None), ("says", 1, "You owe"), ("is heard", 1, 0, True)])
@example([("begins", None), ("says", 1, "You owe"), ("says", 1, "nothing"), ("fails", 1, 0, 0)])
def test_the_agent_is_taken_to_say_what_its_utterances_say(acts: list[tuple[object, ...]]) -> None:
    speech = AgentSpeech(language_for("en"))
    begun: dict[UtteranceId, Spoken] = {}
    for act in acts:
        match act:
            case ("begins", str() | None as own):
                utterance = UtteranceId(own) if own is not None else None
                spoken = speech.begin("reply", interruptible=True, utterance=utterance)
                begun[spoken.id] = spoken
            case ("says", int(number), str(text)) if (spoken := _the(number, begun)) is not None:
                speech.add(spoken, text, last=not text)
            case ("lasts", int(number), int(clause), int(ms)) if (spoken := _the(number, begun)) is not None:
                speech.queued(spoken.id, clause, ms)
            case ("fails", int(number), int(clause), int(ms)) if (spoken := _the(number, begun)) is not None:
                speech.failed(spoken.id, clause, ms)
            case ("is heard", int(number), int(clause), bool(to_its_end)) if _the(number, begun) is not None:
                speech.reached(list(begun)[number - 1], clause, 500, finished=to_its_end)
            case ("is stopped", int(number), int(ms)) if (spoken := _the(number, begun)) is not None:
                speech.stopped(spoken.id, ms)
            case ("is forgotten", int(keep)):
                speech.forget_finished(keep)
                begun = {name: spoken for name, spoken in begun.items() if speech.get(name) is spoken}
            case _:
                pass
        unfinished = tuple(spoken for spoken in begun.values() if not spoken.over)
        assert speech.unfinished == unfinished
        assert speech.busy == bool(unfinished)
        assert speech.sounding == tuple(spoken for spoken in unfinished if spoken.sounding)
        for spoken in begun.values():
            assert spoken.text == " ".join(clause.text for clause in spoken.clauses if clause.text)


def _the(number: int, begun: dict[UtteranceId, Spoken]) -> Spoken | None:
    """Return the utterance that was begun as the so-manieth of those that are known."""
    return list(begun.values())[number - 1] if number <= len(begun) else None
