"""Digits as people say them and as recognizers write them down.

"four five one nine", "4519-227", "forty five nineteen", "double four", "oh five", "A306".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from voiceagent.language.digit_runs import as_corrected, number_spans
from voiceagent.language.english.corrections import is_correction
from voiceagent.language.english.pronouns import PRONOUN_ONE
from voiceagent.language.protocol import DigitSpan

__all__ = ["digit_spans", "digits", "goes_on"]


class _Kind(Enum):
    NUMERAL = auto()  # 4519
    ONES = auto()
    TEENS = auto()
    TENS = auto()
    SCALE = auto()  # hundred, thousand
    REPEAT = auto()  # double
    PLURAL = auto()  # three zeros
    OH = auto()
    SOUND = auto()  # "for", "to": a digit only among digits
    JOINER = auto()  # "dash", "um": does not end a number
    WORD = auto()


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    kind: _Kind
    value: int = 0
    digits: str = ""
    gap: str = ""
    """What stands between the token before and this one."""


_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

_WORDS: dict[str, tuple[_Kind, int]] = {
    **{word: (_Kind.ONES, value) for value, word in enumerate(_ONES)},
    **dict.fromkeys(("nought", "naught", "aught", "nil"), (_Kind.ONES, 0)),
    "niner": (_Kind.ONES, 9),
    **{word: (_Kind.TEENS, 10 + value) for value, word in enumerate(_TEENS)},
    **{word: (_Kind.TENS, 20 + 10 * value) for value, word in enumerate(_TENS)},
    "fourty": (_Kind.TENS, 40),
    "ninty": (_Kind.TENS, 90),
    "hundred": (_Kind.SCALE, 100),
    "thousand": (_Kind.SCALE, 1000),
    "million": (_Kind.SCALE, 1_000_000),
    "billion": (_Kind.SCALE, 1_000_000_000),
    **dict.fromkeys(("double",), (_Kind.REPEAT, 2)),
    **dict.fromkeys(("triple", "treble"), (_Kind.REPEAT, 3)),
    "quadruple": (_Kind.REPEAT, 4),
    **{
        word + ("es" if word == "six" else "s"): (_Kind.PLURAL, value)
        for value, word in enumerate(_ONES)
        if word != "one"
    },
    "zeroes": (_Kind.PLURAL, 0),
    "ones": (_Kind.PLURAL, 1),
    **dict.fromkeys(("oh", "o"), (_Kind.OH, 0)),
    **dict.fromkeys(("for", "fore"), (_Kind.SOUND, 4)),
    **dict.fromkeys(("to", "too"), (_Kind.SOUND, 2)),
    "won": (_Kind.SOUND, 1),
    "tree": (_Kind.SOUND, 3),
    "size": (_Kind.SOUND, 5),
    "sicks": (_Kind.SOUND, 6),
    "ate": (_Kind.SOUND, 8),
    "nein": (_Kind.SOUND, 9),
    **dict.fromkeys(("dash", "hyphen", "slash", "space", "then", "um", "uh", "er", "erm"), (_Kind.JOINER, 0)),
}

# "to" at the beginning is rather "to [account] four five one nine".
_SOUNDS_THAT_LEAD = frozenset({"for", "fore", "too", "won", "tree", "sicks", "ate", "nein"})
# An unfinished sentence ends in "for" or "to" more often than a number does.
_SOUNDS_THAT_TRAIL = frozenset({"won", "tree", "sicks", "ate", "nein", "fore"})
_BEFORE_LEADING_SOUND = frozenset(
    {"is", "it's", "its", "it", "s", "number", "pin", "code", "digits", "are", "say", "said"}
)
_BEFORE_RANGE = frozenset({"from", "between"})

_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_PAUSE = re.compile(r"[.,;:!?]")
_GOES_ON = re.compile(
    r"\W*(?:(?:(?:and )?then|followed by|and next|next|dash|hyphen|space|uh+|um+)\W*)*", re.IGNORECASE
)
_PLAIN = frozenset({_Kind.NUMERAL, _Kind.ONES, _Kind.TEENS, _Kind.TENS, _Kind.OH, _Kind.PLURAL})
_COUNTS = frozenset({_Kind.NUMERAL, _Kind.ONES, _Kind.TEENS, _Kind.TENS})
_DEFINITE = _PLAIN - {_Kind.OH} | {_Kind.SCALE}
_COUNTED_AHEAD = _PLAIN | {_Kind.SCALE, _Kind.REPEAT}
_NO_LIMIT = 10**18


def digits(text: str) -> str:
    """Return all digits spoken in `text`, in order, as the caller corrected them."""
    return "".join(span.digits for span in digit_spans(text))


def goes_on(between: str) -> bool:
    """Return whether the words between two numbers make one of them.

    A bare "and" does not: it stands between two account numbers as well.
    """
    return _GOES_ON.fullmatch(between) is not None


def digit_spans(text: str) -> list[DigitSpan]:
    """Return the numbers in `text` with their places.

    Every numeral and every cardinal number word lies in a span, but for the "one" of "one moment" and "that one" where
    it is not part of a longer number. Numbers with nothing but punctuation, "dash" or "um" between them make one span,
    and so does a number with the one that corrects it: it has the digits of the last. Ordinals ("third") are no digits;
    the 14 in "14th" is.
    """
    tokens = _tokens(text)
    spans = number_spans(text, tokens, _numeric(tokens), run_digits=_run_digits, pronouns=PRONOUN_ONE)
    return as_corrected(text, spans, is_correction)


# --- tokens ----------------------------------------------------------------------------------------


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    previous_end = 0
    for match in _TOKEN.finditer(text):
        gap = text[previous_end : match.start()]
        token = replace(_token(match), gap=gap)
        if tokens and token.kind is _Kind.NUMERAL and not gap and _is_glued_eight(text, tokens):
            # Recognizers write "eight three oh six" as "A306".
            letter = tokens.pop()
            token = replace(token, start=letter.start, digits=f"8{token.digits}", gap=letter.gap)
        tokens.append(token)
        previous_end = match.end()
    return tokens


def _token(match: re.Match[str]) -> _Token:
    word = match[0].lower()
    if word[0].isdecimal():
        spelled = "".join(str(int(digit)) for digit in word)
        return _Token(match.start(), match.end(), _Kind.NUMERAL, digits=spelled)
    kind, value = _WORDS.get(word, (_Kind.WORD, 0))
    return _Token(match.start(), match.end(), kind, value, word)


def _is_glued_eight(text: str, tokens: Sequence[_Token]) -> bool:
    letter = tokens[-1]
    stands_alone = bool(letter.gap) or len(tokens) == 1
    return letter.digits == "a" and stands_alone and text[letter.start : letter.end] in "Aa"


# --- which tokens are part of a number -------------------------------------------------------------


def _numeric(tokens: Sequence[_Token]) -> list[bool]:
    numeric = [token.kind in _DEFINITE for token in tokens]
    for at, token in enumerate(tokens):
        match token.kind:
            case _Kind.OH:
                numeric[at] = _oh_is_zero(tokens, at, numeric)
            case _Kind.REPEAT:
                numeric[at] = _is_single_digit(tokens, at + 1)
            case _Kind.SOUND:
                numeric[at] = _sound_is_digit(tokens, at, numeric)
            case _Kind.WORD:
                numeric[at] = _word_counts(tokens, at)
            case _:
                pass
    _join(tokens, numeric)
    return numeric


def _oh_is_zero(tokens: Sequence[_Token], at: int, numeric: Sequence[bool]) -> bool:
    after = _digits_after(tokens, at)
    if at and (numeric[at - 1] or tokens[at - 1].kind is _Kind.REPEAT):
        is_last = at + 1 == len(tokens)
        return is_last or after > 0 or not _PAUSE.search(tokens[at].gap)
    if not after or _PAUSE.search(tokens[at + 1].gap):
        return False  # "Oh, four five": a sigh
    whole_text = at == 0 and after + 1 == len(tokens)
    glued = not tokens[at + 1].gap
    return whole_text or glued or after > 1 or tokens[at + 1].kind is _Kind.OH


def _sound_is_digit(tokens: Sequence[_Token], at: int, numeric: Sequence[bool]) -> bool:
    before, after = _digits_before(numeric, at), _digits_after(tokens, at)
    word = tokens[at].digits
    if before and after:
        first = at - before - 1
        is_range = first >= 0 and tokens[first].digits in _BEFORE_RANGE
        neighbours = _is_short(tokens[at - 1]) and _is_short(tokens[at + 1])
        return neighbours and before + after >= 3 and not is_range
    if after:
        starts = at == 0 or bool(_PAUSE.search(tokens[at].gap))
        led = starts or tokens[at - 1].digits in _BEFORE_LEADING_SOUND
        enough = after >= (3 if word == "for" else 2)
        return word in _SOUNDS_THAT_LEAD and led and enough and _is_short(tokens[at + 1])
    ends = at + 1 == len(tokens) or bool(_PAUSE.search(tokens[at + 1].gap))
    return word in _SOUNDS_THAT_TRAIL and ends and before >= 2


def _word_counts(tokens: Sequence[_Token], at: int) -> bool:
    """Return whether this is the "a" of "a hundred" or the "and" of "hundred and five"."""
    if at + 1 == len(tokens):
        return False
    following, word = tokens[at + 1], tokens[at].digits
    if word == "a":
        return following.kind is _Kind.SCALE and following.gap.isspace()
    return (
        word == "and"
        and at > 0
        and tokens[at - 1].kind is _Kind.SCALE
        and following.kind in _DEFINITE - {_Kind.SCALE}
        and not _PAUSE.search(tokens[at].gap + following.gap)
    )


def _join(tokens: Sequence[_Token], numeric: list[bool]) -> None:
    """Make "dash" and "um" part of a number where numbers stand on both sides."""
    open_since: int | None = None
    for at, token in enumerate(tokens):
        if numeric[at]:
            if open_since is not None:
                numeric[open_since:at] = [True] * (at - open_since)
            open_since = None
        elif token.kind is not _Kind.JOINER:
            open_since = None
        elif open_since is None and at and numeric[at - 1]:
            open_since = at


def _is_single_digit(tokens: Sequence[_Token], at: int) -> bool:
    return 0 <= at < len(tokens) and tokens[at].kind in _PLAIN and _is_short(tokens[at])


def _is_short(token: _Token) -> bool:
    """Return whether a token can be one digit of a number said digit by digit."""
    return token.kind in {_Kind.ONES, _Kind.OH, _Kind.SOUND, _Kind.REPEAT} or (
        token.kind is _Kind.NUMERAL and len(token.digits) == 1
    )


def _digits_before(numeric: Sequence[bool], at: int) -> int:
    first = at
    while first and numeric[first - 1]:
        first -= 1
    return at - first


def _digits_after(tokens: Sequence[_Token], at: int) -> int:
    """Return how many tokens after `at` could be digits, up to the last that surely is one."""
    last = at
    for place in range(at + 1, len(tokens)):
        if tokens[place].kind is _Kind.SOUND:
            continue
        if tokens[place].kind not in _COUNTED_AHEAD:
            break
        last = place
    return last - at


# --- what a number is, digit by digit --------------------------------------------------------------


def _run_digits(run: Sequence[_Token]) -> str:
    spelled: list[str] = []
    at = 0
    while at < len(run):
        token = run[at]
        following = run[at + 1] if at + 1 < len(run) else None
        if token.kind in {_Kind.JOINER, _Kind.WORD}:
            at += 1
        elif token.kind is _Kind.REPEAT and following is not None:
            spelled.append(_digit(following) * token.value)
            at += 2
        elif following is not None and following.kind is _Kind.PLURAL and _is_count(token):
            spelled.append(_digit(following) * int(_digit(token)))
            at += 2
        elif _is_long(token) or (token.kind is _Kind.NUMERAL and not _scale_follows(run, at + 1)):
            spelled.append(token.digits)
            at += 1
        else:
            value, at = _cardinal(run, at)
            spelled.append(str(value))
    return "".join(spelled)


def _digit(token: _Token) -> str:
    return token.digits if token.kind is _Kind.NUMERAL else str(token.value)


def _is_long(token: _Token) -> bool:
    """Return whether a numeral is too long to be multiplied: nobody says "4519227 hundred"."""
    return len(token.digits) > 6 and token.kind is _Kind.NUMERAL


def _is_count(token: _Token) -> bool:
    return token.kind is _Kind.ONES and token.value > 1


def _scale_follows(run: Sequence[_Token], at: int) -> bool:
    return at < len(run) and run[at].kind is _Kind.SCALE


def _below_hundred(run: Sequence[_Token], at: int) -> tuple[int, int]:
    """Return the value of "forty five", "twelve", "five" or "12" at `at`, and where it ends."""
    token = run[at]
    if token.kind is _Kind.SCALE:
        return 1, at  # "hundred" without a number before it
    value = int(token.digits) if token.kind is _Kind.NUMERAL else token.value
    at += 1
    if token.kind is _Kind.TENS and at < len(run) and not _PAUSE.search(run[at].gap):
        ones = run[at]
        is_counted = at + 1 < len(run) and run[at + 1].kind is _Kind.PLURAL  # "forty two zeros"
        if ones.kind is _Kind.ONES and ones.value and not is_counted:
            return value + ones.value, at + 1
    return value, at


def _cardinal(run: Sequence[_Token], at: int) -> tuple[int, int]:
    """Return the value of "four thousand five hundred and nineteen" and where it ends."""
    total, below = 0, _NO_LIMIT
    value, at = _hundreds(run, at)
    while _scale_follows(run, at) and 100 < run[at].value < below:
        below = run[at].value
        total += value * below
        at += 1
        value, at = _next_part(run, at, below=below)
    return total + value, at


def _hundreds(run: Sequence[_Token], at: int) -> tuple[int, int]:
    value, at = _below_hundred(run, at)
    if value < 100 and _scale_follows(run, at) and run[at].value == 100:
        rest, at = _remainder(run, at + 1, below=100)
        value = value * 100 + rest
    return value, at


def _next_part(run: Sequence[_Token], at: int, *, below: int) -> tuple[int, int]:
    """Return what follows "two thousand": "five hundred", "and six", or nothing."""
    start = at + 1 if _is_and(run, at) else at
    if start < len(run) and run[start].kind in _COUNTS and not _is_long(run[start]):
        value, end = _hundreds(run, start)
        says_hundred = any(token.kind is _Kind.SCALE for token in run[start:end])
        if says_hundred or (_scale_follows(run, end) and run[end].value < below):
            return value, end
    return _remainder(run, at, below=below)


def _remainder(run: Sequence[_Token], at: int, *, below: int) -> tuple[int, int]:
    """Return what is added to a hundred or thousand, 0 where a new number begins.

    "eight hundred five" is 805, but "eight hundred five five five" is 800 555.
    """
    joined = _is_and(run, at)
    start = at + 1 if joined else at
    if start >= len(run) or _PAUSE.search(run[start].gap):
        return 0, at
    if run[start].kind not in _COUNTS or _is_long(run[start]):
        return 0, at
    value, end = _below_hundred(run, start)
    goes_on = end < len(run) and run[end].kind in _PLAIN and not joined
    if value >= below or not value or goes_on:
        return 0, at
    return value, end


def _is_and(run: Sequence[_Token], at: int) -> bool:
    return at < len(run) and run[at].digits == "and"
