"""Nova Sonic without a socket: how replies are asked for, where they begin and end, and how they are cut in upon."""

from __future__ import annotations

from tests.models.nova_codec import FRAME, TEXT, Session, kinds, said
from voiceagent.models.nova.protocol import YOUR_TURN
from voiceagent.ports import (
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
)

# --- asking ----------------------------------------------------------------------------------------------------------


def test_an_ask_is_an_interactive_text_short_and_in_brackets() -> None:
    session = Session()
    session.hears()
    session.codec.ask()
    assert session.sent_texts() == [("USER", True, YOUR_TURN)]
    assert YOUR_TURN.startswith("[")
    assert len(YOUR_TURN) < 40


def test_p17_an_ask_waits_for_audio() -> None:
    session = Session()
    session.sent()
    session.codec.ask()
    assert session.sent() == []
    session.codec.hear(bytes(FRAME))
    assert kinds(session.sent()) == ["contentStart AUDIO", "audioInput"]
    session.codec.hear(bytes(FRAME))
    assert kinds(session.sent()) == ["audioInput", *TEXT]


def test_p3_a_reply_is_never_asked_for_while_one_is_being_made() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "Good morning.")
    session.codec.ask()
    assert session.sent() == []
    session.speak(b"\1\0")
    assert session.sent_texts() == [("USER", True, YOUR_TURN)]


def test_p3_a_second_ask_before_the_reply_begins_asks_nothing() -> None:
    session = Session()
    session.hears()
    session.codec.ask()
    session.codec.ask()
    assert len(session.sent_texts()) == 1
    session.reply()
    session.codec.ask()
    assert len(session.sent_texts()) == 1


def test_what_is_only_to_be_known_is_held_until_it_may_speak() -> None:
    session = Session()
    session.hears()
    session.codec.tell([said("agent", "One moment."), said("note", "A key was pressed."), said("caller", "1234")])
    session.hears()
    assert session.sent() == []
    session.codec.ask()
    assert session.sent_texts() == [
        ("USER", True, f"[You have said: One moment.]\n[A key was pressed.]\n1234\n{YOUR_TURN}")
    ]
    session.reply()
    session.codec.ask()
    assert session.sent_texts() == [("USER", True, YOUR_TURN)]


def test_p14_a_text_of_ours_that_comes_back_is_not_the_caller() -> None:
    session = Session()
    session.hears()
    session.codec.ask()
    session.text("USER", "FINAL", YOUR_TURN)
    session.text("USER", "FINAL", "  ")
    assert session.happened() == []


# --- replies ---------------------------------------------------------------------------------------------------------


def test_a_reply_is_all_sentences_up_to_the_end_of_the_turn() -> None:
    session = Session()
    session.hears()
    session.get("completionStart", sessionId="s", promptName="p", completionId="x")
    session.text("USER", "FINAL", "My balance, please.")
    session.text("ASSISTANT", "SPECULATIVE", "Of course.")
    session.speak(b"\1\0", stop="PARTIAL_TURN")
    session.text("ASSISTANT", "SPECULATIVE", "It is twelve euros.")
    session.speak(b"\2\0\3\0")
    assert session.happened() == [
        CallerTranscribed("My balance, please.", final=True),
        ModelReplyBegan("n1"),
        ModelReplyText("n1", "Of course."),
        ModelReplyAudio("n1", b"\1\0"),
        ModelReplyText("n1", "It is twelve euros."),
        ModelReplyAudio("n1", b"\2\0\3\0"),
        ModelReplyEnded("n1", "complete"),
    ]


def test_p15_captions_are_the_words_announced_and_not_those_repeated_seconds_later() -> None:
    session = Session()
    session.hears()
    session.reply("Hello.")
    session.happened()
    session.text("ASSISTANT", "FINAL", "Hello.", stop="END_TURN")
    assert session.happened() == []


def test_a_reply_without_the_end_of_its_audio_ends_with_its_last_words() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "Hello.")
    session.speak(b"\1\0", stop="PARTIAL_TURN")
    session.text("ASSISTANT", "FINAL", "Hello.", stop="END_TURN")
    assert session.happened()[-1] == ModelReplyEnded("n1", "complete")


def test_the_callers_words_do_not_end_a_sentence_that_waits_for_its_audio() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "Hello.")
    session.text("USER", "FINAL", "Hello?")
    session.speak(b"\1\0")
    assert [type(event) for event in session.happened()] == [
        ModelReplyBegan,
        ModelReplyText,
        CallerTranscribed,
        ModelReplyAudio,
        ModelReplyEnded,
    ]


def test_the_end_of_the_completion_ends_what_is_open() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "Hello.")
    session.get("completionEnd", stopReason="END_TURN")
    assert session.happened()[-1] == ModelReplyEnded("n1", "complete")


def test_tokens_are_counted_by_reply() -> None:
    session = Session()
    session.hears()

    def use(spoken: int, written: int) -> None:
        delta = {
            "input": {"speechTokens": spoken, "textTokens": 0},
            "output": {"speechTokens": 1, "textTokens": written},
        }
        session.get("usageEvent", details={"delta": delta, "total": {}}, totalTokens=999)

    use(10, 2)
    session.text("ASSISTANT", "SPECULATIVE", "Hello.")
    use(5, 3)
    session.speak(b"\1\0")
    session.text("ASSISTANT", "SPECULATIVE", "Bye.")
    use(7, 0)
    session.speak(b"\1\0")
    ends = [event for event in session.happened() if isinstance(event, ModelReplyEnded)]
    assert [(end.input_tokens, end.output_tokens) for end in ends] == [(15, 7), (7, 1)]


# --- interruptions and cancelling ------------------------------------------------------------------------------------


def test_a_caller_who_cuts_in_ends_the_reply_once_however_often_nova_says_so() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "The balance of your account")
    identity = session.start("AUDIO", "ASSISTANT")
    session.audio(identity, b"\1\0")
    session.happened()
    session.text("ASSISTANT", "FINAL", '{ "interrupted" : true }', stop="INTERRUPTED")
    session.audio(identity, b"\2\0")
    session.end(identity, "INTERRUPTED")
    assert session.happened() == [ModelInterrupted("n1"), ModelReplyEnded("n1", "cancelled")]


def test_a_reply_that_was_delivered_can_still_be_cut_in_upon() -> None:
    session = Session()
    session.hears()
    session.reply("The balance of your account is twelve euros.")
    session.happened()
    session.text("ASSISTANT", "FINAL", "The balance of", stop="INTERRUPTED")
    assert session.happened() == [ModelInterrupted("n1")]


def test_all_that_has_not_been_heard_is_stale_when_the_caller_cuts_in() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "Let me look.")
    session.speak(b"\1\0", stop="PARTIAL_TURN")
    session.use_tool("t1")
    session.text("ASSISTANT", "SPECULATIVE", "It takes a moment.")
    session.happened()
    session.text("ASSISTANT", "FINAL", "Let", stop="INTERRUPTED")
    assert session.happened() == [
        ModelInterrupted("n1"),
        ModelInterrupted("n2"),
        ModelReplyEnded("n2", "cancelled"),
    ]


def test_an_interruption_that_is_told_late_leaves_the_next_reply_alone() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "The balance")
    late = session.start("TEXT", "ASSISTANT", "FINAL")
    session.speak(b"\1\0", stop="INTERRUPTED")
    session.text("ASSISTANT", "SPECULATIVE", "Yes?")
    session.happened()
    session.end(late, "INTERRUPTED")
    session.speak(b"\2\0")
    assert session.happened() == [ModelReplyAudio("n2", b"\2\0"), ModelReplyEnded("n2", "complete")]


def cut_in_upon(session: Session) -> None:
    session.text("ASSISTANT", "SPECULATIVE", "The balance")
    session.codec.ask()
    session.speak(b"\1\0", stop="INTERRUPTED")


def test_a_caller_who_cuts_in_is_not_spoken_over_by_what_was_asked_before() -> None:
    session = Session()
    session.hears()
    cut_in_upon(session)
    assert session.sent() == []
    session.reply("Yes?")
    assert session.sent() == []


def test_what_is_held_is_told_after_the_answer_to_a_caller_who_cut_in() -> None:
    session = Session()
    session.hears()
    session.codec.tell([said("note", "The transfer is done.")])
    cut_in_upon(session)
    assert session.sent() == []
    session.reply("Yes?")
    assert session.sent_texts() == [("USER", True, f"[The transfer is done.]\n{YOUR_TURN}")]


def test_after_a_cough_the_model_can_be_asked_to_go_on() -> None:
    session = Session()
    session.hears()
    cut_in_upon(session)
    session.codec.ask()
    assert session.sent_texts() == [("USER", True, YOUR_TURN)]


def test_a_cancelled_reply_is_over_at_once_and_its_rest_is_swallowed() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "The balance")
    session.codec.ask()
    session.happened()
    session.codec.cancel()
    assert session.happened() == [ModelReplyEnded("n1", "cancelled")]
    session.speak(b"\1\0", stop="PARTIAL_TURN")
    session.text("ASSISTANT", "SPECULATIVE", "of your account")
    session.speak(b"\2\0")
    assert session.happened() == []
    assert session.sent() == []
    session.reply("Yes?")
    assert session.happened()[0] == ModelReplyBegan("n2")


def test_an_ask_waits_for_the_real_end_of_a_cancelled_reply() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "The balance")
    session.codec.cancel()
    session.codec.ask()
    assert session.sent() == []
    session.speak(b"\1\0")
    assert len(session.sent_texts()) == 1


def test_cancelling_where_nothing_is_said_says_nothing() -> None:
    session = Session()
    session.hears()
    session.codec.cancel()
    session.reply()
    session.happened()
    session.codec.cancel()
    assert session.happened() == []


def test_p2_a_cancelled_generation_starts_no_tool_and_yet_its_tool_use_is_answered() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "I transfer it now.")
    session.codec.cancel()
    session.happened()
    session.use_tool("t1")
    assert session.happened() == []
    assert session.sent_results() == [("t1", {"status": "cancelled"})]
