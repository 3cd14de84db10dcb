"""Spanish: how callers say things and how an agent says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voiceagent.language.clauses import ClauseSplitter
from voiceagent.language.similarity import PhraseIndex
from voiceagent.language.spanish.amounts import amount, number, number_may_go_on
from voiceagent.language.spanish.answers import yes_no
from voiceagent.language.spanish.common_words import is_everyday
from voiceagent.language.spanish.concepts import concepts, synonym_table
from voiceagent.language.spanish.dates import date
from voiceagent.language.spanish.digits import digit_spans, digits, goes_on
from voiceagent.language.spanish.greetings import greeting
from voiceagent.language.spanish.hearing import (
    asks_to_wait,
    completeness,
    hands_over,
    is_backchannel,
    is_noise,
    looks_for_it,
)
from voiceagent.language.spanish.letters import letters
from voiceagent.language.spanish.names import with_names
from voiceagent.language.spanish.pacing import word_lengths
from voiceagent.language.spanish.relations import asks_whether, denied, relation
from voiceagent.language.spanish.speakable import ABBREVIATIONS, speakable
from voiceagent.language.spanish.spoken import (
    spoken_amount,
    spoken_date,
    spoken_list,
)
from voiceagent.language.spanish.times import spoken_time, time_of_day
from voiceagent.language.spelling import spoken_digits

__all__ = ["SPANISH", "Spanish"]


@dataclass(frozen=True, slots=True)
class Spanish:
    """The functions of Spanish; see `Language` for what each promises."""

    locale: str = "es"
    plain_answers: tuple[str, ...] = ("sí", "no")

    digits = staticmethod(digits)
    digit_spans = staticmethod(digit_spans)
    goes_on = staticmethod(goes_on)
    number = staticmethod(number)
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
    hands_over = staticmethod(hands_over)
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


SPANISH = Spanish()
