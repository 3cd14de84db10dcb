"""Nova Sonic's protocol, without a socket: what is sent for each call of the port, and what is understood."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.nova import NOVA_CAPABILITIES
from voiceagent.models.nova.protocol import YOUR_TURN, NovaProtocol
from voiceagent.ports import (
    AudioFormat,
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    OfferedTool,
    SessionSetup,
    SpeechModelEvent,
)

PCM_8K = AudioFormat("pcm16", 8_000)
PCM_16K = AudioFormat("pcm16", 16_000)
FRAME = 1_024
"""Bytes of 32 ms at 16 kHz."""
TOOL = OfferedTool("get_balance", "Look up a balance.", {"type": "object", "properties": {"account": {}}})

_numbers = count(1)


def setup(**changed: Any) -> SessionSetup:
    made: dict[str, Any] = {
        "epoch": Epoch(1),
        "prompt": "You are a bank.",
        "late_facts": "",
        "tools": (TOOL,),
        "voice": None,
        "audio_in": PCM_16K,
        "audio_out": PCM_8K,
    }
    return SessionSetup(**{**made, **changed})


def said(role: str, text: str, **more: Any) -> Message:
    return Message(number=next(_numbers), role=role, text=text, epoch=Epoch(1), **more)  # type: ignore[arg-type]


def result(request: str, text: str, **more: Any) -> Message:
    return said("tool_result", text, request=request, tool="get_balance", **more)


class Session:
    """A codec, and the words of both sides."""

    def __init__(self, given: SessionSetup | None = None) -> None:
        self.codec = NovaProtocol(given or setup(), session=uuid.UUID(int=1))
        self._contents = 0

    def sent(self) -> list[tuple[str, dict[str, Any]]]:
        """What is to be sent, as the provider reads it."""
        events: list[tuple[str, dict[str, Any]]] = []
        for frame in self.codec.take_frames():
            ((name, body),) = json.loads(frame.payload)["event"].items()
            events.append((name, body))
        return events

    def sent_texts(self) -> list[tuple[str, bool, str]]:
        """Role, interactive, words, of the texts that are to be sent."""
        texts: list[tuple[str, bool, str]] = []
        for name, body in self.sent():
            if name == "contentStart" and body["type"] == "TEXT":
                texts.append((body["role"], body["interactive"], ""))
            elif name == "textInput":
                texts[-1] = (*texts[-1][:2], texts[-1][2] + body["content"])
        return texts

    def sent_results(self) -> list[tuple[str, Any]]:
        """Request and content of the results that are to be sent."""
        results: list[tuple[str, Any]] = []
        for name, body in self.sent():
            if name == "contentStart" and body["type"] == "TOOL":
                results.append((body["toolResultInputConfiguration"]["toolUseId"], None))
            elif name == "toolResult":
                results[-1] = (results[-1][0], json.loads(body["content"]))
        return results

    def hears(self, frames: int = 2) -> None:
        self.codec.hear(bytes(FRAME) * frames)
        self.codec.take_frames()

    def get(self, name: str, **body: Any) -> None:
        self.codec.receive(json.dumps({"event": {name: body}}).encode())

    def start(self, kind: str, role: str, stage: str | None = None) -> str:
        self._contents += 1
        identity = f"c{self._contents}"
        more = {} if stage is None else {"additionalModelFields": json.dumps({"generationStage": stage})}
        self.get("contentStart", contentId=identity, type=kind, role=role, **more)
        return identity

    def end(self, identity: str, stop: str = "PARTIAL_TURN") -> None:
        self.get("contentEnd", contentId=identity, stopReason=stop)

    def text(self, role: str, stage: str, words: str, stop: str = "PARTIAL_TURN") -> None:
        identity = self.start("TEXT", role, stage)
        self.get("textOutput", contentId=identity, role=role, content=words)
        self.end(identity, stop)

    def speak(self, audio: bytes, stop: str = "END_TURN") -> None:
        identity = self.start("AUDIO", "ASSISTANT")
        self.audio(identity, audio)
        self.end(identity, stop)

    def audio(self, identity: str, audio: bytes) -> None:
        self.get("audioOutput", contentId=identity, content=base64.b64encode(audio).decode())

    def use_tool(self, request: str, arguments: str = "{}") -> None:
        identity = self.start("TOOL", "TOOL")
        self.get("toolUse", contentId=identity, toolUseId=request, toolName="get_balance", content=arguments)
        self.end(identity, "TOOL_USE")

    def reply(self, words: str = "Hello.", audio: bytes = b"\1\0") -> None:
        self.text("ASSISTANT", "SPECULATIVE", words)
        self.speak(audio)

    def happened(self) -> list[SpeechModelEvent]:
        return self.codec.take_events()


def kinds(events: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"{name} {body['type']}" if name == "contentStart" else name for name, body in events]


TEXT = ["contentStart TEXT", "textInput", "contentEnd"]


# --- the provider's row ----------------------------------------------------------------------------------------------


def test_the_row_says_what_the_facts_say() -> None:
    row = NOVA_CAPABILITIES
    assert (row.name, row.swap, row.transcribes) == ("nova", "new_session", True)
    assert (row.session_limit_ms, row.idle_limit_ms) == (480_000, 175_000)
    assert [audio.rate_hz for audio in row.audio_in] == [16_000, 8_000]
    assert [audio.rate_hz for audio in row.audio_out] == [8_000, 16_000, 24_000]
    assert {audio.encoding for audio in (*row.audio_in, *row.audio_out)} == {"pcm16"}


# --- the beginning and the end ---------------------------------------------------------------------------------------


def test_a_session_begins_with_limits_formats_tools_and_prompt() -> None:
    (session, prompt, start, text, end) = Session().sent()
    assert session[1]["inferenceConfiguration"]["maxTokens"] > 0
    assert prompt[1]["audioOutputConfiguration"] == {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": 8_000,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "voiceId": "matthew",
        "encoding": "base64",
        "audioType": "SPEECH",
    }
    (spec,) = prompt[1]["toolConfiguration"]["tools"]
    assert spec["toolSpec"]["name"] == "get_balance"
    assert json.loads(spec["toolSpec"]["inputSchema"]["json"]) == dict(TOOL.parameters)
    assert (start[1]["type"], start[1]["role"], start[1]["interactive"]) == ("TEXT", "SYSTEM", False)
    assert text[1]["content"] == "You are a bank."
    assert end[0] == "contentEnd"
    assert len({body.get("contentName") for _, body in (start, text, end)}) == 1
    assert len({body["promptName"] for _, body in (prompt, start, text, end)}) == 1


def test_a_session_without_tools_declares_none() -> None:
    assert "toolConfiguration" not in Session(setup(tools=())).sent()[1][1]


def test_a_setup_gives_voice_rates_and_late_facts() -> None:
    session = Session(setup(voice="tiffany", audio_in=PCM_8K, audio_out=PCM_16K, late_facts="Maria calls."))
    prompt = session.sent()
    assert prompt[1][1]["audioOutputConfiguration"]["voiceId"] == "tiffany"
    assert prompt[1][1]["audioOutputConfiguration"]["sampleRateHertz"] == 16_000
    assert prompt[3][1]["content"] == "You are a bank.\n\nMaria calls."
    session.codec.hear(bytes(512))
    (start, _), (_, audio) = [(body, body) for _, body in session.sent()]
    assert start["audioInputConfiguration"]["sampleRateHertz"] == 8_000
    assert len(base64.b64decode(audio["content"])) == 512


def test_a_long_prompt_goes_in_short_inputs_of_one_content() -> None:
    prompt = "Speak slowly, and say what you do. " * 300
    events = Session(setup(prompt=prompt)).sent()[2:]
    assert kinds(events)[:2] == ["contentStart TEXT", "textInput"]
    inputs = [body["content"] for name, body in events if name == "textInput"]
    assert "".join(inputs) == prompt
    assert max(len(text.encode()) for text in inputs) <= 1_024


def test_a_session_ends_with_its_audio_its_prompt_and_itself() -> None:
    session = Session()
    session.hears()
    session.codec.hear(b"\1\0" * 100)
    session.codec.end()
    events = session.sent()
    assert kinds(events) == ["audioInput", "contentEnd", "promptEnd", "sessionEnd"]
    assert base64.b64decode(events[0][1]["content"]) == b"\1\0" * 100


def test_a_standby_that_never_heard_ends_without_audio() -> None:
    session = Session()
    session.sent()
    session.codec.end()
    assert kinds(session.sent()) == ["promptEnd", "sessionEnd"]


# --- history ---------------------------------------------------------------------------------------------------------


def test_p6_history_is_told_once_before_the_audio_and_not_to_be_answered() -> None:
    session = Session()
    session.sent()
    session.codec.tell([said("note", "Maria Lopez calls.")])
    session.codec.tell([said("agent", "Hello."), said("caller", "My balance, please.")])
    assert session.sent() == []
    session.codec.hear(bytes(FRAME))
    events = session.sent()
    assert kinds(events) == [*TEXT * 3, "contentStart AUDIO", "audioInput"]
    starts = [body for name, body in events if name == "contentStart" and body["type"] == "TEXT"]
    assert [(start["role"], start["interactive"]) for start in starts] == [
        ("USER", False),
        ("ASSISTANT", False),
        ("USER", False),
    ]
    session.codec.hear(bytes(FRAME))
    assert kinds(session.sent()) == ["audioInput"]


def test_p7_the_provider_is_given_a_moment_after_every_block() -> None:
    session = Session()
    session.codec.take_frames()
    session.codec.tell([said("caller", "Hello."), said("agent", "Good morning.")])
    session.codec.hear(bytes(FRAME))
    settles = [frame.settles for frame in session.codec.take_frames()]
    assert settles == [False, False, True, False, False, True, True, False]


def test_p8_a_result_from_an_earlier_session_is_history() -> None:
    session = Session()
    session.sent()
    session.codec.tell(
        [said("tool_request", '{"a": 1}', request="old", tool="get_balance"), result("old", '{"balance": 12}')]
    )
    session.codec.hear(bytes(FRAME))
    assert session.sent_texts() == [("USER", False, '[Earlier, get_balance({"a": 1}) returned: {"balance": 12}]')]


def test_p8_a_late_result_from_an_earlier_session_is_told_in_words() -> None:
    session = Session()
    session.hears()
    session.codec.tell([result("old", '{"balance": 12}')])
    assert session.sent() == []
    session.codec.ask()
    assert session.sent_texts() == [("USER", True, '[Earlier, get_balance returned: {"balance": 12}]\n' + YOUR_TURN)]


# --- hearing ---------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=30))
def test_audio_of_any_length_is_sent_in_frames_none_lost_none_twice(lengths: list[int]) -> None:
    session = Session()
    session.sent()
    whole = bytes(number % 251 for number in range(sum(lengths)))
    at = 0
    for length in lengths:
        session.codec.hear(whole[at : at + length])
        at += length
    session.codec.end()
    frames = [base64.b64decode(body["content"]) for name, body in session.sent() if name == "audioInput"]
    assert b"".join(frames) == whole[: len(whole) // 2 * 2]
    assert all(len(frame) == FRAME for frame in frames[:-1])


def test_p9_p10_a_new_session_takes_audio_from_its_first_byte() -> None:
    session = Session()
    session.sent()
    session.codec.hear(b"\1\0" * (FRAME // 2))
    assert base64.b64decode(session.sent()[-1][1]["content"]) == b"\1\0" * (FRAME // 2)


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


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_turn_may_be_a_tool_use_and_nothing_else() -> None:
    session = Session()
    session.hears()
    session.use_tool("t1", '{"account": "1"}')
    assert session.happened() == [
        ModelReplyBegan("n1"),
        ModelToolRequested("n1", "t1", "get_balance", '{"account": "1"}'),
        ModelReplyEnded("n1", "complete"),
    ]


def test_what_is_said_while_a_tool_runs_is_another_reply() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "Let me look.")
    session.speak(b"\1\0", stop="PARTIAL_TURN")
    session.use_tool("t1")
    session.reply("It takes a moment.")
    assert [
        (type(event).__name__, event.reply)
        for event in session.happened()
        if isinstance(event, ModelReplyBegan | ModelToolRequested | ModelReplyEnded)
    ] == [
        ("ModelReplyBegan", "n1"),
        ("ModelToolRequested", "n1"),
        ("ModelReplyEnded", "n1"),
        ("ModelReplyBegan", "n2"),
        ("ModelReplyEnded", "n2"),
    ]


def test_a_tool_use_does_not_cut_off_audio_that_is_still_coming() -> None:
    session = Session()
    session.hears()
    session.text("ASSISTANT", "SPECULATIVE", "Let me look.")
    identity = session.start("AUDIO", "ASSISTANT")
    session.use_tool("t1")
    session.audio(identity, b"\1\0")
    session.end(identity)
    assert [event for event in session.happened() if not isinstance(event, ModelReplyText)] == [
        ModelReplyBegan("n1"),
        ModelToolRequested("n1", "t1", "get_balance", "{}"),
        ModelReplyAudio("n1", b"\1\0"),
        ModelReplyEnded("n1", "complete"),
    ]


@pytest.mark.parametrize(
    ("text", "failed", "wire"),
    [
        ('{"balance": "12.00"}', False, {"balance": "12.00"}),
        ("[1, 2]", False, {"result": [1, 2]}),
        ("twelve euros", False, {"result": "twelve euros"}),
        ("NaN", False, {"result": "NaN"}),
        ("", False, {"result": ""}),
        ("no such account", True, {"error": "no such account"}),
    ],
)
def test_a_result_is_sent_at_once_and_is_always_a_json_object(text: str, failed: bool, wire: dict[str, Any]) -> None:
    session = Session()
    session.hears()
    session.use_tool("t1")
    session.codec.tell([result("t1", text, failed=failed)])
    assert session.sent_results() == [("t1", wire)]


def test_an_ask_after_a_result_asks_nothing_since_the_model_goes_on_by_itself() -> None:
    session = Session()
    session.hears()
    session.use_tool("t1")
    session.codec.tell([said("tool_request", "{}", request="t1", tool="get_balance"), result("t1", "{}")])
    session.codec.ask()
    assert kinds(session.sent()) == ["contentStart TOOL", "toolResult", "contentEnd"]
    session.reply()
    assert session.sent() == []
    session.codec.ask()
    assert len(session.sent_texts()) == 1


def test_a_result_does_not_wait_for_what_is_said_while_the_tool_runs() -> None:
    session = Session()
    session.hears()
    session.use_tool("t1")
    session.text("ASSISTANT", "SPECULATIVE", "It takes a moment.")
    session.codec.tell([result("t1", "{}")])
    session.codec.ask()
    assert session.sent_results() == [("t1", {})]
    session.speak(b"\1\0")
    assert session.sent() == []


def test_what_else_is_to_be_known_goes_along_with_a_result() -> None:
    session = Session()
    session.hears()
    session.use_tool("t1")
    session.codec.tell([said("agent", "One moment.")])
    session.codec.tell([result("t1", '{"balance": 12}'), said("note", "The line is bad.")])
    session.codec.ask()
    assert session.sent_results() == [
        ("t1", {"meanwhile": ["[You have said: One moment.]", "[The line is bad.]"], "balance": 12})
    ]


def test_exactly_one_result_is_sent_for_a_tool_use() -> None:
    session = Session()
    session.hears()
    session.use_tool("t1")
    session.codec.tell([result("t1", '{"a": 1}')])
    session.codec.tell([result("t1", '{"a": 2}')])
    assert session.sent_results() == [("t1", {"a": 1})]
    session.reply()
    session.codec.ask()
    assert session.sent_texts() == [("USER", True, f'[Earlier, get_balance returned: {{"a": 2}}]\n{YOUR_TURN}')]


def test_a_tool_use_that_comes_twice_is_one() -> None:
    session = Session()
    session.hears()
    session.use_tool("t1")
    session.use_tool("t1")
    assert sum(isinstance(event, ModelToolRequested) for event in session.happened()) == 1


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


# --- what cannot be read ---------------------------------------------------------------------------------------------


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["contentId", "type", "role", "stopReason", "content", "toolUseId", "toolName", "additionalModelFields", "details"]
)
VALUES = JSON | st.sampled_from(
    [
        "c1",
        "c2",
        "TEXT",
        "AUDIO",
        "TOOL",
        "USER",
        "ASSISTANT",
        "END_TURN",
        "INTERRUPTED",
        "AQA=",
        '{"generationStage":"SPECULATIVE"}',
    ]
)
NAMES = st.sampled_from(
    ["contentStart", "textOutput", "audioOutput", "toolUse", "contentEnd", "usageEvent", "completionEnd", "surprise"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.dictionaries(KEYS, VALUES, max_size=6)), max_size=30))
def test_whatever_comes_nothing_is_raised_and_replies_begin_before_they_end(
    events: list[tuple[str, dict[str, Any]]],
) -> None:
    session = Session()
    session.hears()
    for name, body in events:
        session.get(name, **body)
    begun: list[str] = []
    ended: list[str] = []
    for event in session.happened():
        if isinstance(event, ModelReplyBegan):
            assert begun == ended
            begun.append(event.reply)
        elif isinstance(event, ModelReplyEnded):
            ended.append(event.reply)
            assert ended == begun
        elif isinstance(event, ModelReplyAudio | ModelReplyText | ModelToolRequested):
            assert event.reply not in ended
            assert event.reply in begun


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", b'{"event": 3}', b"[" * 100_000, b'{"event": {"audioOutput": 1}}']
)
def test_a_malformed_frame_is_counted_and_nothing_else(payload: bytes) -> None:
    session = Session()
    session.codec.receive(payload)
    assert session.happened() == []
    assert sum(session.codec.ignored.values()) == 1


def test_an_unknown_event_is_counted_by_its_kind() -> None:
    session = Session()
    session.get("surprise", more=1)
    session.get("surprise", more=2)
    assert session.codec.ignored == {"event surprise": 2}
