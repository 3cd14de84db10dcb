"""What the tools of the clinic and the restaurant ask their services, over HTTP, and what they make of the answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import JsonValue

from voiceagent import Flow, Tool, ToolContext, ToolFailed
from voiceagent.runtime.loader import load_flow
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.tool_http import ToolHttp

PHASES = Path(__file__).resolve().parents[2] / "phases"
AGENTS = {name: load_flow(PHASES / name) for name in ("clinic", "restaurant")}
ANSWER = {"from": "the service"}


@dataclass
class Service:
    """A service that answers everything in the same way, and remembers what it was asked."""

    url: str = ""
    asked: list[tuple[str, JsonValue]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def service_answering(status: int) -> Iterator[Service]:
    service = Service()

    class Desk(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            service.asked.append((f"{self.command} {self.path}", json.loads(body) if body else None))
            service.keys.append(self.headers.get("idempotency-key"))
            said = json.dumps(ANSWER).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Desk) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        yield service
        server.shutdown()


def tool_of(flow: Flow, name: str) -> Tool:
    return next(tool for phase in flow.phases for tool in phase.tools if tool.name == name)


def run(agent: str, name: str, arguments: dict[str, JsonValue], service: Service) -> object:
    """Run a tool as the executor does: its arguments validated, its key as for a confirmed call."""
    tool = tool_of(AGENTS[agent], name)
    values = tool.arguments.model_validate(arguments)

    pool = ConnectionPool(internal=[service.url])

    async def main() -> object:
        key = "call-1:1" if tool.effect != "read" else None
        http = ToolHttp(pool, service.url, {}, reach=tool.reach, who=name)
        ctx = ToolContext("call-1", name, http, 10_000, 0, key, {})
        try:
            return await tool.run(**{part: getattr(values, part) for part in tool.arguments.model_fields}, ctx=ctx)
        finally:
            await pool.close()

    return asyncio.run(main())


REQUESTS: list[tuple[str, str, dict[str, JsonValue], str, JsonValue]] = [
    (
        "clinic", "find_patient", {"born": "1987-03-14", "name": "Maria Lopez"},
        "POST /identify", {"born": "1987-03-14", "name": "Maria Lopez", "call": "call-1"},
    ),
    ("clinic", "my_appointments", {"patient_id": "P-1"}, "GET /patients/P-1/appointments", None),
    ("clinic", "free_times", {}, "GET /free-times", None),
    ("clinic", "free_times", {"day": "2025-12-04"}, "GET /free-times?day=2025-12-04", None),
    (
        "clinic", "choose_appointment", {"patient_id": "P-1", "day": "2025-12-16"},
        "GET /patients/P-1/appointments/2025-12-16", None,
    ),
    (
        "clinic", "book_appointment", {"patient_id": "P-1", "day": "2025-12-04", "at": "09:30"},
        "POST /patients/P-1/appointments", {"day": "2025-12-04", "at": "09:30"},
    ),
    (
        "clinic", "cancel_appointment", {"patient_id": "P-1", "appointment_day": "2025-12-05"},
        "POST /patients/P-1/appointments/2025-12-05/cancel", None,
    ),
    (
        "clinic", "cancel_appointment", {"patient_id": "P-1", "appointment_day": "2025-12-05", "day": "2025-12-16"},
        "POST /patients/P-1/appointments/2025-12-16/cancel", None,
    ),
    (
        "clinic", "move_appointment",
        {"patient_id": "P-1", "appointment_day": "2025-12-05", "day": "2025-12-04", "at": "11:00:00"},
        "POST /patients/P-1/appointments/2025-12-05/move", {"day": "2025-12-04", "at": "11:00"},
    ),
    ("restaurant", "read_menu", {}, "GET /menu", None),
    ("restaurant", "read_menu", {"part": "drinks"}, "GET /menu?part=drinks", None),
    ("restaurant", "describe_dish", {"item": "Caesar salad"}, "GET /menu/Caesar%20salad", None),
    ("restaurant", "opening_hours", {}, "GET /hours/today", None),
    (
        "restaurant", "put_on_order", {"item": "cola", "order_id": "", "quantity": "2"},
        "POST /orders/new/put", {"item": "cola", "quantity": 2, "more": False},
    ),
    (
        "restaurant", "put_on_order", {"item": "cola", "order_id": "R-1", "more": "true"},
        "POST /orders/R-1/put", {"item": "cola", "quantity": 1, "more": True},
    ),
    (
        "restaurant", "take_off_order", {"item": "cola", "order_id": "R-1"},
        "POST /orders/R-1/take-off", {"item": "cola", "quantity": None},
    ),
    (
        "restaurant", "order_for_pickup", {"order_id": "R-1", "total": "21", "phone": "5552310147"},
        "POST /orders/R-1/place", {"total": "21.00", "phone": "5552310147"},
    ),
    (
        "restaurant", "order_for_delivery",
        {"order_id": "R-1", "total": "21", "phone": "5552310147", "address": "12 Oak Street"},
        "POST /orders/R-1/place", {"total": "21.00", "phone": "5552310147", "address": "12 Oak Street"},
    ),
]  # fmt: skip
WRAPPED_IN = {"my_appointments": "appointments", "free_times": "times", "read_menu": "dishes"}


@pytest.mark.parametrize(("agent", "name", "arguments", "request_line", "body"), REQUESTS)
def test_a_tool_asks_its_service(
    agent: str, name: str, arguments: dict[str, JsonValue], request_line: str, body: JsonValue
) -> None:
    with service_answering(200) as service:
        answer = run(agent, name, arguments, service)
    assert service.asked == [(request_line, body)]
    assert answer == ({WRAPPED_IN[name]: ANSWER} if name in WRAPPED_IN else ANSWER)


@pytest.mark.parametrize(("agent", "name", "arguments"), [row[:3] for row in REQUESTS])
def test_a_service_that_is_out_of_order_fails_the_tool_in_words_for_the_caller(
    agent: str, name: str, arguments: dict[str, JsonValue]
) -> None:
    with service_answering(500) as service, pytest.raises(ToolFailed) as failed:
        run(agent, name, arguments, service)
    assert not str(failed.value).endswith("."), "it stands in the middle of a sentence"


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("book_appointment", 409, "that time is not free"),
        ("move_appointment", 409, "that time is not free"),
        ("cancel_appointment", 404, "there is no appointment on that day"),
        ("choose_appointment", 404, "there is no appointment on that day"),
        ("put_on_order", 409, "we are out of cola today"),
        ("take_off_order", 404, "there is no cola on your order"),
        ("order_for_pickup", 409, "the kitchen is closed, or a price has changed"),
        ("order_for_delivery", 422, "we do not deliver there"),
    ],
)
def test_a_refusal_is_told_with_its_reason(name: str, status: int, reason: str) -> None:
    agent, _, arguments = next(row[:3] for row in REQUESTS if row[1] == name)
    with service_answering(status) as service, pytest.raises(ToolFailed, match=reason):
        run(agent, name, arguments, service)


def test_a_patient_who_has_been_guessed_at_too_often_has_no_attempt_left() -> None:
    with service_answering(423) as service:
        answer = run("clinic", "find_patient", {"born": "1987-03-14", "name": "Maria Lopez"}, service)
    assert answer == {"verified": False}


def test_whatever_writes_carries_the_key_that_makes_a_second_attempt_harmless() -> None:
    writing = [row for row in REQUESTS if tool_of(AGENTS[row[0]], row[1]).effect != "read"]
    assert len(writing) >= 8
    for agent, name, arguments, *_ in writing:
        with service_answering(200) as service:
            run(agent, name, arguments, service)
        assert service.keys == ["call-1:1"], name
