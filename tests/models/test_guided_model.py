"""The guided model by itself: one request in, one reply out, and nothing remembered in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from pydantic import JsonValue

from voiceagent import (
    Choice,
    Digits,
    Flow,
    Form,
    FreeSpeech,
    GuidedDialogue,
    HangUpAfter,
    Intent,
    Phase,
    Requested,
    Say,
    Slot,
    SpokenAmount,
    SpokenDate,
    SpokenTime,
    TransferTo,
    Transition,
    YesNo,
    tool,
)
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import VoiceFailed
from voiceagent.language import language_for
from voiceagent.models.guided import GuidedModels
from voiceagent.models.guided.understanding import Understanding
from voiceagent.ports import ReplyDone, ReplyPiece, SentText, ToolRequest
from voiceagent.zones import read_zone

UNIX_MS = 1_764_000_000_000
"""November 24th, 2025."""


@tool
async def order_tickets(day: str, at: str, seats: str, price: str, aisle: bool, name: str) -> str:
    """Order tickets for the theatre."""
    raise AssertionError("tools never run here")


@tool
async def find_order(number: str) -> str:
    """Look an order up."""
    raise AssertionError("tools never run here")


@tool
async def leave_note(words: str) -> str:
    """Leave a note for the actors."""
    raise AssertionError("tools never run here")


@tool
async def opening_hours(place: str = "box office") -> str:
    """When a place is open."""
    raise AssertionError("tools never run here")


PLACE = Choice(name="place", options={"bar": ("bar", "the bar"), "box office": ("box office", "ticket office")})

THEATRE = Flow(
    name="theatre",
    initial="desk",
    phases=(
        Phase(
            name="desk",
            tools=(find_order, leave_note, opening_hours),
            transitions=(
                Transition(on=Requested(name="buy_tickets", description="They want tickets."), to="order"),
                Transition(on=Requested(name="leave_message", description="They want to be called back."), to="bye"),
                Transition(on=Requested(name="call_usher", description="They want a person."), to="usher"),
            ),
            guided=GuidedDialogue(
                opening="What can I do for you?",
                intents=(
                    Intent(
                        does=find_order,
                        examples=(
                            "where are the tickets I ordered",
                            "what happened to my order",
                            "look up my order number",
                        ),
                        slots=(
                            Slot(
                                name="number",
                                expects=Digits(name="number", length=6),
                                ask="What is its number?",
                                ask_again="The six digits of the order, please.",
                            ),
                        ),
                    ),
                    Intent(
                        does=opening_hours,
                        examples=("when do you open", "what are your opening hours", "when does the bar open"),
                        slots=(Slot(name="place", expects=PLACE, ask="Of what?"),),
                    ),
                    Intent(
                        does=leave_note,
                        examples=("leave a note for the actors", "write something to the actors"),
                        slots=(Slot(name="words", expects=FreeSpeech(), ask="What shall it say?"),),
                    ),
                    Intent(does="buy_tickets", examples=("I want to buy tickets", "two seats for Hamlet please")),
                    Intent(does="call_usher", examples=("get me an usher", "can an usher help me")),
                    Intent(
                        does="leave_message",
                        examples=("leave a message for the director",),
                        say="The director takes no messages now.",
                    ),
                    Intent(say="We play Hamlet.", examples=("what is on tonight", "which play do you show")),
                ),
                synonyms=(("buy", "admission"),),
                replies={
                    "opening_hours": "The {{ arguments.place }} opens at {{ result }}.",
                    "find_order": "{{ gone }}",
                },
                failures={"find_order": "I cannot find it: {{ reason }}."},
                not_understood="I did not understand that.",
                anything_else="Anything else?",
            ),
        ),
        Phase(
            name="order",
            tools=(order_tickets,),
            guided=GuidedDialogue(
                form=Form(
                    does=order_tickets,
                    slots=(
                        Slot(name="day", expects=SpokenDate(name="day"), ask="For which day?"),
                        Slot(name="at", expects=SpokenTime(name="at"), ask="At what time?"),
                        Slot(
                            name="seats",
                            expects=Choice(name="seats", options={"stalls": ("stalls",), "balcony": ("balcony",)}),
                            ask="Stalls or balcony?",
                        ),
                        Slot(name="price", expects=SpokenAmount(name="price"), ask="At what price?"),
                        Slot(name="aisle", expects=YesNo(name="aisle"), ask="At the aisle?"),
                        Slot(name="name", expects=FreeSpeech(), ask="In whose name?"),
                    ),
                ),
                intents=(Intent(say="We play Hamlet.", examples=("what is on tonight", "which play do you show")),),
            ),
        ),
        Phase(name="usher", ends=TransferTo(target="usher")),
        Phase(name="bye", on_enter=Say(text="Bye."), ends=HangUpAfter()),
    ),
)
read_zone("Europe/London")
EVERYTHING = (
    "find_order",
    "leave_note",
    "opening_hours",
    "buy_tickets",
    "call_usher",
    "leave_message",
    "order_tickets",
)


def caller(text: str, *, epoch: int = 1) -> Message:
    return Message(0, "caller", text, Epoch(epoch))


def agent(text: str, *, epoch: int = 1) -> Message:
    return Message(0, "agent", text, Epoch(epoch))


def called(name: str, result: JsonValue, *, epoch: int = 1, failed: bool = False, **arguments: str) -> list[Message]:
    """A request and what came of it."""
    request = Message(0, "tool_request", json.dumps(arguments), Epoch(epoch), f"{name}-1", name)
    return [request, Message(0, "tool_result", json.dumps(result), Epoch(epoch), f"{name}-1", name, failed)]


def reply(
    *history: Message, phase: str = "desk", epoch: int = 1, tools: Sequence[str] = EVERYTHING
) -> Sequence[ReplyPiece]:
    """Return what a model that has never seen this call replies."""
    numbered = tuple(
        Message(number, m.role, m.text, m.epoch, m.request, m.tool, m.failed) for number, m in enumerate(history, 1)
    )
    request = ModelRequest(phase, Epoch(epoch), "", "", tuple(tools), numbered, {}, UNIX_MS)

    async def pieces() -> list[ReplyPiece]:
        model = GuidedModels().open(THEATRE, locale="en-US", time_zone="Europe/London")
        return [piece async for piece in model.reply(request)]

    return asyncio.run(pieces())


def words(pieces: Sequence[ReplyPiece]) -> str:
    return " ".join(piece.text for piece in pieces if isinstance(piece, SentText))


def asks(pieces: Sequence[ReplyPiece]) -> str | None:
    done = pieces[-1]
    assert isinstance(done, ReplyDone), "the last piece is always the end"
    return done.asks


def understood(pieces: Sequence[ReplyPiece]) -> bool:
    done = pieces[-1]
    assert isinstance(done, ReplyDone), "the last piece is always the end"
    return done.understood


def requested(pieces: Sequence[ReplyPiece]) -> tuple[str, dict[str, JsonValue]] | None:
    found = [(piece.name, json.loads(piece.arguments)) for piece in pieces if isinstance(piece, ToolRequest)]
    return found[0] if found else None


def test_a_phase_begins_with_its_opening() -> None:
    assert words(reply()) == "What can I do for you?"


def test_a_phase_without_a_guided_dialogue_cannot_be_spoken_for() -> None:
    with pytest.raises(VoiceFailed, match="no guided dialogue"):
        reply(phase="bye")


def test_an_intent_without_a_tool_is_an_answer() -> None:
    assert words(reply(caller("What is on tonight?"))) == "We play Hamlet."


def test_words_whose_answer_has_failed_are_answered_after_the_apology() -> None:
    apology = THEATRE.phrases.apology
    assert words(reply(caller("What is on tonight?"), agent("One moment."), agent(apology))) == "We play Hamlet."
    assert words(reply(caller("What is on tonight?"), agent(apology[:12]))) == "We play Hamlet."


def test_a_missing_slot_is_asked_for_by_name() -> None:
    question = reply(caller("What happened to my order?"))
    assert (words(question), asks(question), requested(question)) == ("What is its number?", "number", None)


def test_the_same_history_gives_the_same_reply_whoever_is_asked() -> None:
    history = (caller("What happened to my order?"), agent("What is its number?"), caller("four five one nine two two"))
    assert reply(*history) == reply(*history)
    assert requested(reply(*history)) == ("find_order", {"number": "451922"})


def test_what_was_said_with_the_wish_is_not_asked_for() -> None:
    assert requested(reply(caller("Look up an order, number 451 922."))) == ("find_order", {"number": "451922"})


def test_a_number_of_another_length_is_asked_for_in_other_words() -> None:
    history = (caller("Look up an order"), agent("What is its number?"), caller("four five"))
    assert words(reply(*history)) == "The six digits of the order, please."


def test_a_slot_with_a_default_is_taken_where_it_is_said_and_never_asked_for() -> None:
    assert requested(reply(caller("What are your opening hours?"))) == ("opening_hours", {})
    assert requested(reply(caller("When do you open the bar?"))) == ("opening_hours", {"place": "bar"})


def test_what_is_not_offered_now_is_not_asked_for() -> None:
    refused = reply(caller("Look up an order, number 451922"), tools=("opening_hours",))
    assert requested(refused) is None
    assert words(refused)


def test_what_is_not_offered_now_may_have_words_of_its_own() -> None:
    wish = caller("Leave a message for the director")
    assert words(reply(wish, tools=("opening_hours",))) == "The director takes no messages now."
    assert requested(reply(wish)) == ("leave_message", {})


def test_words_about_nothing_here_are_not_understood() -> None:
    assert words(reply(caller("My cat is stuck in the washing machine"))) == "I did not understand that."


def test_a_reply_tells_whether_the_caller_was_understood() -> None:
    history = (caller("What happened to my order?"), agent("What is its number?"), caller("it begins with a four"))
    assert not understood(reply(caller("My cat is stuck in the washing machine")))
    assert not understood(reply(*history)), "the question had to be asked again"
    assert not understood(reply(caller("the balcony"), caller("nonsense"), phase="order"))
    assert understood(reply(caller("What is on tonight?")))
    assert understood(reply(caller("What happened to my order?")))
    assert understood(reply())


def test_the_rest_of_a_number_completes_it() -> None:
    history = (caller("Look up an order"), agent("What is its number?"), caller("four five one nine"), agent("Again?"))
    assert requested(reply(*history, caller("two two"))) == ("find_order", {"number": "451922"})
    assert requested(reply(*history, caller("four five one nine two two"))) == ("find_order", {"number": "451922"})
    assert requested(reply(*history, caller("four five one nine"))) is None


def test_a_result_is_told_in_the_words_of_its_template() -> None:
    history = (caller("When do you open the bar?"), *called("opening_hours", "six", place="bar"))
    assert words(reply(*history)) == "The bar opens at six. Anything else?"


def test_a_failure_is_told_with_its_reason() -> None:
    history = (caller("Look up an order, 451922"), *called("find_order", "no such order", number="451922", failed=True))
    assert words(reply(*history)) == "I cannot find it: no such order. Anything else?"


def test_a_result_that_does_not_fit_its_template_fails_the_voice() -> None:
    with pytest.raises(VoiceFailed, match="cannot be made"):
        reply(caller("Look up an order, 451922"), *called("find_order", "sent", number="451922"))


def test_what_was_done_can_be_corrected_with_a_word() -> None:
    history = (
        caller("When do you open?"),
        *called("opening_hours", "ten"),
        agent("At ten."),
        caller("I meant the bar"),
    )
    assert requested(reply(*history)) == ("opening_hours", {"place": "bar"})


def test_what_is_asked_for_during_a_lookup_is_done_after_its_answer() -> None:
    request, result = called("opening_hours", "six", place="bar")
    both = reply(caller("When do you open the bar?"), request, caller("And look up an order, 451922"), result)
    assert words(both) == "The bar opens at six."
    assert requested(both) == ("find_order", {"number": "451922"})


def test_the_last_sentence_is_repeated() -> None:
    assert words(reply(agent("We play Hamlet."), caller("Could you repeat that please?"))) == "We play Hamlet."


def test_a_form_is_filled_answer_by_answer_whatever_the_kind() -> None:
    answers = ["March fourteenth twenty twenty six", "half past seven in the evening", "the balcony", "forty dollars"]
    answers += ["no", "Daniel Harris."]
    asked = [asks(reply(*map(caller, answers[:given]), phase="order")) for given in range(6)]
    assert asked == ["day", "at", "seats", "price", "aisle", "name"]
    tickets = {"day": "2026-03-14", "at": "19:30", "seats": "balcony", "price": "40", "aisle": False}
    full = {**tickets, "name": "Daniel Harris"}
    assert requested(reply(*map(caller, answers), phase="order")) == ("order_tickets", full)


def test_a_wish_is_no_answer_to_a_question_that_takes_any_words() -> None:
    answers = [caller("tomorrow at eight"), caller("the balcony"), caller("forty dollars"), caller("no")]
    assert asks(reply(*answers, phase="order")) == "name"
    question = reply(*answers, caller("Which play do you show?"), phase="order")
    assert (words(question), requested(question)) == ("We play Hamlet.", None)


def test_the_words_that_name_a_wish_are_not_what_it_asks_for() -> None:
    wish = caller("I want to leave a note for the actors")
    assert asks(reply(wish)) == "words"
    assert requested(reply(wish, agent("What shall it say?"), caller("Break a leg"))) == (
        "leave_note",
        {"words": "Break a leg"},
    )
    note = reply(wish, agent("What shall it say?"), caller("A note for all actors, break a leg"))
    assert requested(note) == ("leave_note", {"words": "A note for all actors, break a leg"})


def test_an_answer_given_again_replaces_the_first() -> None:
    answers = [
        caller("the balcony, tomorrow at eight"),
        agent("At what price?"),
        caller("sorry, not the balcony, the stalls"),
    ]
    done = reply(*answers, caller("forty dollars"), caller("yes"), caller("Daniel"), phase="order")
    found = requested(done)
    assert found is not None
    assert (found[1]["seats"], found[1]["day"]) == ("stalls", "2025-11-25")


def test_words_that_mean_the_same_here_are_understood() -> None:
    assert requested(reply(caller("Two admissions, please"))) == ("buy_tickets", {})


def test_a_wish_from_an_earlier_phase_is_met_on_entry() -> None:
    met = reply(caller("When do you open the bar?", epoch=1), epoch=2)
    assert requested(met) == ("opening_hours", {"place": "bar"})


def test_no_wish_is_met_twice() -> None:
    history = (caller("When do you open the bar?"), *called("opening_hours", "six", place="bar"), agent("At six."))
    assert requested(reply(*history, epoch=2)) is None


def test_a_wish_that_later_words_have_overtaken_is_not_met() -> None:
    history = (caller("I want to buy tickets"), *called("buy_tickets", "done"))
    later = (caller("never mind then", epoch=2), *called("leave_message", "done", epoch=2))
    assert requested(reply(*history, *later, epoch=3)) is None


def test_a_person_who_was_asked_for_during_a_lookup_is_called_in_the_next_phase() -> None:
    assert requested(reply(caller("Get me an usher"), epoch=2)) == ("call_usher", {})


def test_what_is_asked_for_while_something_is_done_is_met_where_its_answer_is_told() -> None:
    request, result = called("opening_hours", "six", place="bar")
    both = reply(caller("When do you open the bar?"), request, caller("Get me an usher!"), result, epoch=2)
    assert words(both) == "The bar opens at six."
    assert requested(both) == ("call_usher", {})


def test_a_wish_that_would_end_the_call_is_not_carried_on() -> None:
    leaving = caller("I want to leave the director a message", epoch=1)
    assert requested(reply(leaving)) == ("leave_message", {})
    assert requested(reply(leaving, epoch=2)) is None


@pytest.mark.parametrize(
    ("said", "answer"),
    [("No.", False), ("Yes please", True), ("No, on Thursday", None), ("No, at noon", None), ("No, seven", None)],
)
def test_a_yes_or_no_with_a_day_or_a_number_in_it_is_more_than_an_answer(said: str, answer: bool | None) -> None:
    dialogue = THEATRE.by_name["desk"].guided
    assert dialogue is not None
    assert Understanding(dialogue, language_for("en-US")).plain_answer(said) is answer


def test_a_yes_of_an_earlier_phase_is_no_wish() -> None:
    assert words(reply(caller("Yes"), epoch=2)) == "What can I do for you?"
