"""Understanding: which of a phase's few intents a caller's words come near to, and which slots they fill."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from voiceagent.core.effects import Message
from voiceagent.core.sealing import without_handles
from voiceagent.language import CLEAR_SCORE, Language, PhraseIndex
from voiceagent.models.guided.slots import SlotValue, begun_in, completed, value_of
from voiceagent.spec.expects import Choice, FreeSpeech
from voiceagent.spec.guided import GuidedDialogue, Intent, Slot
from voiceagent.spec.tool import Tool

__all__ = ["Understanding", "Wanted"]

_ANY_DAY = date(2000, 1, 1)
_WORD = re.compile(r"[\w']+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_REPEAT = ("could you repeat that please", "say that again", "what did you say", "pardon", "sorry, come again")
_REPEAT_IN_A_WORD = frozenset(
    {"what", "what was that", "huh", "sorry", "sorry what", "come again", "excuse me", "again"}
)


@dataclass(slots=True)
class Wanted:
    """What the caller wants, as far as they have said it."""

    intent: Intent | None = None
    values: dict[str, SlotValue] = field(default_factory=dict[str, SlotValue])
    begun: dict[str, str] = field(default_factory=dict[str, str])
    """Slot → the digits of a number that the words before left too short."""
    understood: bool = False
    """Whether the newest words added anything."""

    @property
    def missing(self) -> Slot | None:
        """The slot to ask for next."""
        if self.intent is None:
            return None
        unknown = (slot for slot in self.intent.slots if slot.name not in self.values)
        return next((slot for slot in unknown if _is_asked_for(slot, self.intent)), None)


def _is_asked_for(slot: Slot, intent: Intent) -> bool:
    """Whether a slot is worth a question: what the tool has a default for is only taken where it is said."""
    known = intent.does.arguments.model_fields if isinstance(intent.does, Tool) else {}
    return slot.name not in known or known[slot.name].is_required()


class Understanding:
    """The intents of one phase, indexed once."""

    def __init__(self, dialogue: GuidedDialogue, language: Language) -> None:
        self._dialogue = dialogue
        self.language = language
        self._index = self._indexed({str(n): intent.examples for n, intent in enumerate(dialogue.intents)})
        self._repeat = self._indexed({"repeat": _REPEAT})
        self._word_for_word = {_plain(said): i for i in reversed(dialogue.intents) for said in i.examples}
        self._choices = self._words_of_choices()
        self._answers = self._plain_answers()

    def _indexed(self, phrases: dict[str, Sequence[str]]) -> PhraseIndex | None:
        return self.language.phrase_index(phrases, synonyms=self._dialogue.synonyms) if phrases else None

    def _words_of_choices(self) -> frozenset[str]:
        slots = [slot for intent in self._dialogue.intents for slot in intent.slots]
        forms = [
            form
            for slot in slots
            if isinstance(slot.expects, Choice)
            for option in slot.expects.options.values()
            for form in option
        ]
        return frozenset(word for form in forms for word in self._content_of(form))

    def _plain_answers(self) -> dict[bool, Intent]:
        answers: dict[bool, Intent] = {}
        for intent in self._dialogue.intents:
            for example in intent.examples:
                answer = self.plain_answer(example)
                if answer is not None:
                    answers.setdefault(answer, intent)
        return answers

    def is_repeat(self, text: str) -> bool:
        """Whether the caller only asks to hear the last sentence again."""
        if _plain(text) in _REPEAT_IN_A_WORD:
            return True
        nearest = self._nearest(text)
        score = self._repeat.best(without_handles(text))[0][1] if self._repeat else 0.0
        return score >= CLEAR_SCORE and (nearest is None or nearest[1] < score)

    def intent_of(self, text: str) -> Intent | None:
        """Return the intent these words clearly come near to; a plain yes or no is one where an example says so."""
        return self.named_in(text) or self._by_answer(text)

    def named_in(self, text: str) -> Intent | None:
        """Return the intent these words name by themselves, whatever was asked before them.

        Of several sentences the first that names one counts; one that takes back what was said before it ("no, wait")
        makes a new beginning.
        """
        sentences = self._since_taken_back(text)
        each = (self._named_in_all(sentence) for sentence in sentences) if len(sentences) > 1 else ()
        return next((intent for intent in each if intent is not None), None) or self._named_in_all(" ".join(sentences))

    def _since_taken_back(self, text: str) -> list[str]:
        sentences = _SENTENCE_END.split(text)
        for at in range(len(sentences) - 1, 0, -1):
            if self.plain_answer(sentences[at - 1]) is False:
                return sentences[at:]
        return sentences

    def _named_in_all(self, text: str) -> Intent | None:
        nearest = self._nearest(text) if self.plain_answer(text) is None else None
        if nearest is None or nearest[1] < CLEAR_SCORE or self._is_only_talked_about(nearest[0], text):
            return None
        return nearest[0]

    def wanted(self, messages: Sequence[Message], today: date) -> Wanted:
        """Follow the caller's words from the first to the newest: what they want now, and with which values."""
        wanted = Wanted()
        for message in messages:
            self._hear(wanted, message.text, today)
        return wanted

    def fill(
        self,
        slots: Sequence[Slot],
        values: dict[str, SlotValue],
        text: str,
        today: date,
        begun: dict[str, str],
        *,
        as_they_are: bool = False,
    ) -> bool:
        """Take every value these words give; True if there was one. `begun` keeps numbers that are too short so far.

        `as_they_are`: the words may be the answer to a slot of free speech, because they name nothing that is wanted.
        """
        names = [slot.name for slot in slots]
        asked = next((slot for slot in slots if slot.name not in values), None)
        found = {
            slot.name: value
            for slot in slots
            if (
                value := value_of(
                    slot,
                    text,
                    language=self.language,
                    today=today,
                    asked=slot is asked and (as_they_are or not isinstance(slot.expects, FreeSpeech)),
                    others=tuple(name for name in names if name != slot.name),
                )
            )
            is not None
        }
        if asked is not None and asked.name not in found:
            rest = begun_in(asked, text, language=self.language)
            whole = completed(asked, begun.pop(asked.name, ""), rest) if rest else None
            if whole is not None:
                found[asked.name] = whole
            elif rest:
                begun[asked.name] = rest
        values |= found
        return bool(found)

    def _hear(self, wanted: Wanted, text: str, today: date) -> None:
        # A yes or a no while a slot is asked for is an answer to that question, not a wish.
        asks = wanted.missing is not None
        named = (self.named_in(text) if asks else self.intent_of(text)) or self._by_values(text, today, wanted)
        wanted.understood = False
        is_answer = named is None or named is wanted.intent
        if named is not None and named is not wanted.intent:
            wanted.intent, wanted.values, wanted.begun = named, {}, {}
            wanted.understood = True
        if wanted.intent is not None:
            filled = self.fill(wanted.intent.slots, wanted.values, text, today, wanted.begun, as_they_are=is_answer)
            wanted.understood = wanted.understood or filled or named is wanted.intent

    def _by_values(self, text: str, today: date, wanted: Wanted) -> Intent | None:
        """Return the only intent that these words give values to: "two hundred to savings" names no verb.

        A single value says too little where the intent takes no other. Words about something else beside the values
        spoil it, unless all are there.
        """
        if wanted.intent is not None:
            return None
        bare = self._is_bare(text)
        given: list[Intent] = []
        for intent in self._dialogue.intents:
            values: dict[str, SlotValue] = {}
            slots = [slot for slot in intent.slots if not isinstance(slot.expects, FreeSpeech)]
            self.fill(slots, values, text, today, {})
            if self._is_only_talked_about(intent, text):
                continue
            if len(intent.slots) > 1 and values and (bare or len(values) == len(intent.slots)):
                given.append(intent)
        return given[0] if len(given) == 1 else None

    def _is_only_talked_about(self, intent: Intent, text: str) -> bool:
        """Whether something that cannot be undone is denied or asked about, not asked for: "is my card blocked"."""
        if not isinstance(intent.does, Tool) or intent.does.effect != "irreversible":
            return False
        if _plain(text) in self._word_for_word:
            return False
        about = {word for example in intent.examples for word in self._content_of(example)}
        denied = {word for said in self.language.denied(text) for word in self._content_of(said)}
        return self.language.asks_whether(text) or not about.isdisjoint(denied)

    def _by_answer(self, text: str) -> Intent | None:
        """Return the intent whose examples have a plain yes or no, if these words are one, and nothing else."""
        answer = None if self.language.is_backchannel(text) else self.plain_answer(text)
        return self._answers.get(answer) if answer is not None else None

    def plain_answer(self, text: str) -> bool | None:
        """Return the yes or no that is all there is to these words; None where there is more, or neither."""
        answer = self.language.yes_no(text)
        return None if answer is None or self._content_of(text) or self._names_a_value(text) else answer

    def _names_a_value(self, text: str) -> bool:
        """Whether there is a number, a day or a time of day in these words, whichever it is."""
        language = self.language
        day, moment = language.date(text, _ANY_DAY), language.time_of_day(text)
        return bool(language.digits(text)) or day is not None or moment is not None

    def _is_bare(self, text: str) -> bool:
        """Whether there is nothing in these words but numbers, choices and words that say nothing."""
        return self._index is not None and all(word in self._choices for word in self._content_of(text))

    def _content_of(self, text: str) -> tuple[str, ...]:
        return self._index.content_of(without_handles(text)) if self._index is not None else ()

    def _nearest(self, text: str) -> tuple[Intent, float] | None:
        if self._index is None:
            return None
        # "What is on tonight" has no word that could be told from any other sentence's, but it is an example.
        said = self._word_for_word.get(_plain(text))
        if said is not None:
            return said, 1.0
        label, score = self._index.best(without_handles(text))[0]
        return self._dialogue.intents[int(label)], score


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold().replace("’", "'")))
