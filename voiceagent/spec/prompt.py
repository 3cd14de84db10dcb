"""Prompts: the short text a model is given in one phase, in two parts: one that never changes, one over late facts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from voiceagent.errors import PhaseError, Source

if TYPE_CHECKING:
    from jinja2 import Template, TemplateError, nodes
    from jinja2.sandbox import SandboxedEnvironment

__all__ = ["DEFAULT_LOCALE", "Prompt", "render", "syntax_of"]

DEFAULT_LOCALE = "en-US"
_LATE = "---"
_OPENING = re.compile(r"\{[{%#]")
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_environments: dict[str, SandboxedEnvironment] = {}


def _environment(locale: str) -> SandboxedEnvironment:
    # Imported on first use: an agent without templates must not pay for the engine.
    if locale not in _environments:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        from voiceagent.spec.filters import filters_for

        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)
        environment.globals.clear()  # no range(), no lipsum(): a prompt is text with holes
        environment.filters.update(filters_for(locale))
        _environments[locale] = environment
    return _environments[locale]


@lru_cache(maxsize=2_048)
def _template(text: str, source: Source | None, locale: str) -> Template:
    from jinja2 import TemplateError

    try:
        return _environment(locale).from_string(text)
    except TemplateError as exc:
        raise _unreadable(exc, text, source) from exc
    except RecursionError as exc:
        raise PhaseError("template cannot be read: it is nested too deep", source=source, code="bad-template") from exc


def _unreadable(exc: TemplateError, text: str, source: Source | None) -> PhaseError:
    unclosed = _unclosed(text)
    if unclosed is not None:  # the engine notices it only where the words behind it make no sense
        line, message = _line_at(text, unclosed.start()), f"`{unclosed[0]}` is never closed"
    else:
        line, message = getattr(exc, "lineno", None), str(exc.message)
    where = Source(source.file, source.line + line - 1) if source and line else source
    return PhaseError(f"template cannot be read: {message}", source=where, code="bad-template")


def _unclosed(text: str) -> re.Match[str] | None:
    """Return the first bracket that is not closed before the next one opens."""
    at = 0
    while opened := _OPENING.search(text, at):
        closed = text.find(_CLOSING[opened[0]], opened.end())
        following = _OPENING.search(text, opened.end()) if opened[0] != "{#" else None
        if closed < 0 or (following is not None and following.start() < closed):
            return opened
        at = closed + 2
    return None


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def render(
    text: str,
    values: Mapping[str, object],
    *,
    source: Source | None = None,
    locale: str = DEFAULT_LOCALE,
) -> str:
    """Fill the holes of a template; values are inserted literally. PhaseError for a hole without a value."""
    if "{" not in text:
        return text
    from jinja2 import TemplateError

    try:
        return _template(text, source, locale).render(values)
    except (TemplateError, TypeError, ValueError, ArithmeticError) as exc:
        raise PhaseError(f"template cannot be filled: {exc}", source=source) from exc


def syntax_of(text: str, *, source: Source | None = None) -> tuple[nodes.Template, tuple[str, ...]]:
    """Return a template's syntax tree and the names it refers to, sorted; PhaseError for one that cannot be read."""
    from jinja2 import TemplateError

    environment = _environment(DEFAULT_LOCALE)
    try:
        tree = environment.parse(text)
        return tree, tuple(sorted(_names_in(tree, environment)))
    except TemplateError as exc:
        raise _unreadable(exc, text, source) from exc
    except RecursionError as exc:
        raise PhaseError("template cannot be read: it is nested too deep", source=source, code="bad-template") from exc


def _names_in(tree: nodes.Template, environment: SandboxedEnvironment) -> set[str]:
    from jinja2 import TemplateAssertionError, meta, nodes

    found: set[str] = set()
    for node in tree.find_all(nodes.Node):
        match node:
            case nodes.Name(name=name):
                found.add(name)
            case nodes.Filter(name=name) if name not in environment.filters:
                raise TemplateAssertionError(f"No filter named {name!r}.", node.lineno)
            case nodes.Test(name=name) if name not in environment.tests:
                raise TemplateAssertionError(f"No test named {name!r}.", node.lineno)
            case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
                raise TemplateAssertionError("a template takes nothing in from other files.", node.lineno)
            case nodes.Pow():
                raise TemplateAssertionError(
                    "a template computes no powers: it might do so for the rest of a call.", node.lineno
                )
            case nodes.Call(node=nodes.Name(name=name)):
                raise TemplateAssertionError(f"{name!r} is a value and cannot be called.", node.lineno)
            case nodes.Stmt() if not isinstance(node, nodes.Output | nodes.If):
                # It may give names a value of its own, or none of this: have the code made, which takes its time.
                return meta.find_undeclared_variables(tree)
            case _:
                pass
    return found


@dataclass(frozen=True)
class Prompt:
    """A prompt file. A line `---` divides the static part from the late facts; without it all is static."""

    text: str
    source: Source = field(default_factory=lambda: Source("<inline>"))

    @cached_property
    def _halves(self) -> tuple[list[str], list[str]]:
        lines = self.text.splitlines()
        for number, line in enumerate(lines):
            if line.strip() == _LATE:
                return lines[:number], lines[number + 1 :]
        return lines, []

    @property
    def static(self) -> str:
        """The part that is the same in every call: it may be sent ahead, and keeps providers' prompt caches warm."""
        return "\n".join(self._halves[0]).strip()

    @property
    def static_hole(self) -> Source | None:
        """Where the first placeholder stands in the static part, which is never filled; None where none does."""
        static = "\n".join(self._halves[0])
        hole = re.search(r"\{[{%]", static)
        first = max(self.source.line, 1)
        return Source(self.source.file, first + _line_at(static, hole.start()) - 1) if hole else None

    @property
    def late(self) -> str:
        """The template over facts, not yet filled."""
        return "\n".join(self._halves[1]).strip()

    @property
    def late_line(self) -> int:
        """Line of the file on which the first words of the late part stand, 1-based."""
        static, late = self._halves
        first = max(self.source.line, 1)
        empty = next((number for number, line in enumerate(late) if line.strip()), 0)
        return first + len(static) + 1 + empty if late else first

    def late_facts(self, facts: Mapping[str, object], *, locale: str = DEFAULT_LOCALE) -> str:
        """Return the late part filled with facts; PhaseError where one is missing."""
        return render(self.late, facts, source=Source(self.source.file, self.late_line), locale=locale)

    @cached_property
    def sha256(self) -> str:
        """Hash of the text, as it stands in every journal."""
        return hashlib.sha256(self.text.encode()).hexdigest()
