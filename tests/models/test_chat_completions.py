"""What is particular to chat completions: the shape of a request, and servers that stray from the protocol."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.models.calls import (
    ALL_OFFERED,
    CALLER_ASKS,
    FLOW,
    asked,
    failure_of,
    get_balance,
    histories,
    model_at,
    reply_of,
)
from tests.models.dialects import CHAT, Asks, called, chunk
from tests.models.provider_server import Body, Frame, provider_server, refuses, stalls_after, streams
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.models.chat_messages import messages_from
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_chat import OpenAIChatModels
from voiceagent.models.shown import shown
from voiceagent.ports import ReplyDone, SentText, ToolRequest

pytest.importorskip("openai", reason="needs the extra 'openai'")

from openai.types.chat import ChatCompletionMessageFunctionToolCallParam, ChatCompletionMessageParam
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

HELLO = streams(CHAT.says("Hello."))


# --- what goes on the wire -------------------------------------------------------------------------------------------


def body_of(request: ModelRequest, **settings: Any) -> Body:
    _, server = reply_of(CHAT, HELLO, request=request, **settings)
    return server.bodies[0]


def test_the_body_is_what_the_protocol_asks_for() -> None:
    body = body_of(asked())
    TypeAdapter(CompletionCreateParamsStreaming).validate_python(body)
    assert (body["model"], body["stream"], body["stream_options"]) == ("m", True, {"include_usage": True})
    assert set(body) == {"model", "stream", "stream_options", "messages", "tools"}


def test_tools_and_moves_are_functions() -> None:
    balance, accounts, goodbye = body_of(asked())["tools"]
    assert balance == {
        "type": "function",
        "function": {
            "name": "get_balance",
            "description": "Look up the balance of an account.",
            "parameters": get_balance.parameters,
        },
    }
    assert accounts["function"]["name"] == "list_accounts"
    assert goodbye["function"] == {
        "name": "say_goodbye",
        "description": "The caller is done.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    }


def test_only_what_is_offered_goes_on_the_wire() -> None:
    (only,) = body_of(asked(tools=("say_goodbye",)))["tools"]
    assert only["function"]["name"] == "say_goodbye"
    assert "tools" not in body_of(asked(tools=()))


def test_a_local_server_is_sent_one_system_message_that_begins_with_the_prompt() -> None:
    assert body_of(asked(late_facts="The caller is Ada."))["messages"] == [
        {"role": "system", "content": "You work for a bank.\n\nToday is Tuesday, 2026-12-01."},
        {"role": "user", "content": f"{asked(late_facts='The caller is Ada.').known}\nWhat is my balance?"},
    ]


def test_openai_itself_is_sent_the_day_apart_and_the_name_of_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> Body:
        async with provider_server(HELLO) as server:
            monkeypatch.setattr("voiceagent.models.openai_sdk._OPENAI_URL", f"{server.url}/v1")
            models = await asyncio.to_thread(OpenAIChatModels, "m", api_key="sk-12345")
            model = models.open(FLOW, locale="en-US", time_zone="UTC")
            assert [piece async for piece in model.reply(asked(late_facts="The caller is Ada."))]
            await models.close()
            return server.bodies[0]

    body = asyncio.run(ask())
    assert body["prompt_cache_key"] == "bank:inquiry"
    assert body["messages"][:2] == [
        {"role": "system", "content": "You work for a bank."},
        {"role": "system", "content": "Today is Tuesday, 2026-12-01."},
    ]


def test_a_server_that_cannot_count_tokens_is_not_asked_to_again() -> None:
    async def ask_twice() -> list[bool]:
        picky = refuses(422, {"message": "stream_options: extra inputs are not permitted"})
        async with provider_server(picky, HELLO) as server, model_at(CHAT, server.url) as model:
            for _ in range(2):
                assert SentText("Hello.") in [piece async for piece in model.reply(asked())]
            return ["stream_options" in body for body in server.bodies]

    assert asyncio.run(ask_twice()) == [True, False, False]


# --- messages --------------------------------------------------------------------------------------------------------


def messages(request: ModelRequest, *, one_system_message: bool = False) -> list[dict[str, Any]]:
    what = shown(FLOW, request, today=date(2026, 12, 1))
    return [dict(message) for message in messages_from(what, one_system_message=one_system_message)]


def test_parallel_requests_are_one_message_and_their_results_follow_it() -> None:
    request = asked(
        CALLER_ASKS,
        Message(2, "agent", "Let me see.", Epoch(1)),
        Message(3, "tool_request", '{"account": "7"}', Epoch(1), "a", "get_balance"),
        Message(4, "tool_request", "{}", Epoch(1), "b", "list_accounts"),
        Message(5, "caller", "Hurry up.", Epoch(1)),
        Message(6, "tool_result", '"no"', Epoch(1), "b", "list_accounts", failed=True),
        Message(7, "tool_result", '{"balance": "12.00"}', Epoch(1), "a", "get_balance"),
    )
    assert messages(request)[2:] == [
        {"role": "user", "content": "What is my balance?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "call00003",
                    "type": "function",
                    "function": {"name": "get_balance", "arguments": '{"account": "7"}'},
                },
                {"id": "call00004", "type": "function", "function": {"name": "list_accounts", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call00003", "content": '{"balance": "12.00"}'},
        {"role": "tool", "tool_call_id": "call00004", "content": 'Failed: "no"'},
        {"role": "user", "content": "Hurry up."},
    ]


MESSAGE = TypeAdapter[ChatCompletionMessageParam](ChatCompletionMessageParam)
CALLS = TypeAdapter(list[ChatCompletionMessageFunctionToolCallParam])


@given(history=histories(), offered=st.sets(st.sampled_from(ALL_OFFERED)), one=st.booleans())
def test_whatever_is_shown_of_a_call_the_messages_are_such_as_providers_accept(
    history: tuple[Message, ...], offered: set[str], one: bool
) -> None:
    request = ModelRequest("inquiry", Epoch(1), "Prompt.", "", tuple(sorted(offered)), history, {}, 0)
    sent = messages(request, one_system_message=one)
    system = 1 if one else 2
    assert [message["role"] for message in sent[:system]] == ["system"] * system
    assert "system" not in [message["role"] for message in sent[system:]]
    assert sent[-1]["role"] in ("user", "tool")
    awaited: list[str] = []
    for before, message in pairwise(sent):
        MESSAGE.validate_python(message)
        if message["role"] == "tool":
            assert message["tool_call_id"] == awaited.pop(0)
            continue
        assert not awaited, "every request has its result before anything else is said"
        assert message["role"] != before["role"] or message["role"] == "system"
        assert message["content"] is None or message["content"].strip()
        awaited = [call["id"] for call in CALLS.validate_python(message.get("tool_calls", ()))]
        assert (message["content"] is None) <= bool(awaited)
        for call in message.get("tool_calls", ()):
            assert call["function"]["name"] in offered
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert not awaited
    every_id = [call["id"] for message in sent for call in message.get("tool_calls", ())]
    assert len(every_id) == len(set(every_id))


# --- servers that stray from the protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [
                called(0, id="x1", name="get_balance", arguments='{"account": "7"}'),
                called(0, id="x2", name="list_accounts", arguments="{}"),
            ],
            id="every index is 0",
        ),
        pytest.param(
            [
                called(None, id="x1", name="get_balance", arguments='{"account": '),
                called(None, id="x1", arguments='"7"}'),
                called(None, id="x2", name="list_accounts", arguments="{}"),
            ],
            id="no index",
        ),
        pytest.param(
            [
                called(0, id="x1", name="get_balance", arguments='{"account"'),
                called(0, id="x1", name="get_balance", arguments=': "7"}'),
                called(1, id="x2", name="list_accounts", arguments="{}"),
            ],
            id="id and name in every delta",
        ),
    ],
)
def test_servers_that_number_their_calls_badly_are_understood(deltas: list[Frame]) -> None:
    pieces, _ = reply_of(CHAT, streams([*deltas, chunk(finish="tool_calls")]))
    assert pieces[:-1] == [
        ToolRequest("x1", "get_balance", '{"account": "7"}'),
        ToolRequest("x2", "list_accounts", "{}"),
    ]


@pytest.mark.parametrize("index", [True, False])
def test_calls_without_ids_are_given_some(index: bool) -> None:
    deltas = [
        called(0 if index else None, name="get_balance", arguments='{"account": "7"}'),
        called(1 if index else None, name="list_accounts", arguments="{}"),
    ]
    pieces, _ = reply_of(CHAT, streams([*deltas, chunk(finish="tool_calls")]))
    requests = [piece for piece in pieces if isinstance(piece, ToolRequest)]
    assert [request.name for request in requests] == ["get_balance", "list_accounts"]
    assert len({request.request for request in requests} - {""}) == 2


def test_a_refusal_in_words_is_spoken() -> None:
    pieces, _ = reply_of(CHAT, streams([chunk({"refusal": "I cannot help with that."}), chunk(finish="stop")]))
    assert pieces[0] == SentText("I cannot help with that.")


def test_a_reply_that_is_cut_for_its_length_is_taken_as_it_is() -> None:
    parts = CHAT.parts(["Well.", Asks("a", "get_balance", ('{"account": ',))])
    pieces, _ = reply_of(CHAT, streams([*parts, chunk(finish="length")]))
    assert pieces == [SentText("Well."), ToolRequest("a", "get_balance", '{"account": '), ReplyDone()]


def test_a_first_chunk_that_cannot_be_read_closes_its_request() -> None:
    async def ask() -> None:
        odd = stalls_after([chunk({"content": ["words in a list"]})])
        async with provider_server(odd) as server, model_at(CHAT, server.url) as model:
            with pytest.raises(ModelUnavailable, match="sent what cannot be read"):
                await anext(aiter(model.reply(asked())))
            await server.left.wait()

    asyncio.run(ask())


def test_an_empty_account_is_permanent() -> None:
    failure, _, _ = failure_of(CHAT, refuses(429, {"code": "insufficient_quota"}))
    assert isinstance(failure, ModelUnavailable)
    assert failure.permanent


# --- installing ------------------------------------------------------------------------------------------------------


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"voiceagent\[openai\]"):
        OpenAIChatModels("m", api_key="sk-12345")


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")
    with pytest.raises(OperatorError, match="OPENAI_API_KEY"):
        OpenAIChatModels("m")
