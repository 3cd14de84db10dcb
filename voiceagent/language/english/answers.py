"""Yes or no, and nothing in between is taken for a yes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from voiceagent.language.english.hesitations import without_hesitations
from voiceagent.language.words import word_set

__all__ = ["yes_no"]

# Each list is tried longest first, so that "no problem" is read before "no".
_YES = (
    "no problem", "no problem at all", "no worries", "no doubt", "why not", "not a problem",
    "yes", "yeah", "yep", "yup", "ya", "yah", "aye", "yes sir", "yes ma'am", "uh huh", "mm hm",
    "mhm", "mm hmm", "sure", "sure thing", "for sure", "of course", "absolutely", "definitely",
    "certainly", "totally", "exactly", "precisely", "affirmative", "indeed", "correct", "right",
    "okay", "ok", "okey dokey", "alright", "all right", "fine", "good", "great", "perfect",
    "confirmed", "i confirm", "confirm", "agreed", "i agree", "you bet", "by all means",
    "go ahead", "please do", "do it", "do that", "go for it", "proceed", "please proceed",
    "go on", "sounds good", "sounds right", "sounds great", "sounds correct", "looks good",
    "looks right", "works for me", "that works", "i do", "i did", "i am", "i would", "i think so",
    "i believe so", "i guess so", "i suppose so", "i'd like that", "i would like that",
    "that's right", "that is right", "that's correct", "that is correct", "that's it",
    "that is it", "that's fine", "that is fine", "that's good", "that's okay", "that's ok",
    "that's all right", "that's me", "that's the one", "that's the right one", "that'd be great", "that would be great",
    "there is", "it is", "it's correct", "it is correct", "it's right", "it's fine", "this is correct",
    "this is right", "all correct", "everything is correct", "everything's correct",
    "everything is right", "you're right", "you are right", "you got it", "you've got it",
    "you're correct", "one hundred percent", "a hundred percent", "100 percent",
)  # fmt: skip
_NO = (
    "no", "nope", "nah", "naw", "nay", "negative", "no way", "no thanks", "no thank you",
    "never", "not", "not really", "not at all", "not quite", "not exactly", "not correct",
    "not right", "not now", "not yet", "not that", "uh uh", "nuh uh", "absolutely not",
    "definitely not", "certainly not", "of course not", "hell no", "incorrect", "wrong", "false",
    "that's wrong", "that is wrong", "that's incorrect", "that is incorrect", "it's wrong",
    "this is wrong", "you're wrong", "cancel", "stop", "don't", "do not", "forget it",
    "forget that", "never mind", "nevermind", "i don't think so", "i do not think so",
    "i don't believe so", "i don't", "i do not", "i didn't", "i did not", "i'm not", "i am not",
    "i wouldn't", "i'd rather not", "i would rather not", "rather not", "please don't",
    "it isn't", "it is not", "it's not", "that isn't", "that is not", "that's not",
    "that isn't right", "that's not right", "that's not correct", "that is not correct",
    "that is not right", "that's not it", "this isn't right", "this is not right", "it's not right",
    "it isn't right", "it's not correct", "i disagree", "you're not right", "on second thought no",
)  # fmt: skip
_UNSURE = (
    "i don't know", "i do not know", "i'm not sure", "i am not sure", "not sure", "maybe",
    "perhaps", "possibly", "i'm not certain", "not certain", "i don't remember", "it depends",
    "i have no idea", "no idea", "dunno", "i don't understand", "i guess", "sort of", "kind of",
    "i don't recall", "i'm unsure", "i don't mind", "yes and no",
    "not only", "no more", "never been", "good morning", "good afternoon", "good evening",
    "i did not hear", "i didn't hear", "i didn't catch", "i did not catch",
    "i didn't understand", "i don't follow", "no one",
    "i didn't get that",
)  # fmt: skip
_SKIPPED = word_set(
    """
    uh um er erm ah oh hm hmm well so and then actually really very please thanks thank you sir
    ma'am madam mate totally now just i mean like look that's that is it a the course think yes
    would be say i'd my
    """
)
# These agree only where nothing follows: "correct the amount", "I am Daniel Harris".
_WEAK_YES = frozenset({
    "right", "correct", "fine", "good", "great", "perfect", "confirm", "all right", "alright",
    "i do", "i did", "i am", "i would", "it is", "there is", "i agree", "that is it", "that's it", "that works",
    "go on",
})  # fmt: skip
# Nothing but these may follow a yes: what is agreed to, courtesy, and words that say nothing. Any other word may be a
# condition, a change or another time ("yes, to savings", "do it later"), and asking again is cheap.
_ECHOES = word_set(
    """
    a also am amount and appointment are awesome booking brilliant by can card certain cool do done exactly
    excellent fantastic for go going good great i i'd i'll i'm information is it it'll it's just kind like
    lovely ma'am madam mate may me money much my need nice of oh order payment please positive reservation right
    sir so super sure thank thanks that that'd that'll that's the them then these they this those to transaction
    transfer us very want we we'd we'll we're will with wonderful would you you're your
    """
)
_DEEDS = word_set(
    "block book confirm finish make move pay place reserve schedule send submit transfer use freeze complete"
)
# The "right" in it agrees to nothing, and at once is when everything is done.
_AT_ONCE = re.compile(r"\b(?:(?:right|straight) (?:now|away)|immediately|at once)\b")
_WHAT_I_SAID = re.compile(
    r"\b(?:exactly )?what (?:i|we)(?:'d| would)? (?:like|want|need|mean|asked for|wanted|said|meant)\b"
)
# "Is that all", "can I see it": a question, though nobody may have heard its mark.
_INVERTED = re.compile(
    r"^(?:and |so )?(?:(?:is|are|am|can|may|will|would) (?:i|it|that|this|they|you|we)|do (?:i|they|you|we))\b"
)
# "No, that's okay" declines an offer; the yes in it is courtesy.
_COURTESY_AFTER_NO = frozenset({
    "that's okay", "that's ok", "that's fine", "that is fine", "that's all right", "that's it", "that is it",
    "it's fine", "okay", "ok", "fine", "all right", "alright", "that's good", "good", "great", "perfect", "sure",
})  # fmt: skip
_WORD = re.compile(r"[\w]+(?:'\w+)?")
_CLAUSE = re.compile(r"[.,;:!?…—–]+")
_Vote = bool | None


def yes_no(text: str) -> bool | None:
    """Return True for consent, False for refusal, None where asking again is the safe answer.

    A yes counts only where nothing with a content of its own follows: "yes, to savings", "do it later" and "yes but
    make it fifty" are None. So are a yes and a no in one answer, "maybe", and a question. "No wait" is a no, and "no,
    that's okay" too.
    """
    plain = _AT_ONCE.sub(" ", without_hesitations(text).lower().replace("’", "'").replace("-", " ")).strip()
    if plain.endswith("?"):
        return None
    votes: list[bool] = []
    rest: list[str] = []
    for clause in _CLAUSE.split(plain):
        read = _clause_votes(_WORD.findall(clause), declined=votes[:1] == [False])
        if read.unsure:
            return None
        votes += read.votes
        rest += read.rest
    return _verdict(votes, rest)


def _verdict(votes: list[bool], rest: list[str]) -> bool | None:
    if not votes or len(dict.fromkeys(votes)) == 2:
        return None
    return votes[0] if not votes[0] or _adds_nothing(" ".join(rest)) else None


def _adds_nothing(rest: str) -> bool:
    """Whether what follows a yes leaves it as it was."""
    echoed = _WHAT_I_SAID.sub("", rest)
    return not _INVERTED.match(echoed) and all(word in _ECHOES or word in _DEEDS for word in echoed.split())


@dataclass(slots=True)
class _Clause:
    """The votes at the head of a clause, and the words after them."""

    votes: list[bool] = field(default_factory=list[bool])
    rest: list[str] = field(default_factory=list[str])
    unsure: bool = False


def _clause_votes(words: list[str], *, declined: bool) -> _Clause:
    """Read a clause; `declined`: an earlier one has said no.

    Only the head of a clause answers: "right" in "the right account" says nothing.
    """
    votes: list[bool] = []
    at, weak = 0, False
    while at < len(words):
        length, vote = _answer_at(words, at)
        if length:
            if vote is None:
                return _Clause(unsure=True)
            phrase = " ".join(words[at : at + length])
            at += length
            if vote and (declined or votes[:1] == [False]) and phrase in _COURTESY_AFTER_NO and at == len(words):
                break
            votes.append(vote)
            if not vote and words[at - 1] in _REACHES_ON:
                return _Clause(votes)
            weak = phrase in _WEAK_YES
        elif words[at] in _SKIPPED:
            at += 1
        else:
            break
    rest = words[at:]
    if rest and weak:
        votes.pop()
    if votes and votes[0] and any(word in _NEGATIONS for word in rest):
        votes.append(False)
    return _Clause(votes, rest)


def _answer_at(words: list[str], at: int) -> tuple[int, _Vote]:
    for length in range(min(_LONGEST, len(words) - at), 0, -1):
        phrase = " ".join(words[at : at + length])
        if phrase in _ANSWERS:
            return length, _ANSWERS[phrase]
    return 0, None


_REACHES_ON = frozenset({"don't", "not", "never", "stop", "cancel"})
"""A refusal that ends in one of these covers what follows: "don't go ahead"."""
_NEGATIONS = frozenset({"not", "don't", "no", "never", "isn't", "wrong", "incorrect", "cancel"})
_ANSWERS: dict[str, _Vote] = {
    **dict.fromkeys(_YES, True),
    **dict.fromkeys(_NO, False),
    **dict.fromkeys(_UNSURE, None),
}
_LONGEST = max(len(phrase.split()) for phrase in _ANSWERS)
