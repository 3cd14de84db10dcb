"""Gemini Live's protocol without a connection: what is sent and posted, in what order, and what is never sent."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.gemini_live_server import (
    BALANCE,
    GENERATED,
    GOODBYE,
    INTERRUPTED,
    SETUP_COMPLETE,
    THOUGHT,
    TURN_COMPLETE,
    WHAT,
    WHO,
    Frame,
    audio,
    calls,
    cancels,
    done,
    go_away,
    heard,
    message,
    phase,
    result,
    said,
)
from voiceagent.core.ids import Epoch
from voiceagent.models.gemini_live import LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING, Generation, generation_of
from voiceagent.models.gemini_live.frames import setup_frame
from voiceagent.models.gemini_live.generations import PCM_16K, PCM_24K, capabilities_of
from voiceagent.models.gemini_live.protocol import MOST_AUDIO_MS, LiveProtocol
from voiceagent.ports import (
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    RequestsWithdrawn,
    SessionEnding,
    SetupInForce,
    SpeechCapabilities,
)

GENERATIONS = [LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING]
BLOCKING = [LIVE_2, LIVE_3_1, LIVE_3_8]


def named(generation: Generation) -> str:
    return generation.name


def begun(generation: Generation = LIVE_3_8, *, setup: Any = WHO) -> LiveProtocol:
    protocol = LiveProtocol(setup, generation)
    assert not protocol.ready
    protocol.receive(json.dumps(SETUP_COMPLETE))
    assert protocol.ready
    return protocol


def receive(protocol: LiveProtocol, *frames: Frame | str | bytes) -> list[Any]:
    """Return what these frames have posted."""
    for frame in frames:
        protocol.receive(json.dumps(frame) if isinstance(frame, Mapping) else frame)
    return protocol.events()


def sent(protocol: LiveProtocol) -> list[Any]:
    return [json.loads(out) if isinstance(out, str) else out for out in protocol.outgoing()]


def turns(*turns: tuple[str, str], complete: bool) -> Frame:
    content: dict[str, Any] = {"turnComplete": complete}
    if turns:
        content["turns"] = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    return {"clientContent": content}


def with_request(generation: Generation = LIVE_3_8) -> LiveProtocol:
    """A model that has asked for one tool and waits."""
    protocol = begun(generation)
    protocol.hear(b"\0\0")
    receive(protocol, calls(("c1", "verify_caller", {"pin": "1"})))
    protocol.outgoing()
    return protocol


# --- the row ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "swap"), [(LIVE_2, "new_session"), (LIVE_3_1, "new_session"), (LIVE_3_8, "in_place")]
)
def test_the_row_says_what_the_facts_say(generation: Generation, swap: Any) -> None:
    assert capabilities_of(generation) == SpeechCapabilities(
        name="gemini_live",
        swap=swap,
        audio_in=(PCM_16K,),
        audio_out=(PCM_24K,),
        transcribes=True,
        session_limit_ms=600_000,
        idle_limit_ms=None,
    )


@pytest.mark.parametrize(
    ("model", "generation"),
    [
        ("gemini-2.0-flash-live-001", LIVE_2),
        ("models/gemini-2.5-flash-native-audio-preview-12-2025", LIVE_2),
        ("gemini-live-2.5-flash-native-audio", LIVE_2),
        ("gemini-3.1-flash-live-preview", LIVE_3_1),
        ("gemini-3.8-live", LIVE_3_8),
        ("gemini-3.10-live", LIVE_3_8),
        ("gemini-3.8-live-extended-thinking", LIVE_3_8_THINKING),
        ("my-tuned-model", LIVE_2),
    ],
)
def test_a_models_name_says_how_it_is_swapped(model: str, generation: Generation) -> None:
    assert generation_of(model) == generation


# --- the setup -------------------------------------------------------------------------------------------------------


def setup_of(generation: Generation, setup: Any = WHO, **options: Any) -> Any:
    return json.loads(setup_frame("gemini-3.8-live", setup, generation, **options))["setup"]


def test_the_setup_has_prompt_and_late_facts_as_two_paragraphs_and_the_voice() -> None:
    setup = setup_of(LIVE_2, phase(1, "Static.", late_facts="Late.", voice="Kore"))
    assert setup["systemInstruction"] == {"role": "user", "parts": [{"text": "Static."}, {"text": "Late."}]}
    assert setup["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
    assert setup["model"] == "models/gemini-3.8-live"


def test_the_setup_asks_for_all_that_is_off_by_default() -> None:
    setup = setup_of(LIVE_3_8, end_of_speech_ms=600)
    assert setup["inputAudioTranscription"] == setup["outputAudioTranscription"] == {}
    assert setup["contextWindowCompression"] == {"slidingWindow": {}}
    assert setup["realtimeInputConfig"] == {
        "automaticActivityDetection": {"silenceDurationMs": 600},
        "activityHandling": "START_OF_ACTIVITY_INTERRUPTS",
    }


def test_no_session_is_resumed_so_no_handle_is_asked_for() -> None:
    assert "sessionResumption" not in setup_of(LIVE_3_8)


def test_only_the_phases_tools_are_in_the_setup_and_a_phase_without_tools_has_no_list() -> None:
    (tool,) = setup_of(LIVE_2)["tools"]
    assert [function["name"] for function in tool["functionDeclarations"]] == ["verify_caller", "say_goodbye"]
    assert "tools" not in setup_of(LIVE_2, phase(1, "Listen."))


@pytest.mark.parametrize(
    ("generation", "behavior"),
    [(LIVE_2, None), (LIVE_3_1, None), (LIVE_3_8, "BLOCKING"), (LIVE_3_8_THINKING, "NON_BLOCKING")],
)
def test_a_model_that_would_not_wait_for_tools_is_told_to(generation: Generation, behavior: str | None) -> None:
    (tool,) = setup_of(generation)["tools"]
    assert {function.get("behavior") for function in tool["functionDeclarations"]} == {behavior}


# --- caller audio ----------------------------------------------------------------------------------------------------


def bytes_in(frames: Sequence[Any]) -> bytes:
    return b"".join(base64.b64decode(frame["realtimeInput"]["audio"]["data"]) for frame in frames)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 20_000), max_size=8), st.integers(0, 2**32))
def test_audio_of_any_length_arrives_whole_and_in_whole_samples(lengths: list[int], seed: int) -> None:
    luck = random.Random(seed)  # noqa: S311 - any noise will do
    protocol = begun()
    pieces = [luck.randbytes(length) for length in lengths]
    for piece in pieces:
        protocol.hear(piece)
    frames = sent(protocol)
    said_bytes = b"".join(pieces)
    assert bytes_in(frames) == said_bytes[: len(said_bytes) // 2 * 2]
    for frame in frames:
        size = len(bytes_in([frame]))
        assert 0 < size <= MOST_AUDIO_MS * 32
        assert size % 2 == 0


def test_a_pause_of_the_audio_is_told_once() -> None:
    protocol = begun()
    protocol.pause()
    assert sent(protocol) == []
    protocol.hear(b"\1\0")
    assert protocol.hearing
    protocol.pause()
    protocol.pause()
    assert sent(protocol)[1:] == [{"realtimeInput": {"audioStreamEnd": True}}]
    assert not protocol.hearing


# --- a reply ---------------------------------------------------------------------------------------------------------


def test_a_reply_comes_with_its_words_its_audio_and_its_tokens() -> None:
    events = receive(
        begun(), THOUGHT, said("Hello"), audio(b"\1\0"), said(" Ada."), audio(b"\2\0"), GENERATED, done(1197, 37, 28)
    )
    assert events == [
        ModelReplyBegan("g1"),
        ModelReplyText("g1", "Hello"),
        ModelReplyAudio("g1", b"\1\0"),
        ModelReplyText("g1", " Ada."),
        ModelReplyAudio("g1", b"\2\0"),
        ModelReplyEnded("g1", "complete", "", 1197, 65),
    ]


def test_tokens_of_the_prompt_that_were_cached_are_counted_by_reply() -> None:
    events = receive(begun(), audio(b"\1\0"), done(1197, 37, cached=1024), audio(b"\2\0"), done(1300, 5))
    ends = [event for event in events if isinstance(event, ModelReplyEnded)]
    assert [(end.input_tokens, end.cached_tokens) for end in ends] == [(1197, 1024), (1300, 0)]


def test_words_that_come_before_any_audio_belong_to_the_reply_that_begins() -> None:
    assert receive(begun(), said("Hello"), said(" Ada."), audio(b"\1\0")) == [
        ModelReplyBegan("g1"),
        ModelReplyText("g1", "Hello Ada."),
        ModelReplyAudio("g1", b"\1\0"),
    ]


def test_words_that_come_after_the_turn_begin_no_reply_that_would_never_end() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    assert receive(protocol, said("late")) == []
    protocol.ask()
    assert sent(protocol) == [turns(complete=True)]


def test_one_message_may_carry_everything_at_once() -> None:
    content = {
        "inputTranscription": {"text": "Hi"},
        **audio(b"\1\0")["serverContent"],
        "outputTranscription": {"text": "Hello"},
        "generationComplete": True,
        "turnComplete": True,
    }
    assert receive(begun(), {"serverContent": content, "usageMetadata": {"promptTokenCount": 3}}) == [
        CallerTranscribed("Hi", final=False),
        CallerTranscribed("Hi", final=True),
        ModelReplyBegan("g1"),
        ModelReplyAudio("g1", b"\1\0"),
        ModelReplyText("g1", "Hello"),
        ModelReplyEnded("g1", "complete", "", 3, 0),
    ]


def test_audio_in_either_alphabet_of_base64_is_the_same_audio() -> None:
    blob = {"mimeType": "audio/pcm;rate=24000", "data": "-_8"}
    frame = {"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}}
    assert ModelReplyAudio("g1", b"\xfb\xff") in receive(begun(), frame)


def test_samples_that_are_cut_in_two_are_put_together() -> None:
    assert receive(begun(), audio(b"\1"), audio(b"\2\3\4\5"), TURN_COMPLETE, audio(b"\6\7")) == [
        ModelReplyBegan("g1"),
        ModelReplyAudio("g1", b"\1\2\3\4"),
        ModelReplyEnded("g1", "complete"),
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\6\7"),
    ]


def test_a_turn_that_the_model_gave_up_is_a_reply_that_failed() -> None:
    gave_up = {"serverContent": {"turnComplete": True, "turnCompleteReason": "MALFORMED_FUNCTION_CALL"}}
    assert receive(begun(), gave_up) == [
        ModelReplyBegan("g1"),
        ModelReplyEnded("g1", "failed", "the model gave up: MALFORMED_FUNCTION_CALL"),
    ]
    waits = {"serverContent": {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"}}
    assert receive(begun(), waits) == []


def test_a_reply_that_was_asked_for_and_is_empty_has_failed() -> None:
    protocol = begun()
    protocol.ask()
    assert receive(protocol, TURN_COMPLETE) == [
        ModelReplyBegan("g1"),
        ModelReplyEnded("g1", "failed", "the model said nothing"),
    ]
    assert receive(begun(), TURN_COMPLETE) == []  # nobody had asked


def test_the_caller_cuts_in() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    assert receive(protocol, heard(" Stop"), INTERRUPTED) == [
        CallerTranscribed("Stop", final=False),
        CallerTranscribed("Stop", final=True),
        ModelInterrupted("g1"),
    ]
    assert receive(protocol, done(5)) == [ModelReplyEnded("g1", "cancelled", "", 5, 0)]


def test_the_caller_cuts_in_on_what_has_been_made_and_is_still_being_heard() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    assert receive(protocol, INTERRUPTED, INTERRUPTED) == [ModelInterrupted("g1")]


def test_what_comes_after_an_interruption_is_another_reply() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"), INTERRUPTED)
    assert receive(protocol, audio(b"\2\0")) == [
        ModelReplyEnded("g1", "cancelled"),
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\2\0"),
    ]


# --- asking and cancelling -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "frames"),
    [
        (LIVE_2, [turns(("user", "[It is your turn to speak.]"), complete=True)]),
        (LIVE_3_1, [turns(complete=True)]),
        (LIVE_3_8, [turns(complete=True)]),
        (LIVE_3_8_THINKING, [turns(complete=True)]),
    ],
    ids=map(named, GENERATIONS),
)
def test_a_reply_is_asked_for_in_a_way_that_the_model_takes(generation: Generation, frames: list[Frame]) -> None:
    protocol = begun(generation)
    protocol.ask()
    assert sent(protocol) == frames


@pytest.mark.parametrize("generation", GENERATIONS, ids=named)
def test_p3_a_reply_is_never_asked_for_while_one_is_being_made(generation: Generation) -> None:
    protocol = begun(generation)
    protocol.hear(b"\0\0")
    receive(protocol, audio(b"\1\0"))
    protocol.outgoing()
    protocol.ask()
    receive(protocol, audio(b"\1\0"), GENERATED)
    assert sent(protocol) == []
    receive(protocol, TURN_COMPLETE)
    assert len(sent(protocol)) == 1
    protocol.ask()  # and this one waits for the reply that has been asked for
    assert sent(protocol) == []


def test_a_cancelled_reply_ends_at_once_and_what_comes_of_it_is_swallowed() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    protocol.cancel()
    assert protocol.events() == [ModelReplyEnded("g1", "cancelled")]
    assert sent(protocol) == []
    assert receive(protocol, audio(b"\2\0"), said("and"), INTERRUPTED, done(5, 7)) == []
    assert receive(protocol, audio(b"\3\0"), done(1, 1)) == [
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\3\0"),
        ModelReplyEnded("g2", "complete", "", 6, 8),  # what the swallowed one took has been paid for too
    ]


def test_cancelling_twice_or_nothing_ends_nothing_twice() -> None:
    protocol = begun()
    protocol.cancel()
    receive(protocol, audio(b"\1\0"))
    protocol.cancel()
    protocol.cancel()
    assert protocol.events() == [ModelReplyEnded("g1", "cancelled")]


def test_cancelling_forgets_an_ask_that_has_not_been_sent() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    protocol.ask()
    protocol.cancel()
    receive(protocol, TURN_COMPLETE)
    assert sent(protocol) == []


def test_a_reply_that_was_asked_for_and_cancelled_before_it_began_is_not_heard() -> None:
    protocol = begun()
    protocol.ask()
    protocol.cancel()
    assert receive(protocol, audio(b"\1\0"), TURN_COMPLETE) == []


def test_a_caller_who_cuts_in_before_the_reply_that_was_asked_for_is_answered_instead() -> None:
    protocol = begun()
    protocol.ask()
    protocol.outgoing()
    assert receive(protocol, INTERRUPTED, TURN_COMPLETE) == []
    protocol.ask()
    assert sent(protocol) == [turns(complete=True)]


def test_a_caller_who_speaks_after_a_cancelled_ask_is_answered() -> None:
    protocol = begun()
    protocol.ask()
    protocol.cancel()
    assert ModelReplyBegan("g1") in receive(protocol, heard("What?"), audio(b"\1\0"))


def test_a_tool_that_a_swallowed_reply_asks_for_is_not_run_and_does_not_hold_up_the_next_reply() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    protocol.cancel()
    protocol.events()
    assert receive(protocol, calls(("c1", "verify_caller", {}))) == []
    protocol.ask()
    (frame,) = sent(protocol)
    (response,) = frame["toolResponse"]["functionResponses"]
    assert (response["id"], list(response["response"])) == ("c1", ["error"])


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_request_ends_its_reply_and_comes_after_the_callers_words() -> None:
    call = calls(("c1", "verify_caller", {"pin": "ü1"}), ("c2", "get_balance", {}))
    assert receive(begun(), heard(" My pin"), call) == [
        CallerTranscribed("My pin", final=False),
        CallerTranscribed("My pin", final=True),
        ModelReplyBegan("g1"),
        ModelToolRequested("g1", "c1", "verify_caller", '{"pin": "ü1"}'),
        ModelToolRequested("g1", "c2", "get_balance", "{}"),
        ModelReplyEnded("g1", "complete"),
    ]


def test_a_request_without_an_id_is_answered_without_one() -> None:
    protocol = begun()
    events = receive(protocol, calls((None, "say_goodbye", {}), (None, "say_goodbye", {})))
    first, second = [event.request for event in events if isinstance(event, ModelToolRequested)]
    assert first != second
    protocol.tell([result(first, "1"), result(second, "2")])
    protocol.ask()
    assert sent(protocol) == [
        {
            "toolResponse": {
                "functionResponses": [
                    {"name": "say_goodbye", "response": {"output": 1}},
                    {"name": "say_goodbye", "response": {"output": 2}},
                ]
            }
        }
    ]


@pytest.mark.parametrize("generation", BLOCKING, ids=named)
def test_a_result_is_not_sent_before_the_reply_to_it_is_asked_for(generation: Generation) -> None:
    protocol = with_request(generation)
    protocol.tell([result("c1", '{"verified": true}')])
    assert sent(protocol) == []  # it would make the model speak
    protocol.ask()
    response = {"name": "verify_caller", "response": {"output": {"verified": True}}, "id": "c1"}
    assert sent(protocol) == [{"toolResponse": {"functionResponses": [response]}}]


def test_a_model_that_does_not_wait_is_asked_and_told_while_a_tool_runs() -> None:
    protocol = with_request(LIVE_3_8_THINKING)
    protocol.tell([message("note", "[A letter came.]")])
    protocol.ask()
    assert sent(protocol) == [turns(("user", "[A letter came.]"), complete=False), turns(complete=True)]
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    protocol.tell([result("c1", "no JSON", failed=True)])
    assert sent(protocol) == []  # its result makes it speak too
    protocol.ask()
    response = {"name": "verify_caller", "response": {"error": "no JSON"}, "id": "c1"}
    assert sent(protocol) == [{"toolResponse": {"functionResponses": [response]}}]


def test_a_model_that_thinks_on_after_its_turn_is_not_disturbed() -> None:
    protocol = begun(LIVE_3_8_THINKING)
    thinks_on = {"serverContent": {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}}
    assert receive(protocol, audio(b"\1\0"), thinks_on)[-1] == ModelReplyEnded("g1", "complete")
    protocol.ask()
    assert receive(protocol, thinks_on) == []
    assert sent(protocol) == []
    receive(protocol, {"serverContent": {"turnComplete": True, "interactionStatus": "IDLE"}})
    assert sent(protocol) == [turns(complete=True)]


@pytest.mark.parametrize("generation", BLOCKING, ids=named)
def test_p2_a_reply_waits_until_every_request_has_its_result(generation: Generation) -> None:
    protocol = begun(generation)
    protocol.hear(b"\0\0")
    receive(protocol, calls(("c1", "verify_caller", {}), ("c2", "get_balance", {})))
    protocol.outgoing()
    protocol.tell([result("c2", "2")])
    protocol.ask()
    assert sent(protocol) == []
    protocol.tell([result("c1", "1")])
    (frame,) = sent(protocol)
    assert [response["id"] for response in frame["toolResponse"]["functionResponses"]] == ["c2", "c1"]


def test_each_request_is_answered_once() -> None:
    protocol = with_request()
    protocol.tell([result("c1", "1")])
    protocol.ask()
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    protocol.outgoing()
    protocol.tell([result("c1", "2")])
    assert sent(protocol) == [turns(("user", "[Earlier, verify_caller returned: 2]"), complete=False)]


def test_what_is_told_beside_a_result_goes_with_it() -> None:
    """A reply that a result sets off takes no notice of `clientContent` beside it."""
    protocol = with_request()
    protocol.tell(
        [
            message("agent", "One moment."),
            message("note", "[A letter came.]"),
            result("c1", "true"),
            message("note", " "),
        ]
    )
    protocol.ask()
    (frame,) = sent(protocol)
    (response,) = frame["toolResponse"]["functionResponses"]
    notes = ["[You said: One moment.]", "[A letter came.]"]
    assert response["response"] == {"output": {"result": True, "notes": notes}}


def test_the_models_own_request_is_not_told_back_to_it() -> None:
    protocol = with_request()
    protocol.tell([message("tool_request", "{}", request="c1", tool="verify_caller"), result("c1", "1")])
    protocol.ask()
    (frame,) = sent(protocol)
    assert frame["toolResponse"]["functionResponses"][0]["response"] == {"output": 1}


def test_p8_a_pair_of_an_earlier_session_is_told_in_words() -> None:
    protocol = begun()
    protocol.tell([message("tool_request", '{"pin": "1"}', request="old", tool="verify_caller"), result("old", "true")])
    told = '[Earlier, verify_caller({"pin": "1"}) returned: true]'
    assert sent(protocol) == [turns(("user", told), complete=False)]


def test_requests_that_the_model_gives_up_are_withdrawn_once_and_the_next_ask_goes_out() -> None:
    protocol = with_request()
    protocol.ask()
    assert receive(protocol, cancels("c1", "unknown"), cancels("c1")) == [RequestsWithdrawn(("c1",))]
    assert sent(protocol) == [turns(complete=True)]


def test_a_result_whose_request_is_withdrawn_before_it_was_sent_is_told_in_words() -> None:
    protocol = with_request()
    protocol.tell([result("c1", "true")])
    assert receive(protocol, cancels("c1")) == []
    assert sent(protocol) == [turns(("user", "[Earlier, verify_caller returned: true]"), complete=False)]


def test_the_end_of_a_tool_turn_may_come_late_and_is_not_the_end_of_the_reply_to_its_result() -> None:
    protocol = with_request()
    protocol.tell([result("c1", "1")])
    protocol.ask()
    assert receive(protocol, TURN_COMPLETE) == []
    assert receive(protocol, audio(b"\1\0"), TURN_COMPLETE) == [
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\1\0"),
        ModelReplyEnded("g2", "complete"),
    ]


# --- telling ---------------------------------------------------------------------------------------------------------


def test_history_is_told_before_the_first_audio_and_sets_off_no_reply() -> None:
    protocol = begun(LIVE_3_8)
    protocol.tell([message("agent", "Hello."), message("caller", "Hi."), message("caller", "It's me.")])
    protocol.hear(b"\1\0")
    history, first_audio = sent(protocol)
    assert history == turns(
        ("user", "[The call begins.]"), ("model", "Hello."), ("user", "Hi.\nIt's me."), complete=False
    )
    assert "audio" in first_audio["realtimeInput"]


def test_p12_a_history_for_a_2_5_model_ends_with_the_caller() -> None:
    protocol = begun(LIVE_2)
    protocol.tell([message("caller", "Hi."), message("agent", "Hello.")])
    assert sent(protocol) == [
        turns(("user", "Hi."), ("model", "Hello."), ("user", "[The call goes on from here.]"), complete=False)
    ]
    protocol.tell([message("agent", "One moment.")])
    assert sent(protocol) == [turns(("model", "One moment."), complete=False)]


@pytest.mark.parametrize("generation", GENERATIONS, ids=named)
def test_words_are_not_told_while_the_model_speaks_since_they_would_cut_it_off(generation: Generation) -> None:
    protocol = begun(generation)
    receive(protocol, audio(b"\1\0"))
    protocol.tell([message("note", "[A letter came.]")])
    assert sent(protocol) == []
    receive(protocol, TURN_COMPLETE)
    assert [list(frame) for frame in sent(protocol)] == [["clientContent"]]


def test_nothing_worth_telling_is_not_told() -> None:
    protocol = begun()
    protocol.tell([])
    protocol.tell([message("caller", "  ")])
    assert sent(protocol) == []


# --- swapping in place -----------------------------------------------------------------------------------------------


def test_an_update_changes_what_differs_and_is_in_force_when_it_has_been_sent() -> None:
    protocol = begun()
    protocol.update(WHAT)
    update, in_force = sent(protocol)
    assert update == {
        "contextUpdate": {
            "systemInstruction": {
                "role": "user",
                "parts": [{"text": "Help with the account."}, {"text": "The caller is Ada."}],
            },
            "tools": {
                "tools": [
                    {
                        "functionDeclarations": [
                            {
                                "name": "get_balance",
                                "description": "Look up the balance.",
                                "parameters": {
                                    "type": "OBJECT",
                                    "properties": {
                                        "account": {
                                            "type": "STRING",
                                            "enum": ["checking", "savings"],
                                            "format": "enum",
                                        }
                                    },
                                },
                                "behavior": "BLOCKING",
                            },
                            {"name": "say_goodbye", "description": "The caller is done.", "behavior": "BLOCKING"},
                        ]
                    }
                ]
            },
        }
    }
    assert in_force == SetupInForce(Epoch(2))


def test_an_update_sends_nothing_that_stays_and_clears_tools_that_go() -> None:
    protocol = begun(setup=phase(1, "Same.", BALANCE))
    protocol.update(phase(2, "Same.", BALANCE))
    assert sent(protocol) == [SetupInForce(Epoch(2))]
    protocol.update(phase(3, "Same."))
    assert sent(protocol) == [{"contextUpdate": {"tools": {"tools": []}}}, SetupInForce(Epoch(3))]
    protocol.update(phase(4, "Other."))
    update, _ = sent(protocol)
    assert list(update["contextUpdate"]) == ["systemInstruction"]


def test_p1_the_swap_comes_before_the_result_of_the_tool_that_led_to_it() -> None:
    protocol = with_request()
    protocol.update(WHAT)
    protocol.tell([result("c1", "true")])
    protocol.ask()
    update, in_force, response = sent(protocol)
    assert (list(update), in_force, list(response)) == (["contextUpdate"], SetupInForce(Epoch(2)), ["toolResponse"])


def test_p18_nothing_is_sent_that_would_be_answered_under_the_prompt_that_is_about_to_go() -> None:
    """A result told too early, even one that is asked for too early but not all of what is owed, sets off no reply."""
    protocol = begun()
    receive(protocol, calls(("c1", "verify_caller", {}), ("c2", "get_balance", {})))
    protocol.tell([result("c1", "true"), message("note", "[A letter came.]")])
    protocol.ask()
    assert sent(protocol) == []
    protocol.update(WHAT)
    protocol.tell([result("c2", "1")])
    assert [list(out) if isinstance(out, dict) else out for out in sent(protocol)] == [
        ["contextUpdate"],
        SetupInForce(Epoch(2)),
        ["toolResponse"],
    ]


# --- the caller's words ----------------------------------------------------------------------------------------------


def test_pieces_of_the_callers_words_are_a_whole_when_the_reply_begins() -> None:
    assert receive(begun(), heard(" Hello"), heard(","), heard(" my name"), THOUGHT, heard(" is"), TURN_COMPLETE) == [
        CallerTranscribed("Hello", final=False),
        CallerTranscribed("Hello,", final=False),
        CallerTranscribed("Hello, my name", final=False),
        CallerTranscribed("Hello, my name", final=True),
        ModelReplyBegan("g1"),
        CallerTranscribed("is", final=False),
        CallerTranscribed("is", final=True),
        ModelReplyEnded("g1", "complete"),
    ]


def test_words_that_the_model_calls_finished_are_final() -> None:
    assert receive(begun(), heard("Yes", finished=True), TURN_COMPLETE) == [
        CallerTranscribed("Yes", final=False),
        CallerTranscribed("Yes", final=True),
    ]


def test_words_in_the_making_are_a_partial() -> None:
    interim = {"serverContent": {"interimInputTranscription": {"text": "Ye"}}}
    assert receive(begun(), interim) == [CallerTranscribed("Ye", final=False)]


def test_p14_words_that_are_none_are_not_the_callers() -> None:
    assert receive(begun(), heard(""), heard("  "), heard("\n", finished=True), TURN_COMPLETE) == []


# --- the end is near -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "left_ms"), [("50s", 50_000), ("9.500s", 9_500), ("0s", 0), ("soon", 0), ("", 0)])
def test_the_end_of_the_connection_is_announced_once(left: str, left_ms: int) -> None:
    assert receive(begun(), go_away(left), go_away(left)) == [SessionEnding(left_ms)]


def test_the_end_may_be_announced_while_a_tool_runs() -> None:
    protocol = with_request()
    assert receive(protocol, go_away("60s")) == [SessionEnding(60_000)]
    protocol.tell([result("c1", "1")])
    protocol.ask()
    assert [list(frame) for frame in sent(protocol)] == [["toolResponse"]]


# --- what means nothing ----------------------------------------------------------------------------------------------


def test_the_same_frame_twice_does_nothing_twice() -> None:
    call = calls(("c1", "verify_caller", {}))
    protocol = begun()
    assert len(receive(protocol, call, call)) == 3
    protocol.tell([result("c1", "1")])
    protocol.ask()
    protocol.outgoing()
    events = receive(protocol, audio(b"\1\0"), TURN_COMPLETE, TURN_COMPLETE, SETUP_COMPLETE, call)
    assert [type(event) for event in events] == [ModelReplyBegan, ModelReplyAudio, ModelReplyEnded]
    assert sent(protocol) == []
    assert protocol.counts == {"duplicate functionCall": 2}


@pytest.mark.parametrize(
    ("frame", "count"),
    [
        ("{", "malformed message"),
        ("[]", "malformed message"),
        ('{"usageMetadata": {"promptTokenCount": NaN}}', "malformed message"),
        (b"\xff\xfe", "malformed message"),
        ("[" * 100_000, "malformed message"),
        ({"serverContent": []}, "malformed serverContent"),
        ({"serverContent": {"modelTurn": {"parts": "x"}}}, "malformed modelTurn"),
        ({"serverContent": {"modelTurn": None}}, "malformed modelTurn"),
        ({"serverContent": {"modelTurn": {"parts": [1]}}}, "malformed modelTurn"),
        ({"serverContent": {"modelTurn": {"parts": [{"fileData": {}}]}}}, "unknown part"),
        ({"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm"}}]}}}, "malformed audio"),
        (audio(b"\1\0", kind="audio/pcm;rate=48000"), "audio of another format"),
        (audio(b"\1\0", kind="image/png"), "audio of another format"),
        ({"toolCall": {"functionCalls": 1}}, "malformed toolCall"),
        (calls(("c1", "", {})), "malformed functionCall"),
        ({"toolCall": {"functionCalls": [{"id": 1, "name": "x"}]}}, "malformed functionCall"),
        ({"toolCallCancellation": {}}, "malformed toolCallCancellation"),
        ({"voiceActivity": {"voiceActivityType": "ACTIVITY_START"}}, "unknown voiceActivity"),
        ({"serverContent": {"newThing": 1}}, "unknown newThing"),
        ({"my pin is 1234": 1}, "unknown kind"),
        ({"error": {"message": "no"}}, "unknown error"),
    ],
)
def test_what_means_nothing_is_counted_and_posts_nothing(frame: Any, count: str) -> None:
    protocol = begun()
    assert receive(protocol, frame) == []
    assert protocol.counts == {count: 1}
    protocol.ask()
    assert sent(protocol) == [turns(complete=True)]


def test_however_many_kinds_are_unknown_they_take_no_memory() -> None:
    protocol = begun()
    receive(protocol, *({f"kind{number}": 1} for number in range(1_000)))
    assert len(protocol.counts) <= 65
    assert sum(protocol.counts.values()) == 1_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "serverContent",
        "modelTurn",
        "parts",
        "inlineData",
        "data",
        "mimeType",
        "toolCall",
        "functionCalls",
        "id",
        "name",
        "args",
        "toolCallCancellation",
        "ids",
        "goAway",
        "timeLeft",
        "usageMetadata",
        "inputTranscription",
        "outputTranscription",
        "text",
        "interrupted",
        "turnComplete",
        "turnCompleteReason",
        "sessionResumptionUpdate",
        "newHandle",
    ]
)
FRAMES = st.recursive(
    JSON | st.just(True),
    lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=20,
)


@settings(max_examples=300)
@given(st.lists(FRAMES, max_size=6))
def test_nothing_that_a_server_sends_raises(frames: list[Any]) -> None:
    protocol = begun()
    for frame in frames:
        protocol.receive(json.dumps(frame))
        protocol.ask()
        protocol.cancel()


class Exchange:
    """Any course of things, watched."""

    def __init__(self, generation: Generation) -> None:
        self.protocol = begun(generation)
        self.protocol.hear(b"\0\0")
        self.protocol.outgoing()
        self.requests = 0
        self.making = False
        self.began: list[str] = []
        self.ended: list[str] = []

    def move(self, move: str) -> None:
        ours: dict[str, Any] = {
            "ask": self.protocol.ask,
            "cancel": self.protocol.cancel,
            "tell": lambda: self.protocol.tell([message("note", "[News.]")]),
            "result": lambda: self.protocol.tell([result(f"c{self.requests}", "1")]),
            "hear": lambda: self.protocol.hear(b"\0\0"),
        }
        self.requests += move == "call"
        theirs = {
            "audio": audio(b"\1\0"),
            "words": heard("Hm"),
            "call": calls((f"c{self.requests}", "verify_caller", {})),
            "end": TURN_COMPLETE,
            "cut in": INTERRUPTED,
            "withdraw": cancels(f"c{self.requests}"),
        }
        if move in ours:
            ours[move]()
        else:
            self.protocol.receive(json.dumps(theirs[move]))
        self.making = move == "audio" or (self.making and move not in ("call", "end"))
        for frame in sent(self.protocol):
            cuts_off = "clientContent" in frame or "text" in frame.get("realtimeInput", {})
            assert not (self.making and cuts_off)
        for event in self.protocol.events():
            self.watch(event)

    def watch(self, event: Any) -> None:
        match event:
            case ModelReplyBegan(reply):
                assert self.began == self.ended, "another one is being made"
                assert reply not in self.began
                self.began.append(reply)
            case ModelReplyEnded(reply):
                self.ended.append(reply)
                assert self.ended == self.began
            case ModelReplyAudio(reply) | ModelReplyText(reply) | ModelToolRequested(reply):
                assert reply == self.began[-1]
                assert reply not in self.ended
            case _:
                pass


MOVES = [
    *("ask", "cancel", "tell", "result", "hear"),
    *("audio", "words", "call", "end", "cut in", "withdraw"),
]


@settings(max_examples=300)
@given(st.sampled_from(GENERATIONS), st.lists(st.sampled_from(MOVES), max_size=30))
def test_whatever_happens_replies_begin_and_end_in_order_and_none_is_cut_off(
    generation: Generation, moves: list[str]
) -> None:
    exchange = Exchange(generation)
    for move in moves:
        exchange.move(move)


def test_a_move_is_declared_without_parameters() -> None:
    (tool,) = setup_of(LIVE_2, phase(1, "Listen.", GOODBYE))["tools"]
    assert tool["functionDeclarations"] == [{"name": "say_goodbye", "description": "The caller is done."}]
