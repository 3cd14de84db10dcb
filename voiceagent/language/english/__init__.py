"""English: how callers say things and how an agent says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voiceagent.language.clauses import ClauseSplitter
from voiceagent.language.english.amounts import amount, number
from voiceagent.language.english.answers import yes_no
from voiceagent.language.english.common_words import is_everyday
from voiceagent.language.english.concepts import concepts, synonym_table
from voiceagent.language.english.dates import date
from voiceagent.language.english.digits import digit_spans, digits, goes_on
from voiceagent.language.english.greetings import greeting
from voiceagent.language.english.hearing import (
    asks_to_wait,
    completeness,
    hands_over,
    is_backchannel,
    is_noise,
    looks_for_it,
    number_may_go_on,
)
from voiceagent.language.english.letters import letters
from voiceagent.language.english.names import with_names
from voiceagent.language.english.pacing import word_lengths
from voiceagent.language.english.relations import asks_whether, denied, relation
from voiceagent.language.english.speakable import ABBREVIATIONS, speakable
from voiceagent.language.english.spoken import (
    spoken_amount,
    spoken_date,
    spoken_list,
)
from voiceagent.language.english.times import spoken_time, time_of_day
from voiceagent.language.similarity import PhraseIndex
from voiceagent.language.spelling import spoken_digits

__all__ = ["ENGLISH", "English"]


@dataclass(frozen=True, slots=True)
class English:
    """The functions of English; see `Language` for what each promises."""

    locale: str = "en"
    plain_answers: tuple[str, ...] = ("yes", "no")

    digits = staticmethod(digits)
    digit_spans = staticmethod(digit_spans)
    goes_on = staticmethod(goes_on)
    number = staticmethod(number)
    hands_over = staticmethod(hands_over)
    number_may_go_on = staticmethod(number_may_go_on)
    amount = staticmethod(amount)
    date = staticmethod(date)
    time_of_day = staticmethod(time_of_day)
    yes_no = staticmethod(yes_no)
    relation = staticmethod(relation)
    denied = staticmethod(denied)
    asks_whether = staticmethod(asks_whether)
    letters = staticmethod(letters)
    is_everyday = staticmethod(is_everyday)
    is_noise = staticmethod(is_noise)
    is_backchannel = staticmethod(is_backchannel)
    asks_to_wait = staticmethod(asks_to_wait)
    greeting = staticmethod(greeting)
    with_names = staticmethod(with_names)
    looks_for_it = staticmethod(looks_for_it)
    completeness = staticmethod(completeness)
    speakable = staticmethod(speakable)
    word_lengths = staticmethod(word_lengths)
    spoken_amount = staticmethod(spoken_amount)
    spoken_digits = staticmethod(spoken_digits)
    spoken_date = staticmethod(spoken_date)
    spoken_time = staticmethod(spoken_time)
    spoken_list = staticmethod(spoken_list)

    def phrase_index(
        self, phrases: Mapping[str, Sequence[str]], *, synonyms: Sequence[Sequence[str]] = ()
    ) -> PhraseIndex:
        """Return an index of example phrases, with a flow's own synonyms beside the general."""
        table = synonym_table(synonyms)
        return PhraseIndex(phrases, concepts=lambda text: concepts(text, table))

    def clause_splitter(self) -> ClauseSplitter:
        """Return a fresh splitter for one streamed reply."""
        return ClauseSplitter(abbreviations=ABBREVIATIONS)


ENGLISH = English()
