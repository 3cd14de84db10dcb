"""Guided dialogue: what an agent says in a phase when no language model speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from voiceagent.spec.declared import Declared
from voiceagent.spec.expects import Expects
from voiceagent.spec.tool import Tool

__all__ = ["Form", "GuidedDialogue", "Intent", "Slot"]


class Slot(Declared):
    """One thing the agent must learn from the caller; it becomes the tool's argument of that name.

    Where the phase `expects` an answer of the same name, asking for the slot tells the call to listen for that.
    """

    name: str
    expects: Expects
    ask: str
    """The question, a template over facts and the slots that are filled already."""
    ask_again: str | None = None
    """The question when the answer was not understood; None: the same once more."""


class Intent(Declared):
    """Something the caller may want in this phase."""

    does: Tool | str | None = None
    """The tool to call, or the name of a requested transition; None: only `say`."""
    examples: tuple[str, ...]
    """A few ways to say it; phrasings near to them count as well."""
    slots: tuple[Slot, ...] = ()
    """What has to be known before `does`, taken from what the caller said where it is there already."""
    say: str | None = None
    """An answer that needs no tool, or what is said where `does` is not offered now; a template over facts."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.does is None and self.say is None:
            raise ValueError("an intent needs `does` or `say`")
        return self


class Form(Declared):
    """A tool whose slots are asked for one after the other, without the caller having to want anything first."""

    does: Tool
    slots: tuple[Slot, ...] = Field(min_length=1)


class GuidedDialogue(Declared):
    """Questions, examples and answers of one phase; the guided model runs it the same way every time."""

    opening: str | None = None
    """Said on entry when nothing is to be answered; None: the form's first question."""
    form: Form | None = None
    intents: tuple[Intent, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    """Words and phrases that callers use for one thing here, such as ("cola", "coke"); they count as the same word."""
    replies: Mapping[str, str] = Field(default_factory=dict)
    """Tool name → what is said after its success: a template over `result`, `arguments` and facts."""
    failures: Mapping[str, str] = Field(default_factory=dict)
    """Tool name → what is said after its failure: a template over `reason` and facts."""
    not_understood: str | None = None
    """None: `not_understood` of the phrases in the phase's language."""
    anything_else: str | None = None
    """Added to an answer, to hand the floor back."""
