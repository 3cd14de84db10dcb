"""What every language must be able to do with the words of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, Protocol

from voiceagent.language.clauses import ClauseSplitter
from voiceagent.language.similarity import PhraseIndex
from voiceagent.language.word_lengths import WordLength

__all__ = ["Completeness", "DigitSpan", "Greeting", "Language", "Relation"]


class Completeness(Enum):
    """Whether a caller who stops after these words has said what they wanted to say."""

    INCOMPLETE = "incomplete"
    """More must come: the text ends in a function word, a comma or an "um"."""
    OPEN = "open"
    """Nothing in the text decides it."""
    COMPLETE = "complete"
    """A finished sentence or a finished answer."""


class Greeting(Enum):
    """Who has answered the telephone, as far as the words tell."""

    LIVE = "live"
    """A person: "Hello?", "who is this?"."""
    RECORDED = "recorded"
    """A recording: "leave a message after the tone"."""
    OPEN = "open"
    """Nothing in the text decides it."""


class Relation(Enum):
    """What the words before the name of a thing say about it."""

    NONE = "none"
    SOURCE = "source"
    """Something comes from it: "out of my savings"."""
    GOAL = "goal"
    """Something goes there: "over to savings"."""
    REFUSED = "refused"
    """It is not meant: "not savings"."""


class DigitSpan(NamedTuple):
    """A stretch of text that is a number: `text[start:end]`, spoken as `digits`."""

    start: int
    end: int
    digits: str


class Language(Protocol):
    """The functions of one language. All are pure; none raises for any text."""

    @property
    def locale(self) -> str:
        """The language's subtag, such as "en"."""
        ...

    @property
    def plain_answers(self) -> Sequence[str]:
        """The words that callers most often say for yes and no, for a recognizer to listen for."""
        ...

    # --- what the caller said ---

    def digits(self, text: str) -> str:
        """Return all digits spoken in `text`, in order; empty where there is none."""
        ...

    def digit_spans(self, text: str) -> list[DigitSpan]:
        """Return where numbers stand; whatever could be a digit lies inside a span."""
        ...

    def goes_on(self, between: str) -> bool:
        """Return whether the words between two numbers make one of them: none, or "and then"."""
        ...

    def number(self, text: str) -> Decimal | None:
        """Return the only number in `text`, or None."""
        ...

    def number_may_go_on(self, text: str) -> bool:
        """Return whether `text` ends in a number that more words can be part of: "two hundred", "3,000"."""
        ...

    def amount(self, text: str) -> Decimal | None:
        """Return the only amount of money in `text`, in its major unit, or None."""
        ...

    def date(self, text: str, today: date) -> date | None:
        """Return the only date in `text`, seen from `today`, or None."""
        ...

    def time_of_day(self, text: str) -> time | None:
        """Return the only time of day in `text`, to the minute, or None."""
        ...

    def yes_no(self, text: str) -> bool | None:
        """Return True for consent, False for refusal, None for neither, both or a condition."""
        ...

    def relation(self, before: str) -> Relation:
        """Return how a thing is meant whose name follows right after the words `before`."""
        ...

    def denied(self, text: str) -> tuple[str, ...]:
        """Return the words that `text` says not to be so: "stolen" in "it was not stolen"."""
        ...

    def asks_whether(self, text: str) -> bool:
        """Return whether `text` asks if or why something is so, or what if it were; a polite demand does not."""
        ...

    def letters(self, text: str) -> str:
        """Return the letters spelled in `text`, in capitals."""
        ...

    def is_everyday(self, word: str) -> bool:
        """Return whether `word`, in small letters, is one that everybody says and no name, as far as letters tell."""
        ...

    def is_noise(self, text: str) -> bool:
        """Return whether `text` is what a recognizer makes of silence and noise."""
        ...

    def is_backchannel(self, text: str) -> bool:
        """Return whether `text` only says "I am listening"."""
        ...

    def asks_to_wait(self, text: str) -> bool:
        """Return whether the caller needs a moment: "hold on", "let me find it"."""
        ...

    def greeting(self, text: str) -> Greeting:
        """Return who is likely to have answered the telephone with `text`."""
        ...

    def with_names(self, text: str, names: Sequence[str]) -> str:
        """Return `text` with those of `names` that some of its words sound like; everyday words stay as they are."""
        ...

    def looks_for_it(self, text: str) -> bool:
        """Return whether the caller has begun an answer and looks for the rest: "it's, uh", "let me get my card"."""
        ...

    def completeness(self, text: str) -> Completeness:
        """Return whether a pause after `text` is likely to be the end of the turn."""
        ...

    def hands_over(self, text: str) -> bool:
        """Return whether `text` ends as what leaves the floor to somebody: a question, a "please", a "thank you"."""
        ...

    def phrase_index(
        self, phrases: Mapping[str, Sequence[str]], *, synonyms: Sequence[Sequence[str]] = ()
    ) -> PhraseIndex:
        """Return an index of example phrases by label, to be asked which label fits best.

        Each sequence in `synonyms` holds words or phrases that mean the same in this flow.
        """
        ...

    # --- what the agent says ---

    def speakable(self, text: str) -> str:
        """Return `text` as plain words for a synthesizer: no markup, no symbols, no bare codes."""
        ...

    def word_lengths(self, text: str) -> Sequence[WordLength]:
        """Return how long each word of `text` takes to say, as `text.split(" ")` has them, at a usual pace."""
        ...

    def spoken_amount(self, amount: Decimal, currency: str) -> str:
        """Return an amount of an ISO 4217 currency, rounded to its minor unit."""
        ...

    def spoken_digits(self, digits: str) -> str:
        """Return an identifier, character by character."""
        ...

    def spoken_date(self, day: date) -> str:
        """Return a date."""
        ...

    def spoken_time(self, moment: time) -> str:
        """Return a time of day, to the minute."""
        ...

    def spoken_list(self, items: Sequence[str]) -> str:
        """Return an enumeration; empty for no items."""
        ...

    def clause_splitter(self) -> ClauseSplitter:
        """Return a fresh splitter for one streamed reply."""
        ...
