"""Minds of scripted providers, and what a provider's model knows: the same for all, whatever their protocol."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.models.bank_mind import Mind, bank_mind
from tests.models.dialects import Asks, Question
from tests.providers.telephone import Sentences

__all__ = [
    "DESK_WORDS",
    "MARKED",
    "SECRETS",
    "USUAL_WORDS",
    "Knows",
    "Mind",
    "arguments_of",
    "bank_mind",
    "desk_mind",
    "desk_sentences",
    "usual_sentences",
]

USUAL_WORDS = (
    "Hi, I'd like to check the balance on my account please.",
    "My account number is four five one nine, two two seven.",
    "The PIN is one two three four.",
    "Okay, thank you very much. Goodbye.",
)
"""The usual call; the second and the third are secrets."""
SECRETS = USUAL_WORDS[1:3]
DESK_WORDS = ("I have a visit.",)
MARKED = "When are you open on Sundays?"
"""What a sentence says in which every sample tells its place."""


def usual_sentences() -> Sentences:
    return Sentences(*USUAL_WORDS)


def desk_sentences() -> Sentences:
    return Sentences(*DESK_WORDS, marked=MARKED)


def desk_mind(asked: Question) -> str | Asks:
    """Work at a desk with two counters: the one for visits knows the hours."""
    if "to_visits" in asked.tools:
        return Asks("d1", "to_visits", ("{}",)) if "visit" in asked.newest else "Reception. What is it about?"
    if MARKED in asked.newest:
        return Asks("d2", "opening_hours", ("{}",))
    if asked.is_result and "nine" in asked.newest:
        return "From nine to five."
    return "You are at the right counter."


@dataclass(slots=True)
class Knows:
    """What a model knows in the middle of a call."""

    prompt: str = ""
    tools: tuple[str, ...] = ()
    newest: str = ""
    is_result: bool = False
    told: list[str] = field(default_factory=list)
    """All words that it was told or has heard."""
    asked: int = 0

    def hears(self, words: str) -> None:
        self.newest, self.is_result = words, False
        self.told.append(words)

    def learns(self, result: str) -> None:
        self.newest, self.is_result = result, True
        self.told.append(result)

    def decide(self, mind: Mind) -> str | Asks:
        """Return what is said or asked for next; a request never has the id of another."""
        self.asked += 1
        answer = mind(Question(self.prompt, self.tools, self.newest, self.is_result, (), " ".join(self.told)))
        return (
            answer
            if isinstance(answer, str)
            else Asks(f"{answer.id}-{id(self)}-{self.asked}", answer.tool, answer.crumbs)
        )


def arguments_of(asks: Asks) -> str:
    return "".join(asks.crumbs) or "{}"
