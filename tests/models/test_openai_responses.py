"""What is particular to OpenAI's Responses: the shape of a request, and the ways in which one ends."""

from __future__ import annotations

import json
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.models.calls import ALL_OFFERED, CALLER_ASKS, FLOW, asked, failure_of, get_balance, histories, reply_of
from tests.models.dialects import RESPONSES, response_ended_early, response_event, response_failed
from tests.models.provider_server import Body, refuses, streams
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.models.openai_responses import OpenAIResponsesModels, input_from
from voiceagent.models.shown import shown
from voiceagent.ports import ReplyDone, SentText

pytest.importorskip("openai", reason="needs the extra 'openai'")

from openai.types.responses import FunctionToolParam, ResponseInputItemParam
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

HELLO = streams(RESPONSES.says("Hello."))
ITEMS = TypeAdapter(list[ResponseInputItemParam])
FUNCTIONS = TypeAdapter(list[FunctionToolParam])


def body_of(request: ModelRequest, **settings: Any) -> Body:
    _, server = reply_of(RESPONSES, HELLO, request=request, **settings)
    return server.bodies[0]


def test_the_body_is_what_the_protocol_asks_for_and_nothing_is_kept_there() -> None:
    body = body_of(asked())
    TypeAdapter(ResponseCreateParamsStreaming).validate_python(body)
    ITEMS.validate_python(body["input"])
    FUNCTIONS.validate_python(body["tools"])
    assert (body["model"], body["stream"], body["store"]) == ("m", True, False)
    assert set(body) == {"model", "stream", "store", "instructions", "input", "tools", "prompt_cache_key"}


def test_all_calls_begin_alike_in_a_phase_so_that_the_provider_remembers_the_beginning() -> None:
    first = body_of(asked(late_facts="The caller is Ada."))
    second = body_of(asked(Message(1, "caller", "Hello?", Epoch(1)), late_facts="The caller is Bob."))
    for key in ("instructions", "tools", "prompt_cache_key"):
        assert first[key] == second[key]
    assert first["instructions"] == "You work for a bank."
    assert first["prompt_cache_key"] == "bank:inquiry"
    assert first["input"][0] == {"role": "system", "content": "Today is Tuesday, 2026-12-01.", "type": "message"}
    assert [item["role"] for item in first["input"] if "The caller is Ada." in item["content"]] == ["user"]


def test_tools_and_moves_are_functions_without_strictness() -> None:
    balance, _, goodbye = body_of(asked())["tools"]
    assert balance == {
        "type": "function",
        "name": "get_balance",
        "description": "Look up the balance of an account.",
        "parameters": get_balance.parameters,
        "strict": False,
    }
    assert goodbye["parameters"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert "tools" not in body_of(asked(tools=()))


def test_a_phase_without_a_prompt_sends_no_instructions() -> None:
    request = ModelRequest("inquiry", Epoch(1), "", "", (), (CALLER_ASKS,), {}, 0)
    assert "instructions" not in body_of(request)


def test_requests_and_results_are_items_of_their_own() -> None:
    body = body_of(
        asked(
            CALLER_ASKS,
            Message(2, "agent", "Let me see.", Epoch(1)),
            Message(3, "tool_request", '{"account": "7"}', Epoch(1), "a", "get_balance"),
            Message(4, "tool_request", "{}", Epoch(1), "b", "list_accounts"),
            Message(5, "tool_result", '"no"', Epoch(1), "b", "list_accounts", failed=True),
            Message(6, "tool_result", '{"balance": "12.00"}', Epoch(1), "a", "get_balance"),
        )
    )
    assert body["input"][1:] == [
        {"type": "message", "role": "user", "content": "What is my balance?"},
        {"type": "message", "role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "call00003", "name": "get_balance", "arguments": '{"account": "7"}'},
        {"type": "function_call", "call_id": "call00004", "name": "list_accounts", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call00003", "output": '{"balance": "12.00"}'},
        {"type": "function_call_output", "call_id": "call00004", "output": 'Failed: "no"'},
    ]


@given(history=histories(), offered=st.sets(st.sampled_from(ALL_OFFERED)))
def test_whatever_is_shown_of_a_call_every_request_has_its_result_right_after_it(
    history: tuple[Message, ...], offered: set[str]
) -> None:
    request = ModelRequest("inquiry", Epoch(1), "Prompt.", "", tuple(sorted(offered)), history, {}, 0)
    items: list[dict[str, Any]] = [dict(item) for item in input_from(shown(FLOW, request, today=date(2026, 12, 1)))]
    ITEMS.validate_python(items)
    assert items[0]["role"] == "system"
    assert items[-1].get("role") != "assistant"
    awaited: list[str] = []
    for item in items[1:]:
        match item["type"]:
            case "function_call":
                assert item["name"] in offered
                assert isinstance(json.loads(item["arguments"]), dict)
                awaited.append(item["call_id"])
            case "function_call_output":
                assert item["call_id"] == awaited.pop(0)
            case _:
                assert not awaited, "every request has its result before anything else is said"
                assert item["content"].strip()
                assert item["role"] in ("user", "assistant")
    assert not awaited
    every_id = [item["call_id"] for item in items if item["type"] == "function_call"]
    assert len(every_id) == len(set(every_id))


# --- how a response ends ---------------------------------------------------------------------------------------------


def test_a_response_that_is_cut_for_its_length_is_taken_as_it_is() -> None:
    pieces, _ = reply_of(RESPONSES, streams(response_ended_early("Well.", why="max_output_tokens")))
    assert pieces == [SentText("Well."), ReplyDone()]


def test_a_response_that_is_filtered_away_is_refused() -> None:
    failure, _, _ = failure_of(RESPONSES, streams(response_ended_early(why="content_filter")))
    assert (type(failure), str(failure)) == (ReplyRefused, "m said nothing")


def test_a_refusal_in_words_is_spoken() -> None:
    refusal = response_event(
        "response.refusal.delta", item_id="msg_1", output_index=0, content_index=0, delta="I cannot help with that."
    )
    pieces, _ = reply_of(RESPONSES, streams([refusal, *RESPONSES.ending([""])]))
    assert pieces[0] == SentText("I cannot help with that.")


def test_what_a_model_thinks_is_not_said() -> None:
    thought = response_event(
        "response.reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta="Hm."
    )
    pieces, _ = reply_of(RESPONSES, streams([*RESPONSES.opening, thought, *RESPONSES.says("Hello.")]))
    assert [piece for piece in pieces if isinstance(piece, SentText)] == [SentText("Hello.")]


@pytest.mark.parametrize(
    ("code", "kind"), [("rate_limit_exceeded", ModelUnavailable), ("invalid_prompt", ReplyRefused)]
)
def test_a_response_that_fails_says_by_its_code_whose_fault_it_was(code: str, kind: type[Exception]) -> None:
    error = response_event("error", code=code, message="you said 1234", param=None)
    for frames in (response_failed(code), [error]):
        failure, server, _ = failure_of(RESPONSES, streams([*RESPONSES.opening, *frames]))
        assert (type(failure), str(failure), len(server.bodies)) == (kind, f"m broke off ({code})", 1)


def test_an_empty_account_is_permanent() -> None:
    failure, _, _ = failure_of(RESPONSES, refuses(429, {"code": "insufficient_quota"}))
    assert isinstance(failure, ModelUnavailable)
    assert failure.permanent


# --- installing ------------------------------------------------------------------------------------------------------


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"voiceagent\[openai\]"):
        OpenAIResponsesModels("m", api_key="sk-12345")


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")
    with pytest.raises(OperatorError, match="OPENAI_API_KEY"):
        OpenAIResponsesModels("m")
