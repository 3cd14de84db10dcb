"""Tools: a typed function, and what follows from its signature before anybody calls."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.errors import PhaseError
from voiceagent.spec.attempts import Attempts
from voiceagent.spec.tool import Effect, Sealed, tool
from voiceagent.tools.context import ToolContext


@tool(binds=("reader",), sets=("recognised",), requires="loans", grants=("a", "b"), scopes="books:read")
async def find_book(
    reader: str,
    title: str,
    ctx: ToolContext,
    pin: Sealed,
    price: Decimal = Decimal("1.50"),
    kind: Literal["book", "film"] = "book",
) -> dict[str, object]:
    """Look for a book.

    The title may be a part of it.
    """
    return {}


def test_a_tool_is_called_like_its_function_and_described_by_its_docstring() -> None:
    assert find_book.name == "find_book"
    assert find_book.description == "Look for a book.\n\nThe title may be a part of it."
    assert find_book.source.file == __file__


def test_one_name_may_stand_for_a_tuple_of_names() -> None:
    assert find_book.requires == ("loans",)
    assert find_book.grants == ("a", "b")
    assert find_book.scopes == ("books:read",)
    assert find_book.sets == {"recognised": "recognised"}
    assert find_book.binds == {"reader": "reader"}


def test_the_model_sees_neither_the_context_nor_what_is_bound() -> None:
    properties = find_book.parameters["properties"]
    assert isinstance(properties, dict)
    assert list(properties) == ["title", "pin", "price", "kind"]
    assert find_book.parameters["required"] == ["title", "pin"]
    assert find_book.parameters["additionalProperties"] is False
    assert find_book.takes_context


def test_the_schema_has_no_titles_but_a_parameter_may_be_called_so() -> None:
    properties = find_book.parameters["properties"]
    assert isinstance(properties, dict)
    assert properties["title"] == {"type": "string", "maxLength": 4_000}
    assert properties["kind"] == {"default": "book", "enum": ["book", "film"], "type": "string"}


def test_a_secret_parameter_asks_the_model_for_a_handle() -> None:
    assert find_book.sealed == ("pin",)
    properties = find_book.parameters["properties"]
    assert isinstance(properties, dict)
    assert "⟨pin#1: 4 digits⟩" in str(properties["pin"])


def test_arguments_become_json_values_with_the_defaults_filled_in() -> None:
    assert find_book.validated({"reader": "r1", "title": "Emma", "pin": "pin#1"}) == {
        "reader": "r1",
        "title": "Emma",
        "pin": "pin#1",
        "price": "1.50",
        "kind": "book",
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"titel": "Emma", "reader": "r", "title": "x", "pin": "p"}, "titel: no such argument; did you mean 'title'"),
        ({"reader": "r", "pin": "p"}, "title: Field required"),
        ({"reader": "r", "title": 5, "pin": "p"}, "title: Input should be a valid string"),
        ({"reader": "r", "title": "x" * 4_001, "pin": "p"}, "title: String should have at most 4000 characters"),
        ({"reader": "r", "title": "x", "pin": "p", "kind": "cd"}, "kind: Input should be 'book' or 'film'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        find_book.validated(arguments)


@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8)))
def test_whatever_a_model_sends_is_taken_or_refused(arguments: dict[str, object]) -> None:
    try:
        taken = find_book.validated({"reader": "r", "title": "t", "pin": "p", **arguments})
    except ValueError:
        return
    assert find_book.validated(taken) == taken


def test_two_tools_are_only_equal_if_they_are_the_same() -> None:
    async def again() -> None:
        """Do it again."""

    assert tool(again) != tool(again)
    assert len({tool(again), tool(again)}) == 2


def test_an_enumeration_of_dates_and_lists_has_a_schema_too() -> None:
    @tool
    async def book_days(days: list[date], note: str | None = None) -> None:
        """Book days."""

    assert book_days.validated({"days": ["2025-03-01"]}) == {"days": ["2025-03-01"], "note": None}


def test_what_a_write_makes_stale_may_be_a_tool_or_its_name() -> None:
    @tool(effect="write", invalidates=(find_book, "list_books"))
    async def lend_book() -> None:
        """Lend a book."""

    assert lend_book.invalidates == ("find_book", "list_books")


# --- what cannot be a tool -------------------------------------------------------------------------------------------


def refused(function: object, complaint: str, **declared: object) -> None:
    with pytest.raises(PhaseError, match=complaint) as refusal:
        tool(**declared)(function)  # pyright: ignore[reportCallIssue, reportArgumentType] - authors' mistakes
    assert refusal.value.source is not None
    assert refusal.value.source.file == __file__


def test_a_plain_function_is_a_tool_that_runs_in_a_thread() -> None:
    @tool
    def look(title: str) -> str:
        """Look."""
        return title

    assert look.in_thread
    assert not find_book.in_thread


def test_what_yields_its_results_one_by_one_is_refused() -> None:
    def look() -> Iterator[str]:
        """Look."""
        yield ""

    async def look_up() -> AsyncIterator[str]:
        """Look."""
        yield ""

    refused(look, "'look' must return its result: it cannot `yield`")
    refused(look_up, "'look_up' must return its result")


def test_attempts_are_limited_where_something_is_granted_and_by_a_parameter_there_is() -> None:
    async def check(reader: str) -> None:
        """Check."""

    limited: dict[str, object] = {"grants": "lending", "grants_when": "known"}
    refused(check, "so it needs `grants` and `grants_when`", attempts=Attempts(account="reader"))
    refused(
        check,
        "'readr', which is not one of its parameters; did you mean 'reader'",
        attempts=Attempts(account="readr"),
        **limited,
    )
    refused(check, "attempts: Input should be", attempts=3, **limited)


def test_what_is_reconciled_writes_and_is_looked_up_by_parameters_it_has() -> None:
    async def lend(reader: str) -> None:
        """Lend."""

    async def lent(readr: str) -> None:
        """Look it up."""

    def lent_by(reader: str) -> None:
        """Look it up."""

    refused(lend, "only reads: there is nothing to reconcile", reconcile=lent)
    refused(
        lend,
        "`reconcile` takes 'readr', which is not one of its parameters; did you mean",
        reconcile=lent,
        effect="write",
    )
    refused(lend, "`reconcile` takes an `async def`", reconcile=lent_by, effect="write")


def test_a_tool_without_a_docstring_is_refused_since_the_model_chooses_by_it() -> None:
    async def look() -> None: ...

    refused(look, "'look' needs a docstring")


def test_a_parameter_without_a_type_is_refused() -> None:
    async def look(where) -> None:  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType] - the mistake it is about
        """Look."""

    refused(look, "parameter 'where' needs a type")  # pyright: ignore[reportUnknownArgumentType] - the mistake it is about


def test_open_parameters_are_refused() -> None:
    async def look(*where: str) -> None:
        """Look."""

    async def look_up(**where: str) -> None:
        """Look up."""

    refused(look, "cannot be described to a model")
    refused(look_up, "cannot be described to a model")


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    async def look(where: Nowhere) -> None:  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType] - the mistake it is about
        """Look."""

    refused(look, "annotation cannot be read: name 'Nowhere'")  # pyright: ignore[reportUnknownArgumentType] - the mistake it is about


def test_a_name_that_a_model_could_not_write_is_refused() -> None:
    async def öffnen() -> None:  # noqa: PLC2401 - the name is the point
        """Open."""

    refused(öffnen, "must be a plain ASCII identifier")


def test_a_bound_parameter_must_be_one() -> None:
    async def look(reader: str) -> None:
        """Look."""

    refused(look, "binds 'readr', which is not one of its parameters; did you mean 'reader'", binds=("readr",))


def test_what_cannot_be_undone_needs_a_read_back() -> None:
    async def burn() -> None:
        """Burn it."""

    refused(burn, "irreversible tool 'burn' needs `confirm`", effect="irreversible")


def test_a_write_is_never_repeated_by_itself() -> None:
    async def write() -> None:
        """Write."""

    refused(write, "writes, so it cannot be retried", effect="write", retries=1)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"effect": "wirte"}, "effect: Input should be 'read', 'write' or 'irreversible'; did you mean 'write'?"),
        ({"timeout_ms": "10s"}, "timeout_ms: Input should be a valid integer"),
        ({"timeout_ms": 0}, "timeout_ms: Input should be greater than or equal to 1"),
        ({"retries": -1}, "retries: Input should be greater than or equal to 0"),
        ({"sets": "name"}, "sets: Input should be a valid dictionary, or Input should be a valid tuple"),
        ({"filler": "One moment."}, "filler: Input should be a valid dictionary or instance of Filler"),
        ({"requires": (5,)}, "requires: Input should be a valid string"),
        ({"invalidates": (5,)}, "invalidates: Input should be a dictionary or an instance of Tool"),
    ],
)
def test_an_option_of_another_type_is_refused_before_anything_relies_on_it(
    options: dict[str, object], complaint: str
) -> None:
    async def find() -> None:
        """Find."""

    refused(find, f"tool 'find': {complaint}", **options)


def test_a_parameter_that_would_be_lost_is_refused() -> None:
    async def find(_title: str) -> None:
        """Find."""

    async def find_by(model_config: str) -> None:
        """Find by something."""

    refused(find, "no parameter can be called '_title'")
    refused(find_by, "no parameter can be called 'model_config'")


def test_what_is_no_function_is_no_tool() -> None:
    refused(int, "@tool stands before a function, not before <class 'int'>")


def test_the_schema_that_models_see_is_made_once() -> None:
    @tool
    async def find(name: str) -> None:
        """Find."""

    assert find.parameters is find.parameters


def reach_of(effect: Effect = "read", **declared: str | tuple[str, ...]) -> list[str]:
    async def look(title: str) -> None:
        """Look."""

    confirm = "Really?" if effect == "irreversible" else None
    return list(map(str, tool(effect=effect, confirm=confirm, **declared)(look).reach))  # pyright: ignore[reportArgumentType] - one option


def test_a_read_reaches_its_service_by_reading_and_what_writes_by_every_method() -> None:
    assert reach_of() == ["GET,HEAD service"]
    assert reach_of("write") == reach_of("irreversible") == ["GET,HEAD,POST,PUT,PATCH,DELETE service"]


def test_what_a_tool_declares_is_all_that_it_reaches() -> None:
    assert reach_of(egress="POST service") == ["POST service"]
    assert reach_of("write", egress=("GET https://rates.example.com", "GET,PUT http://10.0.0.7:8080")) == [
        "GET https://rates.example.com",
        "GET,PUT http://10.0.0.7:8080",
    ]


@pytest.mark.parametrize(
    ("egress", "hint"),
    [
        ("service", "'service' is no method of HTTP"),
        ("PSOT service", "did you mean 'POST'?"),
        ("get service", "did you mean 'GET'?"),
        ("POST servce", "did you mean 'service'?"),
        ("POST", "'' is no place, as in 'POST service'"),
        ("GET rates.example.com", "'rates.example.com' is no place, as in"),
        ("GET htps://rates.example.com", "did you mean 'https'?"),
        ("GET file:///etc/passwd", "requests go over http or https"),
        ("GET https://rates.example.com/v1", "did you mean 'https://rates.example.com'?"),
        ("GET https://Rates.example.com", "did you mean 'https://rates.example.com'?"),
        ("GET https://me@rates.example.com", "did you mean 'https://rates.example.com'?"),
        ("GET https://rates.example.com:99999", "is no address: Port out of range"),
        ("GET https://rates..example.com", "is no name of a host"),
        ("GET https://*.example.com", "is no name of a host"),
        ("GET https://", "'' is no name of a host"),
        ("GET http://2130706433", "is no name of a host"),
        ("GET http://0x7f000001", "is no name of a host"),
        ("GET http://0177.0.0.1", "is no name of a host"),
        ("GET http://127.1", "is no name of a host"),
        ("GET http://[::1", "is no address"),
    ],
)
def test_e6_a_place_that_is_none_is_told_with_its_line_and_the_nearest_that_is_one(egress: str, hint: str) -> None:
    with pytest.raises(PhaseError, match=re.escape(hint)) as refused:
        reach_of(egress=egress)
    assert refused.value.code == "bad-egress"
    assert refused.value.source is not None
    assert refused.value.source.file == __file__
