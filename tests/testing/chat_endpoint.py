"""An endpoint on this machine that speaks the protocol of OpenAI's chat completions, in threads of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """HTTP's way of saying no."""

    status: int


@dataclass(frozen=True, slots=True)
class Stalled:
    """Nothing, until the endpoint is closed."""


@dataclass(frozen=True, slots=True)
class Asks:
    """A request for a tool."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


Answer = str | Asks | Refused | Stalled
Mind = Callable[[Body], Answer]
"""What answers a request."""


@dataclass(slots=True)
class ChatEndpoint:
    """Answers as its mind says, and remembers what it was asked."""

    mind: Mind
    url: str = ""
    bodies: list[Body] = field(default_factory=list[Body])
    closing: Event = field(default_factory=Event)


@contextmanager
def chat_endpoint(mind: Mind) -> Iterator[ChatEndpoint]:
    endpoint = ChatEndpoint(mind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.bodies.append(body)
            match endpoint.mind(body):
                case Refused(status):
                    self._send(status, "application/json", b'{"error": {"message": "no"}}')
                case Stalled():
                    endpoint.closing.wait(10)
                case str(words):
                    self._stream({"content": words}, "stop")
                case Asks(tool, arguments):
                    function = {"name": tool, "arguments": json.dumps(arguments, ensure_ascii=False)}
                    call = {"index": 0, "id": "call_a", "type": "function", "function": function}
                    self._stream({"tool_calls": [call]}, "tool_calls")

        def _stream(self, delta: Body, finish: str) -> None:
            usage = {"prompt_tokens": 90, "completion_tokens": 7, "total_tokens": 97}
            chunks = [
                _chunk([{"index": 0, "delta": delta, "finish_reason": None}]),
                _chunk([{"index": 0, "delta": {}, "finish_reason": finish}]),
                {**_chunk([]), "usage": usage},
            ]
            events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
            self._send(200, "text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode())

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        server.shutdown()
        serving.join()
        server.server_close()


def _chunk(choices: list[Body]) -> Body:
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": choices}


# --- a mind that works at the desk, calls it, and judges -------------------------------------------------------------

CALLER_SAYS = ("one two three four", "When are you open?", "")
"""What the simulated caller says, one after the other; nothing: they hang up."""


def desk_mind(verdict: Answer = '{"verdict": "pass", "reasons": ["It told the hours."]}') -> Mind:
    def answer(body: Body) -> Answer:
        system, newest = body["messages"][0]["content"], body["messages"][-1]
        if system.startswith("You judge"):
            return verdict
        if system.startswith("You are calling"):
            said = CALLER_SAYS[sum(message["role"] == "assistant" for message in body["messages"])]
            return said or Asks("hang_up")
        tools = [tool["function"]["name"] for tool in body["tools"]]
        if "check_member" in tools:
            handle = newest["content"][newest["content"].find("⟨") :] if "⟨" in newest["content"] else None
            return Asks("check_member", {"code": handle}) if handle else "What is your code?"
        if newest["role"] == "tool":
            return "We are open until six."
        return Asks("opening_hours") if "open" in newest["content"] else "What can I do for you?"

    return answer
