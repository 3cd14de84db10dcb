"""What is particular to Anthropic's Messages: the shape of a request, its cache, and the ways in which one ends."""

from __future__ import annotations

import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.models.calls import ALL_OFFERED, CALLER_ASKS, FLOW, asked, failure_of, get_balance, histories, reply_of
from tests.models.dialects import MESSAGES, Asks, message_end, message_event
from tests.models.provider_server import Body, breaks_off_after, streams
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.models.anthropic_messages import AnthropicModels, messages_from
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.models.shown import shown
from voiceagent.ports import ReplyDone, SentText, ToolRequest

pytest.importorskip("anthropic", reason="needs the extra 'anthropic'")

from anthropic.types import MessageParam, TextBlockParam, ToolParam
from anthropic.types.message_create_params import MessageCreateParamsStreaming

HELLO = streams(MESSAGES.says("Hello."))
TOOLS = TypeAdapter(list[ToolParam])
SYSTEM = TypeAdapter(list[TextBlockParam])
MESSAGE_PARAMS = TypeAdapter(list[MessageParam])


def body_of(request: ModelRequest, **settings: Any) -> Body:
    _, server = reply_of(MESSAGES, HELLO, request=request, **settings)
    return server.bodies[0]


def test_the_body_is_what_the_protocol_asks_for() -> None:
    body = body_of(asked())
    TypeAdapter(MessageCreateParamsStreaming).validate_python(body)
    TOOLS.validate_python(body["tools"])
    SYSTEM.validate_python(body["system"])
    MESSAGE_PARAMS.validate_python(body["messages"])
    assert (body["model"], body["stream"], body["max_tokens"]) == ("m", True, 4_096)
    assert set(body) == {"model", "stream", "max_tokens", "system", "messages", "tools"}


def test_prompt_and_tools_are_marked_for_the_cache_and_the_day_stands_behind_the_mark() -> None:
    first = body_of(asked(late_facts="The caller is Ada."))
    second = body_of(asked(Message(1, "caller", "Hello?", Epoch(1)), late_facts="The caller is Bob."))
    assert first["system"] == [
        {"type": "text", "text": "You work for a bank.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Today is Tuesday, 2026-12-01."},
    ]
    assert first["system"][0] == second["system"][0]
    assert first["tools"] == second["tools"]


def test_a_phase_without_a_prompt_sends_no_empty_block() -> None:
    request = ModelRequest("inquiry", Epoch(1), "", "", (), (CALLER_ASKS,), {}, 0)
    assert body_of(request)["system"] == [{"type": "text", "text": "Today is Thursday, 1970-01-01."}]


def test_tools_and_moves_are_tools() -> None:
    balance, _, goodbye = body_of(asked())["tools"]
    assert balance == {
        "name": "get_balance",
        "description": "Look up the balance of an account.",
        "input_schema": get_balance.parameters,
    }
    assert goodbye["input_schema"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert "tools" not in body_of(asked(tools=()))


def test_requests_stand_beside_words_and_their_results_begin_the_next_message() -> None:
    body = body_of(
        asked(
            CALLER_ASKS,
            Message(2, "agent", "Let me see.", Epoch(1)),
            Message(3, "tool_request", '{"account": "7"}', Epoch(1), "a", "get_balance"),
            Message(4, "tool_request", "{not json", Epoch(1), "b", "list_accounts"),
            Message(5, "tool_result", '"no"', Epoch(1), "b", "list_accounts", failed=True),
            Message(6, "tool_result", '{"balance": "12.00"}', Epoch(1), "a", "get_balance"),
            Message(7, "caller", "Hurry up.", Epoch(1)),
        )
    )
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "What is my balance?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call00003", "name": "get_balance", "input": {"account": "7"}},
                {"type": "tool_use", "id": "call00004", "name": "list_accounts", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call00003",
                    "content": '{"balance": "12.00"}',
                    "is_error": False,
                },
                {"type": "tool_result", "tool_use_id": "call00004", "content": '"no"', "is_error": True},
                {"type": "text", "text": "Hurry up."},
            ],
        },
    ]


def test_a_call_that_the_agent_has_begun_begins_with_the_caller_all_the_same() -> None:
    first, second, third = body_of(asked(Message(1, "agent", "Hello, this is the bank.", Epoch(1))))["messages"]
    assert first == {"role": "user", "content": [{"type": "text", "text": "[The caller is on the line.]"}]}
    assert second["content"] == [{"type": "text", "text": "Hello, this is the bank."}]
    assert third["content"] == [{"type": "text", "text": "[It is your turn to speak.]"}]


@given(history=histories(), offered=st.sets(st.sampled_from(ALL_OFFERED)))
def test_whatever_is_shown_of_a_call_the_parties_alternate_and_every_request_has_its_result_next(
    history: tuple[Message, ...], offered: set[str]
) -> None:
    request = ModelRequest("inquiry", Epoch(1), "Prompt.", "", tuple(sorted(offered)), history, {}, 0)
    what = shown(FLOW, request, today=date(2026, 12, 1))
    messages: list[dict[str, Any]] = [dict(message) for message in messages_from(what)]
    MESSAGE_PARAMS.validate_python(messages)
    assert [message["role"] for message in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
    awaited: list[str] = []
    every_id: list[str] = []
    for message in messages:
        blocks = message["content"]
        assert blocks
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert results == awaited
        assert all(block["type"] == "tool_result" for block in blocks[: len(results)])
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
        uses = [block for block in blocks if block["type"] == "tool_use"]
        assert all(use["name"] in offered and isinstance(use["input"], dict) for use in uses)
        awaited = [use["id"] for use in uses]
        every_id += awaited
    assert not awaited
    assert len(every_id) == len(set(every_id))


# --- how a message ends ----------------------------------------------------------------------------------------------


def test_a_message_that_is_cut_for_its_length_is_taken_as_it_is() -> None:
    parts = MESSAGES.begins("Well.", Asks("a", "get_balance", ('{"account": ',)))
    pieces, _ = reply_of(MESSAGES, streams([*parts, *message_end("max_tokens")]))
    assert pieces[:2] == [SentText("Well."), ToolRequest("a", "get_balance", '{"account": ')]


def test_a_refusal_without_words_is_a_failure() -> None:
    failure, _, _ = failure_of(MESSAGES, streams([*MESSAGES.opening, *message_end("refusal")]))
    assert (type(failure), str(failure)) == (ReplyRefused, "m said nothing")


def test_what_a_model_thinks_is_not_said() -> None:
    thought = [
        message_event(
            "content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}
        ),
        message_event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."}),
        message_event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"}),
        message_event("content_block_stop", index=0),
    ]
    pieces, _ = reply_of(
        MESSAGES, streams([*MESSAGES.opening, *thought, *MESSAGES.parts(["Hello."]), *message_end("end_turn")])
    )
    assert [piece for piece in pieces if isinstance(piece, SentText)] == [SentText("Hello.")]


def test_a_server_that_counts_no_tokens_and_sends_arguments_at_once_is_understood() -> None:
    block = {"type": "tool_use", "id": "a", "name": "get_balance", "input": {"account": "7"}}
    frames = [
        message_event("message_start", message={"id": "x", "role": "assistant", "content": [], "model": "m"}),
        message_event("content_block_start", index=0, content_block=block),
        message_event("message_delta", delta={"stop_reason": "tool_use"}),
    ]
    pieces, _ = reply_of(MESSAGES, streams(frames))
    assert pieces == [ToolRequest("a", "get_balance", '{"account": "7"}'), ReplyDone()]


@pytest.mark.parametrize(
    ("code", "kind", "permanent"),
    [
        ("authentication_error", ModelUnavailable, True),
        ("billing_error", ModelUnavailable, True),
        ("rate_limit_error", ModelUnavailable, False),
        ("invalid_request_error", ReplyRefused, False),
    ],
)
def test_a_message_that_fails_in_mid_stream_counts_as_its_http_status(
    code: str, kind: type[Exception], permanent: bool | None
) -> None:
    failure, server, _ = failure_of(MESSAGES, streams(MESSAGES.fails(code)))
    assert (type(failure), getattr(failure, "permanent", None), len(server.bodies)) == (kind, permanent, 1)


def test_an_overload_in_mid_stream_is_met_with_one_more_attempt() -> None:
    pieces, server = reply_of(MESSAGES, streams(MESSAGES.fails("overloaded_error")), HELLO)
    assert (pieces[0], len(server.bodies)) == (SentText("Hello."), 2)


def test_a_connection_that_is_cut_in_mid_reply_is_a_failure_of_the_connection() -> None:
    failure, _, _ = failure_of(MESSAGES, breaks_off_after(MESSAGES.begins("Your ")))
    assert str(failure) == "the connection to m failed"


# --- installing ------------------------------------------------------------------------------------------------------


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(MissingExtra, match=r"voiceagent\[anthropic\]"):
        AnthropicModels("m", api_key="sk-12345")


def test_anthropic_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-12345")
    with pytest.raises(OperatorError, match="ANTHROPIC_API_KEY"):
        AnthropicModels("m")
