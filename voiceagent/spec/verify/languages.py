"""Languages: every phase is in one that the engines hear and speak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voiceagent.errors import nearest
from voiceagent.language import language_for
from voiceagent.spec.flow import Flow
from voiceagent.spec.verify.finding import Finding, error

__all__ = ["unspoken_languages"]


def unspoken_languages(flow: Flow, *, heard: Sequence[str], spoken: Sequence[str]) -> Iterator[Finding]:
    """Return the phases in languages that the recognizer (`heard`) or the synthesizer (`spoken`) has not got.

    Every language that the flow names must exist. A speech model is no help: behind it stand the engines, and what the
    flow says itself is said by them.
    """
    for phase in flow.phases:
        locale = flow.language_of(phase)
        language = language_for(locale).locale
        lacking = [
            f"the {engine} has only {', '.join(known)}{nearest(language, known)}"
            for engine, known in (("recognizer", heard), ("synthesizer", spoken))
            if language not in known
        ]
        if lacking:
            source = phase.source_of("language") if phase.language else flow.source_of("locale")
            message = f"phase {phase.name!r} is in {locale!r}: {', '.join(lacking)}"
            yield error("language-not-spoken", message, source)
