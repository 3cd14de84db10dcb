"""A chat model at a real HTTP endpoint, asked through the real SDK."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import MissingExtra, OperatorError, VoiceFailed
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.models.openai_chat import OpenAIChatModels
from voiceagent.ports import ReplyDone, ReplyModel, ReplyPiece, SentText, ToolRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase, Requested, Transition
from voiceagent.spec.tool import tool
from voiceagent.zones import read_zone

pytest.importorskip("openai", reason="needs the extra 'openai'")

from openai.types.chat import ChatCompletionMessageFunctionToolCallParam, ChatCompletionMessageParam
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from voiceagent.models.chat_messages import messages_for

# --- a flow and requests of it ---------------------------------------------------------------------------------------


@tool
async def get_balance(account: str) -> dict[str, str]:
    """Look up the balance of an account."""
    return {"account": account, "balance": "12.00"}


@tool
async def list_accounts() -> list[str]:
    """List the caller's accounts."""
    return []


FLOW = Flow(
    name="bank",
    initial="inquiry",
    phases=(
        Phase(
            name="inquiry",
            tools=(get_balance, list_accounts),
            transitions=(
                Transition(on=Requested(name="say_goodbye", description="The caller is done."), to="goodbye"),
            ),
        ),
        Phase(name="goodbye"),
    ),
)
ALL_OFFERED = ("get_balance", "list_accounts", "say_goodbye")
CALLER_ASKS = Message(1, "caller", "What is my balance?", Epoch(1))
NOON = 1_796_126_400_000
"""1 December 2026, 12:00 UTC."""


def asked(
    *history: Message, tools: tuple[str, ...] = ALL_OFFERED, late_facts: str = "", unix_ms: int = NOON
) -> ModelRequest:
    return ModelRequest(
        phase="inquiry",
        epoch=Epoch(1),
        prompt="You work for a bank.",
        late_facts=late_facts,
        tools=tools,
        history=history or (CALLER_ASKS,),
        facts={},
        unix_ms=unix_ms,
    )


# --- a server --------------------------------------------------------------------------------------------------------

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ChatServer:
    """Answers one request after the other as its script says, the last answer again and again."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.url = ""
        self.answers = answers
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        """The client has closed its connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await _head(reader):
                self.headers.append(head)
                length = next(int(line.split(":")[1]) for line in head.splitlines() if "content-length" in line.lower())
                self.bodies.append(json.loads(await reader.readexactly(length)))
                self.asked.set()
                await self.answers[min(len(self.bodies), len(self.answers)) - 1](reader, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        except ConnectionError:
            pass
        finally:
            self.left.set()
            writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@asynccontextmanager
async def chat_server(*answers: Answer) -> AsyncGenerator[ChatServer]:
    chat = ChatServer(answers)
    listening = await asyncio.start_server(chat.serve, "127.0.0.1", 0)
    chat.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield chat
    finally:
        listening.close()
        await listening.wait_closed()


def _event(chunk: dict[str, Any] | str) -> bytes:
    text = f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n".encode()
    return f"{len(text):x}\r\n".encode() + text + b"\r\n"


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def streams(*chunks: dict[str, Any] | str | asyncio.Event) -> Answer:
    """A whole reply; an event among the chunks is waited for."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for chunk in [*chunks, "[DONE]"]:
            if isinstance(chunk, asyncio.Event):
                await writer.drain()
                await chunk.wait()
            else:
                writer.write(_event(chunk))
        writer.write(b"0\r\n\r\n")

    return answer


def breaks_off_after(*chunks: dict[str, Any]) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"".join(map(_event, chunks)))
        await writer.drain()
        writer.close()

    return answer


def stalls_after(*chunks: dict[str, Any]) -> Answer:
    """Sends these and then nothing, until the client goes away."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"".join(map(_event, chunks)))
        await reader.read()
        writer.close()

    return answer


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def refuses(status: int, *, error: dict[str, Any] | None = None, header: str = "x-nothing: 0") -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"error": error or {"message": "no"}}).encode()
        writer.write(
            f"HTTP/1.1 {status} No\r\n{header}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )

    return answer


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
    }


def words(text: str) -> dict[str, Any]:
    return chunk({"content": text})


def called(
    index: int | None, *, request: str | None = None, name: str | None = None, arguments: str = ""
) -> dict[str, Any]:
    """A delta of one tool call; what is None is left out."""
    parts: dict[str, Any] = {
        "function": {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    }
    if index is not None:
        parts["index"] = index
    if request is not None:
        parts |= {"id": request, "type": "function"}
    return chunk({"tool_calls": [parts]})


USAGE = {**chunk(), "choices": [], "usage": {"prompt_tokens": 90, "completion_tokens": 7, "total_tokens": 97}}
HELLO = streams(words("Hello."), chunk(finish="stop"))


# --- asking it -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def model_at(url: str, **settings: Any) -> AsyncGenerator[ReplyModel]:
    # In a thread, as a server does it: loading the SDK blocks.
    models = await asyncio.to_thread(OpenAIChatModels, "m", base_url=url, **settings)
    try:
        yield models.open(FLOW, locale="en-US", time_zone="UTC")
    finally:
        await models.close()


def reply_of(
    *answers: Answer, request: ModelRequest | None = None, **settings: Any
) -> tuple[list[ReplyPiece], ChatServer]:
    async def ask() -> tuple[list[ReplyPiece], ChatServer]:
        async with chat_server(*answers) as server, model_at(server.url, **settings) as model:
            return [piece async for piece in model.reply(request or asked())], server

    return asyncio.run(ask())


def failure_of(*answers: Answer, **settings: Any) -> tuple[VoiceFailed, ChatServer, list[ReplyPiece]]:
    """Return how a reply failed, the server, and the pieces that came before."""

    async def ask() -> tuple[VoiceFailed, ChatServer, list[ReplyPiece]]:
        pieces: list[ReplyPiece] = []
        async with chat_server(*answers) as server, model_at(server.url, **settings) as model:
            try:
                async for piece in model.reply(asked()):
                    pieces.append(piece)  # noqa: PERF401 - they count although the loop fails
            except VoiceFailed as failure:
                return failure, server, pieces
        raise AssertionError("it answered")

    return asyncio.run(ask())


# --- words -----------------------------------------------------------------------------------------------------------


def test_words_come_as_they_are_streamed_and_the_tokens_are_counted():
    pieces, _ = reply_of(streams(chunk({"role": "assistant"}), words("Hel"), words("lo."), chunk(finish="stop"), USAGE))
    assert pieces == [SentText("Hel"), SentText("lo."), ReplyDone(input_tokens=90, output_tokens=7)]


def test_the_first_word_does_not_wait_for_the_last():
    async def ask() -> list[ReplyPiece]:
        first_was_heard = asyncio.Event()
        answer = streams(words("One "), first_was_heard, words("moment."), chunk(finish="stop"))
        pieces: list[ReplyPiece] = []
        async with chat_server(answer) as server, model_at(server.url) as model:
            async for piece in model.reply(asked()):
                pieces.append(piece)
                first_was_heard.set()
        return pieces

    assert asyncio.run(ask()) == [SentText("One "), SentText("moment."), ReplyDone()]


@pytest.mark.parametrize("ending", [breaks_off_after, stalls_after])
def test_a_reply_is_complete_without_a_token_count(ending: Callable[..., Answer]):
    pieces, _ = reply_of(ending(words("Hello."), chunk(finish="stop")))
    assert pieces == [SentText("Hello."), ReplyDone()]


def test_a_refusal_in_words_is_spoken():
    pieces, _ = reply_of(streams(chunk({"refusal": "I cannot help with that."}), chunk(finish="stop")))
    assert pieces[0] == SentText("I cannot help with that.")


@pytest.mark.parametrize("nothing", [chunk(), words("\n\n")])
def test_a_reply_of_nothing_is_a_failure_since_the_caller_would_hear_silence(nothing: dict[str, Any]):
    failure, _, pieces = failure_of(streams(nothing, chunk(finish="stop")))
    assert (type(failure), str(failure), pieces) == (ReplyRefused, "m said nothing", [])


def test_two_replies_share_one_connection():
    async def ask_twice() -> int:
        async with chat_server(HELLO) as server, model_at(server.url) as model:
            for _ in range(2):
                assert [piece async for piece in model.reply(asked())] == [SentText("Hello."), ReplyDone()]
            return server.connections

    assert asyncio.run(ask_twice()) == 1


# --- tool calls ------------------------------------------------------------------------------------------------------


def test_two_parallel_tool_calls_are_put_together_from_their_crumbs():
    pieces, _ = reply_of(
        streams(
            words("Let me see."),
            called(0, request="call_a", name="get_balance"),
            called(0, arguments='{"acc'),
            called(1, request="call_b", name="list_accounts"),
            called(0, arguments='ount": "7"}'),
            called(1, arguments="{}"),
            chunk(finish="tool_calls"),
        )
    )
    assert pieces == [
        SentText("Let me see."),
        ToolRequest("call_a", "get_balance", '{"account": "7"}'),
        ToolRequest("call_b", "list_accounts", "{}"),
        ReplyDone(),
    ]


def test_a_reply_may_be_tool_calls_only():
    pieces, _ = reply_of(streams(called(0, request="call_a", name="say_goodbye"), chunk(finish="tool_calls")))
    assert pieces == [ToolRequest("call_a", "say_goodbye", ""), ReplyDone()]


def test_malformed_arguments_are_passed_on_as_they_are():
    pieces, _ = reply_of(
        streams(called(0, request="call_a", name="get_balance", arguments='{"account": '), chunk(finish="length"))
    )
    assert pieces[0] == ToolRequest("call_a", "get_balance", '{"account": ')


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [
                called(0, request="x1", name="get_balance", arguments='{"account": "7"}'),
                called(0, request="x2", name="list_accounts", arguments="{}"),
            ],
            id="every index is 0",
        ),
        pytest.param(
            [
                called(None, request="x1", name="get_balance", arguments='{"account": '),
                called(None, request="x1", arguments='"7"}'),
                called(None, request="x2", name="list_accounts", arguments="{}"),
            ],
            id="no index",
        ),
        pytest.param(
            [
                called(0, request="x1", name="get_balance", arguments='{"account"'),
                called(0, request="x1", name="get_balance", arguments=': "7"}'),
                called(1, request="x2", name="list_accounts", arguments="{}"),
            ],
            id="id and name in every delta",
        ),
    ],
)
def test_servers_that_number_their_calls_badly_are_understood(deltas: list[dict[str, Any]]):
    pieces, _ = reply_of(streams(*deltas, chunk(finish="tool_calls")))
    assert pieces[:-1] == [
        ToolRequest("x1", "get_balance", '{"account": "7"}'),
        ToolRequest("x2", "list_accounts", "{}"),
    ]


@pytest.mark.parametrize("index", [True, False])
def test_calls_without_ids_are_given_some(index: bool):
    pieces, _ = reply_of(
        streams(
            called(0 if index else None, name="get_balance", arguments='{"account": "7"}'),
            called(1 if index else None, name="list_accounts", arguments="{}"),
            chunk(finish="tool_calls"),
        )
    )
    requests = [piece for piece in pieces if isinstance(piece, ToolRequest)]
    assert [request.name for request in requests] == ["get_balance", "list_accounts"]
    assert len({request.request for request in requests} - {""}) == 2


def test_an_id_that_the_history_knows_is_replaced_so_that_results_find_their_requests():
    history = (
        CALLER_ASKS,
        Message(2, "tool_request", "{}", Epoch(1), "call_0", "list_accounts"),
        Message(3, "tool_result", "[]", Epoch(1), "call_0", "list_accounts"),
    )
    answer = streams(called(0, request="call_0", name="list_accounts"), chunk(finish="tool_calls"))
    pieces, _ = reply_of(answer, request=asked(*history))
    assert isinstance(pieces[0], ToolRequest)
    assert pieces[0].request != "call_0"


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_bad_key_or_name_is_permanent_and_not_asked_again(status: int):
    failure, server, _ = failure_of(refuses(status, error={"message": "Incorrect key sk-12345", "code": "Bad key!"}))
    assert isinstance(failure, ModelUnavailable)
    assert failure.permanent
    assert (str(failure), len(server.bodies)) == (f"m answered HTTP {status}", 1)


def test_a_rate_limit_says_how_long_to_wait_and_is_not_asked_again():
    failure, server, _ = failure_of(refuses(429, error={"code": "rate_limit_exceeded"}, header="retry-after: 2.5"))
    assert isinstance(failure, ModelUnavailable)
    assert (failure.permanent, failure.retry_after_ms, len(server.bodies)) == (False, 2_500, 1)
    assert str(failure) == "m answered HTTP 429 (rate_limit_exceeded)"


def test_an_empty_account_is_permanent():
    failure, _, _ = failure_of(refuses(429, error={"code": "insufficient_quota"}))
    assert isinstance(failure, ModelUnavailable)
    assert failure.permanent


def test_a_request_that_does_not_fit_is_refused_without_blaming_the_model():
    failure, server, _ = failure_of(refuses(400, error={"code": "context_length_exceeded"}))
    assert isinstance(failure, ReplyRefused)
    assert (str(failure), len(server.bodies)) == ("m answered HTTP 400 (context_length_exceeded)", 1)


@pytest.mark.parametrize(
    "trouble", [refuses(500), refuses(503), breaks_off_after(), breaks_off_after(chunk({"role": "assistant"}))]
)
def test_trouble_before_the_first_word_is_met_with_one_more_attempt(trouble: Answer):
    pieces, server = reply_of(trouble, HELLO)
    assert pieces == [SentText("Hello."), ReplyDone()]
    assert len(server.bodies) == 2


def test_a_server_that_stays_broken_is_asked_twice():
    failure, server, _ = failure_of(refuses(500))
    assert isinstance(failure, ModelUnavailable)
    assert (str(failure), failure.permanent, len(server.bodies)) == ("m answered HTTP 500", False, 2)


def test_a_server_that_asks_for_patience_is_asked_once():
    failure, server, _ = failure_of(refuses(503, header="retry-after-ms: 800"))
    assert isinstance(failure, ModelUnavailable)
    assert (failure.retry_after_ms, len(server.bodies)) == (800, 1)


def test_a_server_that_is_not_there_is_unavailable():
    async def ask() -> None:
        async with chat_server() as server:
            url = server.url
        async with model_at(url) as model:
            with pytest.raises(ModelUnavailable, match="the connection to m failed"):
                await anext(aiter(model.reply(asked())))

    asyncio.run(ask())


def test_after_the_first_word_nothing_is_asked_again():
    failure, server, pieces = failure_of(breaks_off_after(words("Your balance is ")), HELLO)
    assert isinstance(failure, ModelUnavailable)
    assert (pieces, len(server.bodies)) == ([SentText("Your balance is ")], 1)


def test_a_stream_that_ends_before_the_reply_does_is_a_failure():
    failure, _, pieces = failure_of(streams(words("Your balance is ")))
    assert (type(failure), str(failure)) == (ModelUnavailable, "m hung up in mid-reply")
    assert pieces == [SentText("Your balance is ")]


def test_an_error_in_mid_stream_is_a_failure_in_our_own_words():
    failure, _, _ = failure_of(streams(words("Your "), {"error": {"message": "you said 1234", "code": "server_error"}}))
    assert str(failure) == "m broke off (server_error)"


def test_a_server_that_sends_nonsense_is_unavailable():
    failure, _, _ = failure_of(streams("{not json"))
    assert isinstance(failure, ModelUnavailable)
    assert str(failure).startswith("m sent what cannot be read")


@pytest.mark.parametrize("hang", [never_answers, stalls_after(), stalls_after(chunk({"role": "assistant"}))])
def test_a_model_that_does_not_begin_is_given_up(hang: Answer):
    failure, server, _ = failure_of(hang, first_piece_ms=500)
    assert isinstance(failure, ModelUnavailable)
    assert str(failure) == "m did not begin within 500 ms"
    assert (failure.permanent, len(server.bodies)) == (False, 1)


def test_a_model_that_does_not_finish_is_given_up():
    failure, _, pieces = failure_of(stalls_after(words("Well, ")), request_timeout_ms=50)
    assert (str(failure), pieces) == ("m did not finish within 50 ms", [SentText("Well, ")])


def test_a_reply_that_nobody_wants_any_more_closes_its_request():
    async def barge_in() -> None:
        async with chat_server(stalls_after(words("Well, "))) as server, model_at(server.url) as model:
            pieces = model.reply(asked())
            assert isinstance(pieces, AsyncGenerator)
            assert await anext(pieces) == SentText("Well, ")
            await pieces.aclose()
            await server.left.wait()

    asyncio.run(barge_in())


@pytest.mark.parametrize("hang", [never_answers, stalls_after(chunk({"role": "assistant"})), stalls_after(words("A"))])
def test_a_task_that_is_cancelled_closes_its_request(hang: Answer):
    async def cancel() -> None:
        async with chat_server(hang) as server, model_at(server.url) as model:

            async def listen() -> None:
                async for _ in model.reply(asked()):
                    pass

            listening = asyncio.create_task(listen())
            await server.asked.wait()
            listening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listening
            await server.left.wait()

    asyncio.run(cancel())


def test_a_first_chunk_that_cannot_be_read_closes_its_request():
    async def ask() -> None:
        odd = stalls_after(chunk({"content": ["words in a list"]}))
        async with chat_server(odd) as server, model_at(server.url) as model:
            with pytest.raises(ModelUnavailable, match="sent what cannot be read"):
                await anext(aiter(model.reply(asked())))
            await server.left.wait()

    asyncio.run(ask())


def test_a_server_that_cannot_count_tokens_is_not_asked_to_again():
    async def ask_twice() -> list[bool]:
        picky = refuses(422, error={"message": "stream_options: extra inputs are not permitted"})
        async with chat_server(picky, HELLO) as server, model_at(server.url) as model:
            for _ in range(2):
                assert [piece async for piece in model.reply(asked())] == [SentText("Hello."), ReplyDone()]
            return ["stream_options" in body for body in server.bodies]

    assert asyncio.run(ask_twice()) == [True, False, False]


# --- what goes on the wire -------------------------------------------------------------------------------------------


def body_of(request: ModelRequest) -> dict[str, Any]:
    _, server = reply_of(HELLO, request=request)
    return server.bodies[0]


def texts(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in body["messages"]]


def test_the_body_is_what_the_protocol_asks_for():
    body = body_of(asked())
    TypeAdapter(CompletionCreateParamsStreaming).validate_python(body)
    assert (body["model"], body["stream"], body["stream_options"]) == ("m", True, {"include_usage": True})
    assert set(body) == {"model", "stream", "stream_options", "messages", "tools"}


def test_tools_and_moves_are_functions():
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


def test_only_what_is_offered_goes_on_the_wire():
    assert [offered["function"]["name"] for offered in body_of(asked(tools=("say_goodbye",)))["tools"]] == [
        "say_goodbye"
    ]
    assert "tools" not in body_of(asked(tools=()))


def test_another_server_is_never_sent_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    _, server = reply_of(HELLO)
    assert "sk-from-the-environment" not in server.headers[0]


def test_the_key_stands_in_the_header_alone():
    _, server = reply_of(HELLO, api_key="sk-12345")
    assert "Bearer sk-12345" in server.headers[0]
    assert "sk-12345" not in json.dumps(server.bodies)


# --- messages --------------------------------------------------------------------------------------------------------


def shown(request: ModelRequest, *, one_system_message: bool = False) -> list[dict[str, Any]]:
    return [
        dict(message)
        for message in messages_for(request, today=date(2026, 12, 1), one_system_message=one_system_message)
    ]


def told(*history: Message, tools: tuple[str, ...] = ALL_OFFERED) -> list[dict[str, Any]]:
    """The conversation without the system messages."""
    return [message for message in shown(asked(*history, tools=tools)) if message["role"] != "system"]


def test_the_prompt_stands_first_and_alone_so_that_it_can_be_cached():
    first, second, third = shown(asked(late_facts="The caller is Ada."))
    assert first == {"role": "system", "content": "You work for a bank."}
    assert second == {"role": "system", "content": "The caller is Ada.\n\nToday is Tuesday, 2026-12-01."}
    assert third == {"role": "user", "content": "What is my balance?"}


def test_a_local_server_is_sent_one_system_message_that_begins_with_the_prompt():
    body = body_of(asked(late_facts="The caller is Ada."))
    assert texts(body) == [
        ("system", "You work for a bank.\n\nThe caller is Ada.\n\nToday is Tuesday, 2026-12-01."),
        ("user", "What is my balance?"),
    ]


def test_today_is_a_day_of_the_callers_calendar():
    async def ask() -> str:
        async with chat_server(HELLO) as server:
            models = await asyncio.to_thread(OpenAIChatModels, "m", base_url=server.url)
            model = models.open(FLOW, locale="en-US", time_zone="Pacific/Auckland")
            assert [piece async for piece in model.reply(asked())]
            await models.close()
            return server.bodies[0]["messages"][0]["content"]

    read_zone("Pacific/Auckland")
    assert "Wednesday, 2026-12-02" in asyncio.run(ask())


def test_a_model_that_speaks_first_is_told_that_it_is_its_turn():
    request = asked(Message(1, "agent", "Hello, this is the bank.", Epoch(1)))
    assert shown(request)[-2:] == [
        {"role": "assistant", "content": "Hello, this is the bank."},
        {"role": "user", "content": "[It is your turn to speak.]"},
    ]


def test_parallel_requests_are_one_message_and_their_results_follow_it():
    assert told(
        CALLER_ASKS,
        Message(2, "agent", "Let me see.", Epoch(1)),
        Message(3, "tool_request", '{"account": "7"}', Epoch(1), "a", "get_balance"),
        Message(4, "tool_request", "{}", Epoch(1), "b", "list_accounts"),
        Message(5, "caller", "Hurry up.", Epoch(1)),
        Message(6, "tool_result", '"no"', Epoch(1), "b", "list_accounts", failed=True),
        Message(7, "tool_result", '{"balance": "12.00"}', Epoch(1), "a", "get_balance"),
    ) == [
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


def test_a_result_without_its_request_is_told_in_words():
    (message,) = told(Message(9, "tool_result", '{"balance": "12.00"}', Epoch(1), "a", "get_balance"))
    assert message == {"role": "user", "content": '[Earlier, get_balance returned: {"balance": "12.00"}]'}


def test_a_second_result_of_one_request_is_told_in_words():
    request = Message(1, "tool_request", "{}", Epoch(1), "a", "list_accounts")
    results = [Message(number, "tool_result", f"[{number}]", Epoch(1), "a", "list_accounts") for number in (2, 3)]
    assert [message["content"] for message in told(CALLER_ASKS, request, *results)[2:]] == [
        "[2]",
        "[Earlier, list_accounts returned: [3]]",
    ]


def test_an_exchange_of_a_phase_that_was_left_is_told_in_words():
    history = (
        Message(1, "tool_request", '{"account": "7"}', Epoch(1), "a", "get_balance"),
        Message(2, "tool_result", '"unknown account"', Epoch(1), "a", "get_balance", failed=True),
        Message(3, "caller", "And now?", Epoch(2)),
    )
    (message,) = told(*history, tools=("say_goodbye",))
    assert message == {
        "role": "user",
        "content": '[Earlier, get_balance({"account": "7"}) failed: "unknown account"]\nAnd now?',
    }


def test_a_request_without_a_result_is_told_in_words():
    (_, message) = told(
        Message(1, "agent", "Let me see.", Epoch(1)),
        Message(2, "tool_request", "{}", Epoch(1), "a", "list_accounts"),
    )
    assert message == {"role": "user", "content": "[You asked for list_accounts({}); there is no result yet.]"}


def test_a_note_is_told_as_it_is():
    (message,) = told(CALLER_ASKS, Message(2, "note", "[get_balance, begun earlier, has ended: 12]", Epoch(1)))
    assert message["content"] == "What is my balance?\n[get_balance, begun earlier, has ended: 12]"


def test_what_was_sent_stays_the_beginning_of_what_is_sent_next():
    history = (
        CALLER_ASKS,
        Message(2, "tool_request", "{}", Epoch(1), "a", "list_accounts"),
        Message(3, "tool_result", "[]", Epoch(1), "a", "list_accounts"),
    )
    before = shown(asked(*history))
    after = shown(
        asked(*history, Message(4, "agent", "You have none.", Epoch(1)), Message(5, "caller", "Oh.", Epoch(1)))
    )
    assert after[: len(before)] == before


def _histories() -> st.SearchStrategy[tuple[Message, ...]]:
    entry = st.tuples(
        st.sampled_from(["caller", "agent", "tool_request", "tool_result", "note"]),
        st.sampled_from(["", " ", "Hello.", "{}", '{"account": "7"}', "{not json", "[1]", "NaN"]),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([*ALL_OFFERED, "left_behind"]),
        st.booleans(),
    )
    return st.lists(entry, max_size=12).map(lambda entries: tuple(_numbered(entries)))


def _numbered(entries: Sequence[tuple[Any, str, str | None, str, bool]]) -> Iterator[Message]:
    for number, (role, text, request, name, failed) in enumerate(entries, start=40):
        if role in ("tool_request", "tool_result"):
            yield Message(number, role, text, Epoch(1), request, name, failed)
        else:
            yield Message(number, role, text, Epoch(1))


MESSAGE = TypeAdapter[ChatCompletionMessageParam](ChatCompletionMessageParam)
CALLS = TypeAdapter(list[ChatCompletionMessageFunctionToolCallParam])


@given(history=_histories(), offered=st.sets(st.sampled_from(ALL_OFFERED)), one=st.booleans())
def test_whatever_is_shown_of_a_call_the_messages_are_such_as_providers_accept(
    history: tuple[Message, ...], offered: set[str], one: bool
):
    request = ModelRequest("inquiry", Epoch(1), "Prompt.", "", tuple(sorted(offered)), history, {}, NOON)
    messages = shown(request, one_system_message=one)
    system = 1 if one else 2
    assert [message["role"] for message in messages[:system]] == ["system"] * system
    assert "system" not in [message["role"] for message in messages[system:]]
    assert messages[-1]["role"] in ("user", "tool")
    awaited: list[str] = []
    for before, message in pairwise(messages):
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
    every_id = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert len(every_id) == len(set(every_id))


@given(history=_histories().filter(bool))
def test_no_word_and_no_result_is_lost(history: tuple[Message, ...]):
    history = tuple(replace(message, text=f"words{message.number}") for message in history)
    everything = json.dumps(shown(asked(*history)))
    for message in history:
        assert everything.count(message.text) == (message.role != "tool_request")


# --- installing ------------------------------------------------------------------------------------------------------


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"voiceagent\[openai\]"):
        OpenAIChatModels("m", api_key="sk-12345")


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")
    with pytest.raises(OperatorError, match="OPENAI_API_KEY"):
        OpenAIChatModels("m")
