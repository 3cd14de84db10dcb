"""What was heard at all: noise, "I am listening", or a turn, and whether the turn is over."""

from __future__ import annotations

import re
from collections.abc import Sequence

from voiceagent.language.english.answers import yes_no
from voiceagent.language.protocol import Completeness
from voiceagent.language.words import word_set

__all__ = [
    "ASKING_TO_WAIT",
    "asks_to_wait",
    "completeness",
    "hands_over",
    "is_backchannel",
    "is_noise",
    "looks_for_it",
    "number_may_go_on",
]

# Moonshine writes the first three for silence and noise, Whisper the last ones.
_NOISE = frozenset(
    {
        "", "you", "so", "the", "a", "an", "and", "it", "of", "in", "i", "but", "is",
        "thanks for watching", "thank you for watching", "blank audio", "music", "silence",
        "applause", "inaudible", "noise",
    }
)  # fmt: skip
_ANNOTATION = re.compile(r"\[[^\]]*\]|\([^)]*\)|♪[^♪]*♪?")

_BACKCHANNELS = (
    "uh huh", "uhuh", "m hm", "mm hm", "mm hmm", "mhm", "mmhm", "mm", "mmm", "hm", "hmm", "okay", "ok",
    "right", "yeah", "sure", "alright", "all right", "got it", "i see", "go on", "ah", "aha",
    "oh", "oh okay", "oh i see", "great", "good", "fine", "cool", "i understand", "understood",
)  # fmt: skip

_HUM = re.compile(r"(?!m$)(?:m+h*){1,3}|mama")
"""What recognizers write for a hum with closed lips: "mhm", "mama". Not "ma'am", "mum" or a spelled "m"."""

ASKING_TO_WAIT = (
    "hold on", "hang on", "one moment", "one second", "one sec", "one minute", "just a moment", "just a second",
    "just a sec", "just a minute", "a moment please", "wait a moment", "wait a second", "wait a minute",
    "give me a moment", "give me a second", "give me a minute", "bear with me", "let me find it", "let me look",
    "let me see", "let me get it", "let me check", "let me think", "need a moment", "need a minute",
)  # fmt: skip
_MAY_ASK_FOR_SOMETHING = frozenset({"let me see", "let me look", "let me check", "let me think", "let me get it"})
"""Only where nothing follows: "let me see my balance" is no pause."""
_ASKING_TO_WAIT = re.compile(
    rf"\b(?:{'|'.join(phrase for phrase in ASKING_TO_WAIT if phrase not in _MAY_ASK_FOR_SOMETHING)})\b"
    rf"|\b(?:{'|'.join(sorted(_MAY_ASK_FOR_SOMETHING))})$"
    r"|\blet me (?:just |quickly )?(?:find|fetch|grab|get|look for|look at|go and|ask|check) (?:my|the|it|a|with)\b"
)

_HESITATION = r"(?:um+|uh+m?|er+m?|hm+)"
_WHERE_NUMBERS_STAND = (
    r"(?:it|(?:my|the|that|a) (?:\w+ )?(?:account|bill|book|booklet|card|code|contract|details|document|documents"
    r"|glasses|invoice|letter|licen[cs]e|number|papers|paperwork|passport|pen|phone|pin|purse|statement|wallet))"
)
_LOOKING_FOR_IT = re.compile(
    rf"(?:.+ )?{_HESITATION}"
    rf"|(?:(?:okay|ok|yes|yeah|sure|so|well|right|oh|and|i think|let's see|{_HESITATION}) )*"
    r"(?:(?:it|that|this|here)(?:'s| is| was| should be)"
    r"|(?:(?:my|the|our|his|her|your) )?(?:\w+ ){0,2}(?:number|code|pin|card|account|one)(?:'s| is| was| should be)"
    r"|let's see|(?:just )?let me (?:just |quickly )?(?:see|look|check|think)"
    r"|(?:just let me|let me|i'll|i will|i have to|i need to|i've got to) (?:just |quickly )?"
    rf"(?:find|fetch|grab|get|look for|look at|check|pull up) {_WHERE_NUMBERS_STAND}(?: here| first| out| quickly)?)"
)
"""What an answer is begun with, and what people say to themselves who have to look it up."""
_ASKING = re.compile(r"\b(?:what|which|who|whose|why|how|when|where|whether|if|speak|talk)\b")
"""Then it is something else: "I don't know what that is", "let me get a person to talk to"."""

# A sentence that stops here goes on, whatever mark the recognizer put after it.
_NEVER_LAST = word_set(
    """
    a an the my your our their his every um uh er erm and or but because if than of from with
    into between about i'd i'll i'm it's there's what's we're they're like
    i we they is are was were am would could should will can may might must want need to for at by as
    than currently approximately roughly via per
    """
)
# May end a question or an answer ("what is it for?"), but not a sentence without its mark.
_SELDOM_LAST = word_set(
    """
    in on that this which who whose when where while so then not have has had do
    does did be been number
    """
)
_MAY_END_ANSWER = re.compile(
    r"\b(?:(?:yes|no|yeah|nope)[, ]+)?(?:i|we|they|it|he|she|that|you)"
    r" (?:is|are|was|were|am|would|could|should|will|can|may|might|must|do|did|want|need)$"
)
_ASKS_ON = re.compile(
    r"(?:(?:hi|hello|yes|yeah|so|and|okay|well|please)[, ]+)*"
    r"(?:(?:can|could|would|will) you (?:please )?(?:tell me|let me know|check|look up|help me)"
    r"|do you know|i (?:want|would like|need|was hoping|wanted) to (?:know|ask)|i'd like to (?:know|ask)"
    r"|i was wondering|i wonder|tell me)"
)
"""A recognizer makes a question of it, and the question is still to come."""
_CONDITION = re.compile(r"(?:(?:and|but|so|well)[, ]+)?(?:if|unless|although|whenever)\b[^,]*")
"""A clause that another one has to follow: what then?"""
_CONDITION_AND_A_WORD = re.compile(r"(?:if|unless|although|whenever)\b[^,]*, (?!please\b|yes\b|no\b|stop\b)[\w']+")
"""Nor is one word that clause, whatever it was taken for: "if this is correct, press"."""
_OPENERS = frozenset({"please", "i'm sorry", "i am sorry", "sorry but", "excuse me", "listen", "look"})
"""What people begin with, and a recognizer takes for a sentence."""
_NAMED_BY_NUMBER = word_set("number extension apartment suite platform route flight")
_OF_WHAT = word_set(
    """
    phone telephone mobile cell fax house account card customer client member membership policy contract reference
    tracking order invoice booking confirmation ticket case serial passport license licence routing conference mailbox
    agent pin security social
    """
)
"""What may stand before these: "message from phone number", "the person at extension"."""
_ARTICLED = word_set(
    """
    a an the my your our their his her its this that these those which what whose another any some no every each
    wrong right same other new old first second last next correct
    """
)
_INFINITIVE = re.compile(r"to (?!the\b|my\b|a\b|an\b|your\b|checking\b|savings\b)\w+\b[^,]*")
"""May be all that was wanted ("to check my balance"), or half of it ("to leave a message, press five")."""
_OPEN_NUMBER = re.compile(r"(?:\b(?:hundred|thousand|million)|(?<![\d.,])[1-9][\d,]*00)[.,!…]*$")
_HANDS_OVER = re.compile(r"\w (?:please|thanks|thank you|thank you very much|goodbye|bye)$|^(?:thanks|thank you|bye)$")
_WHOLE_UTTERANCES = frozenset(
    {
        "hello", "hi", "goodbye", "bye", "bye bye", "thank you", "thanks", "stop", "help",
        "repeat", "wait", "hold on", "hang on", "pardon", "sorry", "agent", "operator",
        "representative", "cancel", "start over", "go back",
    }
)  # fmt: skip
_WORD = re.compile(r"[\w]+(?:['-]\w+)*")
_OPEN_END = re.compile(r"(?:[,;:—–-]|\.\.\.|…)[\"'”’)]*$")
_CLOSED_END = re.compile(r"[.!?][\"'”’)]*$")
_QUESTION_END = re.compile(r"\?[\"'”’)]*$")


def is_noise(text: str) -> bool:
    """Return whether `text` is what a recognizer makes of silence and noise.

    "to" and "for" are no noise: they may be digits. Neither is "um": somebody is thinking.
    """
    words = _words(_ANNOTATION.sub(" ", text))
    return " ".join(words) in _NOISE or (len(dict.fromkeys(words)) == 1 and words[0] in _NOISE)


def is_backchannel(text: str) -> bool:
    """Return whether `text`, at most four words, only says that the caller is listening."""
    words = _words(text.replace("-", " "))
    at = 0
    while at < len(words):
        pair, word = " ".join(words[at : at + 2]), words[at]
        triple = " ".join(words[at : at + 3])
        if triple in _BACKCHANNELS:
            at += 3
        elif pair in _BACKCHANNELS:
            at += 2
        elif word in _BACKCHANNELS or _HUM.fullmatch(word):
            at += 1
        else:
            return False
    return 0 < len(words) <= 4


def asks_to_wait(text: str) -> bool:
    """Return whether the caller needs a moment, and does not go on to ask something."""
    said = " ".join(_words(text))
    return _ASKING_TO_WAIT.search(said) is not None and not _QUESTION_END.search(text.strip())


def looks_for_it(text: str) -> bool:
    """Return whether the caller has begun an answer, or looks it up, and asks nobody for anything."""
    said = " ".join(_words(text))
    if _ASKING.search(said) or _QUESTION_END.search(text.strip()) or yes_no(text) is not None:
        return False
    return _LOOKING_FOR_IT.fullmatch(said) is not None


def completeness(text: str) -> Completeness:
    """Return whether a pause after `text` is likely to be the end of the turn.

    Recognizers put a full stop after anything, so the last word is asked before the mark is.
    """
    plain = text.strip().lower().replace("’", "'")
    words = _words(plain)
    if not words or _OPEN_END.search(plain):
        return Completeness.INCOMPLETE
    said = " ".join(words)
    if _ASKS_ON.fullmatch(said):
        return Completeness.INCOMPLETE
    if yes_no(plain) is not None and len(words) <= 4:
        return Completeness.COMPLETE
    if _QUESTION_END.search(plain) and words[-1] not in _ARTICLES:
        return Completeness.COMPLETE
    if words[-1] in _NEVER_LAST and not _ends_answer(said):
        return Completeness.INCOMPLETE
    if _CONDITION.fullmatch(plain.rstrip(".!")) or _CONDITION_AND_A_WORD.fullmatch(plain.rstrip(".!")):
        return Completeness.INCOMPLETE
    if said in _OPENERS or _announces(words):
        return Completeness.INCOMPLETE
    if _INFINITIVE.fullmatch(plain.rstrip(".!")):
        return Completeness.OPEN
    if _CLOSED_END.search(plain) or said in _WHOLE_UTTERANCES:
        return Completeness.COMPLETE
    return Completeness.INCOMPLETE if words[-1] in _SELDOM_LAST else Completeness.OPEN


def hands_over(text: str) -> bool:
    """Return whether `text` ends as what leaves the floor to somebody: a question, a "please", a "thank you"."""
    return _QUESTION_END.search(text.strip()) is not None or _HANDS_OVER.search(" ".join(_words(text))) is not None


def number_may_go_on(text: str) -> bool:
    """Return whether `text` ends in a number that more words can be part of: "two hundred", "3,000"."""
    return _OPEN_NUMBER.search(text.strip().lower()) is not None


_ARTICLES = frozenset({"a", "an", "the", "my", "your", "and", "or", "but", "um", "uh", "er"})


def _announces(words: Sequence[str]) -> bool:
    """Return whether a noun ends the words that has no article: its number is still to come."""
    before = next((word for word in reversed(words[:-1]) if word not in _OF_WHAT), None)
    return words[-1] in _NAMED_BY_NUMBER and before not in _ARTICLED


def _ends_answer(said: str) -> bool:
    """Return whether "I am", "yes it is" is all that was said."""
    return _MAY_END_ANSWER.fullmatch(said) is not None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'").replace("_", " "))
