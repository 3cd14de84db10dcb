"""What a model is shown of a call: the newest, in order, and never a result without its request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.agent_speech import AgentSpeech
from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch, UtteranceId
from voiceagent.core.transcript import Transcript
from voiceagent.language import language_for
from voiceagent.spec.phase import Carry, LastMessages


def agent_says(transcript: Transcript, text: str, epoch: int, *, heard: bool = True) -> None:
    speech = AgentSpeech(language_for("en"))
    spoken = speech.begin("said", interruptible=True)
    speech.add(spoken, text, last=True)
    transcript.agent(spoken, Epoch(epoch))
    if heard:
        speech.reached(spoken.id, 0, 1_000, finished=True)
    else:
        speech.stopped(spoken.id, 0)


def two_phases() -> Transcript:
    """A greeting in which a tool led to the next phase, and the first words there."""
    transcript = Transcript()
    agent_says(transcript, "Hello.", 1)
    transcript.caller("My number is five.", Epoch(1))
    transcript.requested("q1", "verify", '{"number":5}', Epoch(1))
    transcript.answered("q1", "verify", '{"ok":true}', Epoch(1), failed=False)
    transcript.caller("What now?", Epoch(2))
    return transcript


def shown(transcript: Transcript, carry: Carry, *, epoch: int = 2, at_most: int = 60) -> list[str]:
    return [message.text for message in transcript.window(Epoch(epoch), carry, at_most)]


def test_everything_is_carried_over() -> None:
    words = ["Hello.", "My number is five.", '{"number":5}', '{"ok":true}', "What now?"]
    assert shown(two_phases(), "all") == words


def test_with_facts_only_a_phase_begins_with_the_result_that_led_to_it() -> None:
    assert shown(two_phases(), "facts_only") == ['{"number":5}', '{"ok":true}', "What now?"]


def test_with_facts_only_words_of_another_phase_are_not_shown() -> None:
    transcript = two_phases()
    transcript.caller("Thanks.", Epoch(2))
    assert shown(transcript, "facts_only", epoch=3) == []


def test_the_last_messages_are_carried_over_and_a_result_without_its_request_is_left_out() -> None:
    assert shown(two_phases(), LastMessages(count=2)) == ['{"number":5}', '{"ok":true}', "What now?"]
    assert shown(two_phases(), LastMessages(count=1)) == ["What now?"]


def test_what_nobody_has_heard_was_not_said() -> None:
    transcript = Transcript()
    agent_says(transcript, "Your balance is", 1, heard=False)
    assert transcript.messages() == ()


def test_a_sentence_that_is_cut_off_later_is_cut_in_the_transcript_too() -> None:
    transcript = Transcript()
    speech = AgentSpeech(language_for("en"))
    spoken = speech.begin("reply", interruptible=True)
    speech.add(spoken, "one two three four", last=True)
    speech.queued(spoken.id, 0, 1_000)
    transcript.agent(spoken, Epoch(1))
    assert [message.text for message in transcript.messages()] == ["one two three four"]
    speech.stopped(spoken.id, 500)
    assert [message.text for message in transcript.messages()] == ["one two"]


def test_a_failure_is_shown_as_one() -> None:
    transcript = Transcript()
    transcript.requested("q1", "look_up", "{}", Epoch(1))
    transcript.answered("q1", "look_up", '"no"', Epoch(1), failed=True)
    result = transcript.messages()[-1]
    assert result == Message(2, "tool_result", '"no"', Epoch(1), request="q1", tool="look_up", failed=True)


def test_a_note_is_shown_even_if_it_says_nothing() -> None:
    transcript = Transcript()
    transcript.note("", Epoch(1))
    transcript.caller("", Epoch(1))
    assert [message.role for message in transcript.messages()] == ["note"]


def test_a_result_is_not_kept_by_a_later_request_of_the_same_id() -> None:
    transcript = Transcript()
    for number in range(2):
        transcript.requested("q1", "look_up", f"[{number}]", Epoch(1))
        transcript.answered("q1", "look_up", f"{number}", Epoch(1), failed=False)
    transcript.caller("And?", Epoch(1))
    assert shown(transcript, "all", epoch=1, at_most=4) == ["[1]", "1", "And?"]


# --- whatever was said -----------------------------------------------------------------------------------------------

_roles = st.sampled_from(["caller", "agent", "agent cut off", "request", "result", "note"])
_entries = st.lists(st.tuples(_roles, st.sampled_from(["q1", "q2", "q3"]), st.integers(0, 1)), max_size=30)
_whole: list[Carry] = ["all", "facts_only"]
_carries = st.sampled_from(_whole) | st.builds(LastMessages, count=st.integers(1, 6))


def _written(entries: list[tuple[str, str, int]]) -> Transcript:
    transcript = Transcript()
    epoch = 1
    for role, request, step in entries:
        epoch += step
        match role:
            case "caller":
                transcript.caller("words", Epoch(epoch))
            case "agent" | "agent cut off":
                agent_says(transcript, "words", epoch, heard=role == "agent")
            case "request":
                transcript.requested(request, "look_up", "{}", Epoch(epoch))
            case "result":
                transcript.answered(request, "look_up", "{}", Epoch(epoch), failed=False)
            case _:
                transcript.note("by the way", Epoch(epoch))
    return transcript


@given(_entries, _carries, st.integers(4, 12), st.integers(1, 10))
def test_a_window_is_ordered_bounded_and_has_no_result_without_its_request(
    entries: list[tuple[str, str, int]], carry: Carry, at_most: int, epoch: int
) -> None:
    transcript = _written(entries)
    window = transcript.window(Epoch(epoch), carry, at_most)
    assert len(window) <= at_most
    numbers = [message.number for message in window]
    assert numbers == sorted(set(numbers))
    assert set(window) <= set(transcript.messages())
    requested: set[str | None] = set()
    for message in window:
        if message.role == "tool_request":
            requested.add(message.request)
        if message.role == "tool_result":
            assert message.request in requested, "a result stands before its request, or without one"


@given(_entries, st.integers(4, 12))
def test_with_room_for_everything_everything_of_this_phase_is_shown(
    entries: list[tuple[str, str, int]], epoch: int
) -> None:
    transcript = _written(entries)
    here = [message for message in transcript.messages() if message.epoch >= epoch and message.role != "tool_result"]
    window = transcript.window(Epoch(epoch), "all", 60)
    assert [message for message in window if message.epoch >= epoch and message.role != "tool_result"] == here


def test_words_that_come_late_stand_before_what_was_said_since() -> None:
    transcript = Transcript()
    first, second = UtteranceId("c1"), UtteranceId("c2")
    transcript.began(first)
    transcript.began(second)
    transcript.caller({second: "And a bill."}, Epoch(1))
    transcript.late(first, "I have a visit.", Epoch(1), in_audio=True)
    assert [message.text for message in transcript.messages()] == ["I have a visit.", "And a bill."]


def test_words_that_fill_a_gap_stand_where_it_was() -> None:
    transcript = Transcript()
    first, second = UtteranceId("c1"), UtteranceId("c2")
    transcript.began(first)
    transcript.began(second)
    transcript.caller({first: None, second: "And a bill."}, Epoch(1), in_audio=True)
    assert transcript.words_came(first, "I have a visit.")
    assert [message.text for message in transcript.messages()] == ["I have a visit. And a bill."]
