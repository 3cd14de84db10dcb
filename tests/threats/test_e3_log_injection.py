"""E3: what a caller, a carrier or a tool writes cannot forge, break or flood a line of the log."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.runtime.desk_calls import asks, desk, lines
from tests.threats.conftest import Logged
from voiceagent import ToolFailed, tool
from voiceagent.core.ids import CallId
from voiceagent.logs import FIELDS, log_failure, logged_call
from voiceagent.testing import ask_for, say

FORGED = "x\n2026-01-01 INFO auth ok"
ANSI = "\x1b[31mred\x1b[0m \x9b2J \x07"
HOSTILE = [FORGED, ANSI, "a" * 1024 * 1024, "nul\x00nul", "\u2028next\u202eline\r", "\ud800"]
log = logging.getLogger("voiceagent.test")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("text", HOSTILE, ids=["forged line", "ansi", "1 MiB", "nul", "separators", "half a pair"])
def test_e3_one_line_per_event_without_control_characters(logged: Logged, form: str, text: str) -> None:
    output = logged(form)
    with logged_call(text, lambda said: said):
        log.warning("call %s said %s", text, text)
        log.warning("next")
    written = output.getvalue()
    assert written.count("\n") == 2
    assert written.endswith("\n")
    assert all(char.isprintable() for char in written.replace("\n", ""))
    assert len(written) < 4_000, "values are cut"
    if form == "json":
        first, second = (json.loads(line) for line in written.splitlines())
        assert tuple(first) == tuple(name for name in FIELDS if name in first)
        assert second["event"] == "next"


def test_e3_a_value_that_cannot_be_shown_costs_no_line(logged: Logged) -> None:
    class Unshowable:
        def __str__(self) -> str:
            raise ValueError("no")

    output = logged()
    log.warning("here is %s", Unshowable())
    assert json.loads(output.getvalue())["event"] == "here is %s"


def test_e3_other_fields_than_those_allowed_are_not_written(logged: Logged) -> None:
    output = logged()
    log.warning("something", extra={"caller_said": "my secret", "token": "hunter2"}, stack_info=True)
    assert set(json.loads(output.getvalue())) == {"at", "level", "logger", "event"}


def test_e3_of_other_libraries_the_first_line_is_kept_and_numbers(logged: Logged) -> None:
    output = logged()
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task ValueError('my secret')>")
    logging.getLogger("some.library").warning("GET %s took %d ms", "/accounts/4519227", 42)
    written = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["event"] for line in written] == ["Task exception was never retrieved", "GET … took 42 ms"]


def test_e3_of_an_exception_its_kind_and_place_are_told(logged: Logged) -> None:
    output = logged()
    try:
        {}["my secret"]
    except KeyError as exc:
        log_failure(log, exc, "the tool failed")
        log.exception("and again")
    told, again = (json.loads(line) for line in output.getvalue().splitlines())
    assert told["event"].startswith(f"the tool failed: KeyError at {__file__}:")
    assert (again["error"], again["where"].startswith(__file__)) == ("KeyError", True)
    assert "secret" not in output.getvalue()


def test_e3_its_own_words_are_for_debugging_without_the_secrets_of_the_call(logged: Logged) -> None:
    output = logged(level=logging.DEBUG)
    with logged_call("CA1", lambda text: text.replace("7391", "⟨pin#1: 4 digits⟩")):
        log_failure(log, ValueError("7391 is wrong for bob"), "the tool failed")
    words = json.loads(output.getvalue().splitlines()[1])
    assert (words["level"], words["event"]) == ("DEBUG", "the tool failed: ⟨pin#1: 4 digits⟩ is wrong for bob")


@tool
async def look(name: str) -> dict[str, object]:
    """Look somebody up."""
    raise ToolFailed(f"nobody is called {name}")


@tool
async def crash(name: str) -> dict[str, object]:
    """Break."""
    raise RuntimeError(f"cannot look up {name}")


@pytest.mark.parametrize("careless", [look, crash])
@pytest.mark.parametrize("text", HOSTILE[:4], ids=["forged line", "ansi", "1 MiB", "nul"])
def test_e3_a_call_of_somebody_hostile_leaves_a_log_of_whole_lines(
    exchange: Any, logged: Logged, careless: Any, text: str
) -> None:
    output = logged()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(3_000)

    def begin(line: Any) -> None:
        line.incoming = type(line.incoming)(
            CallId(text[:1_000]), line.leg, "desk", "+15550100", "+15550199", {"name": text}
        )

    model = lines(ask_for(careless.name, json.dumps({"name": text[:2_000]})), say("Thank you."))
    exchange.serve(scenario, desk(careless), lines=model, heard=[text], first=begin, complete=False)
    written = output.getvalue()
    assert f"tool {careless.name}" in written
    for line in written.splitlines():
        event = json.loads(line)
        assert set(event) <= set(FIELDS)
        assert len(line) < 4_000
        assert "is called" not in event["event"], "what the tool said of the caller"
        assert "cannot look up" not in event["event"]
