"""Prompts: text with holes, and nothing that could be run."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.errors import PhaseError, Source
from voiceagent.spec.prompt import Prompt, render, syntax_of

HERE = Source("prompts/bank/greeting.md", 1)


def test_a_hole_is_filled() -> None:
    assert render("Hello {{ name }}.", {"name": "Ada"}) == "Hello Ada."


def test_a_text_without_holes_stays_as_it_is() -> None:
    assert render("Hello.", {}) == "Hello."


def test_a_hole_without_a_value_is_an_error_and_never_an_empty_place() -> None:
    with pytest.raises(PhaseError, match=r"greeting\.md:1: template cannot be filled: 'name' is undefined"):
        render("Hello {{ name }}.", {}, source=HERE)


@pytest.mark.parametrize("value", ["{{ 7*7 }}", "{% for x in y %}", "{# gone #}", "<b>&amp;</b>", "{{ name }}"])
def test_a_value_is_inserted_literally_whatever_it_looks_like(value: str) -> None:
    assert render("«{{ name }}»", {"name": value}) == f"«{value}»"


@given(st.text(max_size=60))
def test_no_value_can_change_the_text_around_it(value: str) -> None:
    assert render("before {{ value }} after", {"value": value}) == f"before {value} after"


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ name['__class__'] }}",
        "{{ name | attr('__class__') }}",
        "{{ name.format.__globals__ }}",
        "{{ '{0.__class__}'.format(name) }}",
        "{{ config }}",
        "{{ self.__init__ }}",
        "{{ range(3) }}",
        "{{ cycler('a').next() }}",
        "{{ lipsum.__globals__ }}",
        "{% set ns = namespace(a=1) %}{{ ns.a }}",
        "{{ items.append(1) }}",
        "{% include 'prompts/bank/greeting.md' %}",
        "{% import 'os' as os %}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_reaches_nothing_but_its_values(attack: str) -> None:
    with pytest.raises(PhaseError):
        render(attack, {"name": "Ada", "items": [1]}, source=HERE)


def test_a_template_that_cannot_be_read_names_its_line() -> None:
    with pytest.raises(PhaseError, match=r"^prompts/bank/greeting\.md:3: template cannot be read"):
        render("One.\nTwo.\n{{ three", {}, source=HERE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("One.\n{{ two\nthree\n{{ four }}\nfive", 2),
        ("One.\n{{ two\n\n\nthree", 2),
        ("{{ one }}\n{% if two\nthree", 2),
        ("{# a {{ b #}\n{{ two", 2),
        ("One.\nTwo.\n{# three\nfour", 3),
    ],
)
def test_a_bracket_that_is_not_closed_is_told_where_it_was_opened(text: str, line: int) -> None:
    with pytest.raises(PhaseError, match=rf"greeting\.md:{line}: template cannot be read: `.*` is never closed"):
        syntax_of(text, source=HERE)


def test_an_unknown_filter_is_found_when_the_template_is_read() -> None:
    with pytest.raises(PhaseError, match="template cannot be read: No filter named 'mony'"):
        syntax_of("{{ balance | mony }}", source=HERE)


def test_values_are_said_as_people_say_them() -> None:
    values = {"balance": "12.50", "code": "407", "day": "2025-03-01", "at": "09:30", "names": ["a", "b"]}
    text = "{{ balance | money }}, {{ code | spelled }}, {{ day | day }}, {{ at | time }}, {{ names | listed }}"
    said = render(text, values)
    assert "12.50" not in said
    assert "407" not in said
    assert "2025-03-01" not in said
    assert "9 30 in the morning" in said
    assert "a and b" in said


@pytest.mark.parametrize("text", ["{{ name | money }}", "{{ name | day }}", "{{ name | time }}"])
def test_a_value_that_a_filter_cannot_take_is_an_error(text: str) -> None:
    with pytest.raises(PhaseError, match="template cannot be filled"):
        render(text, {"name": "Ada"})


@pytest.mark.parametrize(
    ("text", "why"),
    [("{{ 9 ** 9 ** 9 }}", "computes no powers"), ("{{ name() }}", "'name' is a value and cannot be called")],
)
def test_what_would_fail_or_hang_in_a_call_is_found_when_the_template_is_read(text: str, why: str) -> None:
    with pytest.raises(PhaseError, match=rf"greeting\.md:1: .*{why}"):
        syntax_of(text, source=HERE)


def test_the_names_that_a_template_needs_are_known_before_it_is_filled() -> None:
    text = "{{ b }} {% if a %}{{ c.d }}{% endif %}{% for x in e %}{{ x }}{% endfor %}"
    assert syntax_of(text)[1] == ("a", "b", "c", "e")
    assert syntax_of("no holes")[1] == ()


# --- two parts -------------------------------------------------------------------------------------------------------

WHOLE = Prompt("You are kind.\n\nAnswer briefly.\n---\nName: {{ name }}.\n", HERE)


def test_a_line_of_dashes_divides_what_never_changes_from_late_facts() -> None:
    assert WHOLE.static == "You are kind.\n\nAnswer briefly."
    assert WHOLE.late == "Name: {{ name }}."
    assert WHOLE.late_line == 5
    assert WHOLE.late_facts({"name": "Ada"}) == "Name: Ada."


def test_without_that_line_nothing_is_late() -> None:
    assert Prompt("You are kind.").static == "You are kind."
    assert Prompt("You are kind.").late_facts({}) == ""


def test_empty_lines_above_the_late_part_are_counted() -> None:
    prompt = Prompt("You are kind.\n---\n\n\nName: {{ name }}.", HERE)
    assert (prompt.late, prompt.late_line) == ("Name: {{ name }}.", 5)


@pytest.mark.parametrize("hole", ["{{ name }}", "{% if name %}", "{{ name"])
def test_a_placeholder_in_the_static_part_has_a_place(hole: str) -> None:
    assert Prompt(f"\nYou are kind.\nTo {hole}.\n---\n", HERE).static_hole == Source(HERE.file, 3)
    assert WHOLE.static_hole is None


def test_only_the_first_such_line_divides() -> None:
    assert Prompt("a\n---\nb\n---\nc").late == "b\n---\nc"


def test_the_static_part_is_never_filled() -> None:
    assert Prompt("{{ name }}\n---\n").static == "{{ name }}"


def test_a_late_fact_that_is_missing_is_told_with_its_line() -> None:
    with pytest.raises(PhaseError, match=r"greeting\.md:5: .*'name' is undefined"):
        WHOLE.late_facts({})


def test_a_prompt_is_known_by_the_hash_of_its_text() -> None:
    assert WHOLE.sha256 == hashlib.sha256(WHOLE.text.encode()).hexdigest()
    assert Prompt("a").sha256 != Prompt("b").sha256


@given(st.text(st.sampled_from("ab \n-{}"), max_size=60))
def test_the_static_part_is_the_same_in_every_call(text: str) -> None:
    prompt = Prompt(text)
    assert prompt.static in text.replace("\r", "\n")
    assert Prompt(text).static == prompt.static
