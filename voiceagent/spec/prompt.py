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
    from jinja2 import Template, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

__all__ = ["DEFAULT_LOCALE", "Prompt", "placeholders_in", "render"]

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


def _unreadable(exc: TemplateError, text: str, source: Source | None) -> PhaseError:
    unclosed = _unclosed(text)
    if unclosed is not None:  # the engine notices it only where the words behind it make no sense
        line, message = _line_at(text, unclosed.start()), f"`{unclosed[0]}` is never closed"
    else:
        line, message = getattr(exc, "lineno", None), str(exc.message)
    where = Source(source.file, source.line + line - 1) if source and line else source
    return PhaseError(f"template cannot be read: {message}", source=where)


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


def placeholders_in(text: str, *, source: Source | None = None) -> tuple[str, ...]:
    """Return the names a template needs, sorted; PhaseError for one that cannot be read."""
    if "{" not in text:
        return ()
    from jinja2 import meta

    _template(text, source, DEFAULT_LOCALE)
    return tuple(sorted(meta.find_undeclared_variables(_environment(DEFAULT_LOCALE).parse(text))))


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
        return Source(self.source.file, _line_at(static, hole.start())) if hole else None

    @property
    def late(self) -> str:
        """The template over facts, not yet filled."""
        return "\n".join(self._halves[1]).strip()

    @property
    def late_line(self) -> int:
        """Line on which the first words of the late part stand, 1-based."""
        static, late = self._halves
        empty = next((number for number, line in enumerate(late) if line.strip()), 0)
        return len(static) + 2 + empty if late else 1

    def late_facts(self, facts: Mapping[str, object], *, locale: str = DEFAULT_LOCALE) -> str:
        """Return the late part filled with facts; PhaseError where one is missing."""
        return render(self.late, facts, source=Source(self.source.file, self.late_line), locale=locale)

    @cached_property
    def sha256(self) -> str:
        """Hash of the text, as it stands in every journal."""
        return hashlib.sha256(self.text.encode()).hexdigest()
