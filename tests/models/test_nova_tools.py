"""Nova Sonic without a socket: exactly one result for every tool use, and what goes along with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.nova_codec import Session, kinds, result, said
from voiceagent.models.nova.protocol import YOUR_TURN
from voiceagent.ports import ModelReplyAudio, ModelReplyBegan, ModelReplyEnded, ModelReplyText, ModelToolRequested


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
