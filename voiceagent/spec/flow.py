"""Flows: all phases of an agent, the transitions between them, the facts they share, and the limits they obey."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import Field, JsonValue

from voiceagent.errors import PhaseError, nearest
from voiceagent.language import language_for
from voiceagent.spec.declared import Declared
from voiceagent.spec.described import described, sha256_of
from voiceagent.spec.facts import Facts
from voiceagent.spec.filler import Filler
from voiceagent.spec.manner import Manner
from voiceagent.spec.phase import Phase, Requested, Transition
from voiceagent.spec.prompt import DEFAULT_LOCALE, Prompt
from voiceagent.spec.tool import Tool
from voiceagent.spec.wording import Phrases, Wording, with_words_of, wording_in

__all__ = ["Flow", "Limits"]

_TO_THE_EAR_MS = 200
"""What a phrase takes from when it is asked for to when it is heard, where it is kept as audio."""


class Limits(Declared):
    """Bounds that every call obeys; each is logged with its reason when it is reached, and ends the call in words."""

    max_call_ms: int = Field(default=30 * 60_000, ge=1_000)
    max_turns: int = Field(default=200, ge=1)
    max_tool_calls: int = Field(default=100, ge=0)
    """Beyond this the model is told that nothing more can be done in this call."""
    max_model_requests: int = Field(default=1_000, ge=1)
    """Replies of a model in one call."""
    max_model_requests_of_turn: int = Field(default=20, ge=2)
    """Of these, those in a row to which the caller has said nothing: tools that are refused again and again, moves that
    lead in circles."""
    max_tokens: int = Field(default=2_000_000, ge=1)
    """Tokens in and out in one call, as far as the model reports them."""
    max_spoken_characters: int = Field(default=100_000, ge=1)
    """Characters given to the synthesizer in one call: two hours of talking."""
    max_history_messages: int = Field(default=60, ge=4)
    """What a model is shown at most, the newest last."""
    max_result_bytes: int = Field(default=64 * 1024, ge=256)
    """A tool result beyond this fails the tool."""
    model_timeout_ms: int = Field(default=15_000, ge=500)
    """A reply that has not begun by then has failed."""
    max_utterance_ms: int = Field(default=45_000, ge=5_000)
    """A voice that has been on for so long without a pause is transcribed as far as it has come."""
    swap_timeout_ms: int = Field(default=5_000, ge=500)
    """A phase whose prompt and tools are not in force by then has failed to come about."""
    recognizer_timeout_ms: int = Field(default=4_000, ge=500)
    """A transcript that has not come by then counts as not understood."""
    confirm_within_ms: int = Field(default=30_000, ge=1_000)
    """How long a read-back may wait for its yes."""
    resume_within_ms: int = Field(default=60_000, ge=0)
    """A call whose connection broke goes on where it stood if it is connected again by then."""
    max_silence_ms: int = Field(default=5_000, ge=500)
    """Longest silence that a caller may be kept waiting in; proved for every phase before a call."""
    token_budget: int = Field(default=2_000, ge=1)
    """Tokens that the prompt and the tools of a phase may take, as estimated before a call."""

    @property
    def filler_by_ms(self) -> int:
        """How long after the last sound a filler is not put off any more: it has to be heard before the bound."""
        return max(0, self.max_silence_ms - _TO_THE_EAR_MS)


class Flow(Declared):
    """An agent, declared: in `phases/<agent>/__init__.py` under the name FLOW, or in `phases/<agent>/flow.yaml`."""

    name: str
    initial: str
    phases: tuple[Phase, ...] = Field(min_length=1)
    facts: type[Facts] = Facts
    tools: tuple[Tool, ...] = ()
    """Tools that every phase offers."""
    transitions: tuple[Transition, ...] = ()
    """Transitions that every phase has, after its own; phases that end the call have none."""
    filler: Filler = Field(default_factory=Filler)
    limits: Limits = Field(default_factory=Limits)
    phrases: Phrases = Field(default_factory=Phrases)
    wordings: Mapping[str, Wording] = Field(default_factory=dict)
    """Language → what the framework itself says in phases of that language, where the shipped words do not fit."""
    locale: str = DEFAULT_LOCALE
    voice: str | None = None
    reaches_human: bool = False
    """A promise, proved before a call: whatever the phase, the caller can get to one that transfers them."""
    preemptive_replies: bool = False
    """Whether the model is asked as soon as the caller pauses, and not only when their turn is over: what it says is
    heard sooner by as long as it is waited for. What it says to a caller who goes on is dropped, and paid for."""
    seal_unasked: int | None = Field(default=12, ge=8, le=64)
    """A number of so many digits or more, said or pressed where the phase does not expect one as long, is sealed: it is
    a card or an identity number that nobody asked for. None: such numbers are taken down as any other word."""
    prompts: Mapping[str, Prompt] = Field(default_factory=dict)
    """Prompt file → its text; the loader fills this in."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with some fields changed; what has been worked out of the old ones does not come along."""
        copied = super().model_copy(update=update, deep=deep)
        for name, value in vars(Flow).items():
            if isinstance(value, cached_property):
                vars(copied).pop(name, None)
        return copied

    @cached_property
    def by_name(self) -> dict[str, Phase]:
        """Phases by their names, in the order of declaration."""
        return {phase.name: phase for phase in self.phases}

    def phase(self, name: str) -> Phase:
        """Return a phase; PhaseError names the nearest one that exists."""
        if name not in self.by_name:
            raise PhaseError(f"there is no phase {name!r}{nearest(name, self.by_name)}", source=self.source)
        return self.by_name[name]

    def tools_of(self, phase: Phase) -> tuple[Tool, ...]:
        """Return what the phase offers: its own tools, then the global ones."""
        return phase.tools if phase.ends else (*phase.tools, *self.tools)

    def transitions_of(self, phase: Phase) -> tuple[Transition, ...]:
        """Return the edges out of a phase in the order in which they are tried."""
        edges = phase.transitions if phase.ends else (*phase.transitions, *self.transitions)
        return tuple(sorted(edges, key=lambda edge: -edge.priority))

    def requests_of(self, phase: Phase) -> dict[str, Requested]:
        """Return the moves that the phase's model may ask for, by name."""
        return {edge.on.name: edge.on for edge in self.transitions_of(phase) if isinstance(edge.on, Requested)}

    def tool_of(self, phase: Phase, name: str) -> Tool | None:
        """Return the tool of that name if the phase offers it."""
        return next((tool for tool in self.tools_of(phase) if tool.name == name), None)

    def prompt_of(self, phase: Phase) -> Prompt:
        """Return the phase's prompt; an empty one where no model speaks."""
        if phase.prompt is None:
            return _NO_PROMPT
        if phase.prompt not in self.prompts:
            raise PhaseError(
                f"phase {phase.name!r}: there is no prompt {phase.prompt!r}{nearest(phase.prompt, self.prompts)}",
                source=phase.source,
            )
        return self.prompts[phase.prompt]

    def language_of(self, phase: Phase) -> str:
        """Return the locale in which a phase is spoken and heard."""
        return phase.language or self.locale

    def manner_of(self, phase: Phase) -> Manner:
        """Return language, voice and speaking rate of a phase.

        The flow's voice speaks the flow's language: a phase in another one that names no voice has the engine's own.
        """
        voice = phase.voice or (self.voice if self._speaks_as_the_flow(phase) else None)
        return Manner(self.language_of(phase), voice, phase.speaking_rate)

    def wording_of(self, phase: Phase) -> Wording:
        """Return what the framework itself says in a phase, in its language: all of it."""
        if phase.name not in self._wordings:
            self._wordings[phase.name] = self._worded(phase)
        return self._wordings[phase.name]

    def filler_of(self, phase: Phase, tool: Tool | None = None) -> Filler:
        """Return the filler of a tool of the phase, where it brings one, or the phase's, or the flow's.

        Its words are those of the phase's language: what a tool says is said in phases of the flow's language only.
        """
        filler = self.wording_of(phase).filler
        if tool is None or tool.filler is None:
            return filler
        return with_words_of(tool.filler, filler, all_of_them=not self._speaks_as_the_flow(phase))

    def backchannels_of(self, phase: Phase) -> tuple[str, ...]:
        """Return what the agent says in a phase to a caller who tells something long; nothing where it is to be silent.

        Secrets and what is about to be typed are told without comment.
        """
        if phase.sensitive:
            return ()
        return self.wording_of(phase).backchannels if phase.backchannels == "usual" else phase.backchannels

    @cached_property
    def _wordings(self) -> dict[str, Wording]:
        return {}

    def _speaks_as_the_flow(self, phase: Phase) -> bool:
        return language_for(self.language_of(phase)).locale == language_for(self.locale).locale

    def _worded(self, phase: Phase) -> Wording:
        as_flow = self._speaks_as_the_flow(phase)
        words = wording_in(self.language_of(phase), self.wordings, self.phrases if as_flow else None)
        if phase.filler is not None:
            filler = with_words_of(phase.filler, words.filler)
        else:
            filler = with_words_of(self.filler, words.filler, all_of_them=not as_flow)
        own: dict[str, object] = {"filler": filler}
        own |= {name: getattr(phase, name) for name in ("no_input", "no_match") if name in phase.model_fields_set}
        return words.model_copy(update=own)

    @cached_property
    def sha256(self) -> str:
        """Hash of everything the flow declares except the text of its prompts, which have hashes of their own.

        Code is hashed by what the model sees of it (names, schemas), not by its body.
        """
        return sha256_of(described(self))

    @cached_property
    def prompt_hashes(self) -> dict[str, str]:
        """Prompt file → hash, sorted by file."""
        return {name: self.prompts[name].sha256 for name in sorted(self.prompts)}

    @cached_property
    def tool_hashes(self) -> dict[str, str]:
        """Tool → hash of what a model is told of it, sorted by name; phases may have different tools of one name."""
        told: dict[str, list[JsonValue]] = {}
        for offered in dict.fromkeys(tool for phase in self.phases for tool in self.tools_of(phase)):
            told.setdefault(offered.name, []).append([offered.description, offered.parameters])
        return {name: sha256_of(told[name]) for name in sorted(told)}


_NO_PROMPT = Prompt("")
