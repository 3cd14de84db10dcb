"""Digits as people say them in Spanish: "cuatro cinco uno nueve", "doble cuatro", "veintitrés cuarenta y cinco"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from voiceagent.language.digit_runs import as_corrected, number_spans
from voiceagent.language.protocol import DigitSpan
from voiceagent.language.spanish.plain import plain
from voiceagent.language.words import word_set

__all__ = ["PRONOUN", "digit_spans", "digits", "goes_on"]


class _Kind(Enum):
    NUMERAL = auto()  # 4519
    ONES = auto()
    TWENTIES = auto()  # ten to twenty-nine: nothing is added to them
    TENS = auto()
    HUNDREDS = auto()
    SCALE = auto()  # mil, millón
    REPEAT = auto()  # doble
    PLURAL = auto()  # tres ceros
    ARTICLE = auto()  # "un", "una": a number only among numbers
    AND = auto()
    JOINER = auto()  # "guion", "eh": does not end a number
    WORD = auto()


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    kind: _Kind
    value: int = 0
    text: str = ""
    paused: bool = False
    """Punctuation stands before it."""


_ONES = ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve")
_TWENTIES = (
    "diez", "once", "doce", "trece", "catorce", "quince", "dieciseis", "diecisiete", "dieciocho", "diecinueve",
    "veinte", "veintiuno", "veintidos", "veintitres", "veinticuatro", "veinticinco", "veintiseis", "veintisiete",
    "veintiocho", "veintinueve",
)  # fmt: skip
_TENS = ("treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa")
_HUNDREDS = (
    "doscient", "trescient", "cuatrocient", "quinient", "seiscient", "setecient", "ochocient", "novecient",
)  # fmt: skip
_WORDS: dict[str, tuple[_Kind, int]] = {
    **{word: (_Kind.ONES, value) for value, word in enumerate(_ONES)},
    **{word: (_Kind.TWENTIES, 10 + value) for value, word in enumerate(_TWENTIES)},
    **dict.fromkeys(("veintiun", "veintiuna"), (_Kind.TWENTIES, 21)),
    **{word: (_Kind.TENS, 30 + 10 * value) for value, word in enumerate(_TENS)},
    **dict.fromkeys(("cien", "ciento"), (_Kind.HUNDREDS, 100)),
    **{
        f"{stem}{ending}": (_Kind.HUNDREDS, 200 + 100 * value)
        for value, stem in enumerate(_HUNDREDS)
        for ending in ("os", "as")
    },
    "mil": (_Kind.SCALE, 1000),
    **dict.fromkeys(("millon", "millones"), (_Kind.SCALE, 1_000_000)),
    "doble": (_Kind.REPEAT, 2),
    "triple": (_Kind.REPEAT, 3),
    **dict.fromkeys(("ceros",), (_Kind.PLURAL, 0)),
    **{f"{word}s": (_Kind.PLURAL, value) for value, word in enumerate(_ONES) if word in ("uno", "cuatro", "cinco")},
    **{word: (_Kind.PLURAL, value) for word, value in (("doses", 2), ("treses", 3), ("seises", 6), ("sietes", 7))},
    **{word: (_Kind.PLURAL, value) for word, value in (("ochos", 8), ("nueves", 9))},
    **dict.fromkeys(("un", "una"), (_Kind.ARTICLE, 1)),
    "y": (_Kind.AND, 0),
    **dict.fromkeys(("guion", "barra", "espacio", "luego", "eh", "em", "mmm"), (_Kind.JOINER, 0)),
}
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_PAUSE = re.compile(r"[.,;:!?…¿¡]")
_GOES_ON = re.compile(r"\W*(?:(?:(?:y )?(?:luego|despues)|seguido de|guion|espacio|e+h+|e+m+)\W*)*")
PRONOUN = re.compile(
    r"\b(?:cada|ese|este|aquel|otro|ultimo|primer|ningun|solo) uno\b"
    r"|\buno (?:de (?:ellos|ellas|los|las|mis|sus|estos|esos)|mas|solo|mismo|por uno)\b"
)
"""The "uno" that counts nothing: "cada uno", "uno de ellos"."""
_SURE = frozenset({
    _Kind.NUMERAL, _Kind.ONES, _Kind.TWENTIES, _Kind.TENS, _Kind.HUNDREDS, _Kind.SCALE, _Kind.PLURAL,
})  # fmt: skip
_BELOW_HUNDRED = frozenset({_Kind.ONES, _Kind.TWENTIES, _Kind.TENS, _Kind.ARTICLE})

# --- corrections ---

_TAKES_BACK = word_set("no perdon perdona perdone disculpa disculpe digo dicho corrijo error equivoco equivocado")
_MAY_STAND_BY = word_set(
    """
    que es era me he lo la el los las mi quiero decir mejor espera espere un momento ay uy eh em bueno ese esa eso mal
    esta estaba son desde principio empiezo otra vez de nuevo a ver
    """
)
_NAMES = word_set("numero cuenta pin codigo clave tarjeta cifras telefono referencia pedido")
_WORD = re.compile(r"[^\W\d_]+")


def digits(text: str) -> str:
    """Return all digits spoken in `text`, in order, as the caller corrected them."""
    return "".join(span.digits for span in digit_spans(text))


def goes_on(between: str) -> bool:
    """Return whether the words between two numbers make one of them.

    A bare "y" does not: it stands between two account numbers as well.
    """
    return _GOES_ON.fullmatch(plain(between)) is not None


def digit_spans(text: str) -> list[DigitSpan]:
    """Return the numbers in `text` with their places.

    Every numeral and every cardinal number word lies in a span, but for the "uno" of "cada uno", and "un" and "una"
    where no other number stands beside them. Numbers with nothing but punctuation, "guion" or "eh" between them make
    one span, and so does a number with the one that corrects it: it has the digits of the last.
    """
    said = plain(text)
    tokens = _tokens(said)
    spans = number_spans(said, tokens, _numeric(tokens), run_digits=_run_digits, pronouns=PRONOUN)
    return as_corrected(said, spans, _is_correction)


def _is_correction(before: str, between: str) -> bool:
    """Whether the words from one number to the next say that the next one replaces the first.

    "pin 1234, perdón, cuenta 4519" are two numbers: the first has another name.
    """
    said = _WORD.findall(between)
    names = {word for word in said if word in _NAMES}
    if not any(word in _TAKES_BACK for word in said):
        return False
    if any(word not in _TAKES_BACK | _MAY_STAND_BY | names for word in said):
        return False
    named_before = {word for word in _WORD.findall(before) if word in _NAMES}
    return not named_before or names <= named_before


# --- tokens, and which of them are part of a number ------------------------------------------------------------------


def _tokens(said: str) -> list[_Token]:
    tokens: list[_Token] = []
    previous_end = 0
    for match in _TOKEN.finditer(said):
        paused = _PAUSE.search(said, previous_end, match.start()) is not None
        word, previous_end = match[0], match.end()
        if word[0].isdecimal():
            spelled = "".join(str(int(digit)) for digit in word)
            tokens.append(_Token(match.start(), match.end(), _Kind.NUMERAL, text=spelled, paused=paused))
        else:
            kind, value = _WORDS.get(word, (_Kind.WORD, 0))
            tokens.append(_Token(match.start(), match.end(), kind, value, word, paused))
    return tokens


def _numeric(tokens: Sequence[_Token]) -> list[bool]:
    numeric = [token.kind in _SURE for token in tokens]
    for at, token in enumerate(tokens):
        after = tokens[at + 1] if at + 1 < len(tokens) else None
        before = at > 0 and numeric[at - 1]
        match token.kind:
            case _Kind.REPEAT:
                numeric[at] = after is not None and after.kind in (_Kind.ONES, _Kind.NUMERAL) and _is_single(after)
            case _Kind.AND:
                numeric[at] = before and after is not None and _adds(tokens[at - 1], after)
            case _Kind.ARTICLE:
                # "un millón", "treinta y un", "cuatro un dos"; not "un dos por ciento de", "quiero una".
                numeric[at] = before or (after is not None and after.kind is _Kind.SCALE)
            case _:
                pass
    _join(tokens, numeric)
    return numeric


def _join(tokens: Sequence[_Token], numeric: list[bool]) -> None:
    """Take in what stands between two numbers and ends neither."""
    at = 0
    while at < len(tokens):
        end = at
        while end < len(tokens) and tokens[end].kind is _Kind.JOINER:
            end += 1
        if end > at and at > 0 and end < len(tokens) and numeric[at - 1] and numeric[end]:
            numeric[at:end] = [True] * (end - at)
        at = max(end, at + 1)


def _is_single(token: _Token) -> bool:
    return token.kind is _Kind.ONES or len(token.text) == 1


def _adds(tens: _Token, ones: _Token) -> bool:
    """Whether a "y" stands between the two parts of a number: "treinta y cinco"."""
    return tens.kind is _Kind.TENS and ones.kind in (_Kind.ONES, _Kind.ARTICLE) and not ones.paused and ones.value > 0


# --- the digits of a run ---------------------------------------------------------------------------------------------


def _run_digits(run: Sequence[_Token]) -> str:
    spelled: list[str] = []
    at = 0
    while at < len(run):
        token = run[at]
        following = run[at + 1] if at + 1 < len(run) else None
        if token.kind in (_Kind.JOINER, _Kind.AND):
            at += 1
        elif (token.kind is _Kind.REPEAT and following is not None) or (
            following is not None and following.kind is _Kind.PLURAL and token.kind is _Kind.ONES and token.value > 1
        ):
            spelled.append(_digit(following) * token.value)
            at += 2
        elif token.kind is _Kind.NUMERAL and (len(token.text) > 6 or not _is_scale(following)):
            spelled.append(token.text)
            at += 1
        else:
            value, at = _cardinal(run, at)
            spelled.append(str(value))
    return "".join(spelled)


def _digit(token: _Token) -> str:
    return token.text if token.kind is _Kind.NUMERAL else str(token.value)


def _is_scale(token: _Token | None) -> bool:
    return token is not None and token.kind is _Kind.SCALE


def _cardinal(run: Sequence[_Token], at: int) -> tuple[int, int]:
    """Return the value of "cuatro mil quinientos diecinueve" and where it ends."""
    total, below = 0, 10**18
    value, at = (1, at) if run[at].kind is _Kind.SCALE else _below_thousand(run, at)
    while at < len(run) and run[at].kind is _Kind.SCALE and run[at].value < below:
        below = run[at].value
        total += value * below
        value, at = _rest(run, at + 1, below)
    return total + value, at


def _rest(run: Sequence[_Token], at: int, below: int) -> tuple[int, int]:
    """Return what follows "dos mil": "quinientos", "seis", or nothing, where a new number begins.

    "dos mil seis" is 2006, but "dos mil seis seis seis" is 2000 666.
    """
    if at >= len(run) or run[at].paused or run[at].kind not in _BELOW_HUNDRED | {_Kind.HUNDREDS}:
        return 0, at
    value, end = _below_thousand(run, at)
    alone = run[at].kind in (_Kind.ONES, _Kind.ARTICLE)
    if value >= below or (alone and end < len(run) and run[end].kind in _BELOW_HUNDRED) or (alone and not value):
        return 0, at
    return value, end


def _below_thousand(run: Sequence[_Token], at: int) -> tuple[int, int]:
    token = run[at]
    if token.kind is not _Kind.HUNDREDS:
        return _below_hundred(run, at)
    rest, end = 0, at + 1
    if end < len(run) and not run[end].paused and run[end].kind in _BELOW_HUNDRED:
        alone = run[end].kind in (_Kind.ONES, _Kind.ARTICLE)
        begins_another = alone and (not run[end].value or (end + 1 < len(run) and run[end + 1].kind in _BELOW_HUNDRED))
        if not begins_another:
            rest, end = _below_hundred(run, end)
    return token.value + rest, end


def _below_hundred(run: Sequence[_Token], at: int) -> tuple[int, int]:
    token = run[at]
    value = int(token.text) if token.kind is _Kind.NUMERAL else token.value
    and_at = at + 1 if at + 1 < len(run) and run[at + 1].kind is _Kind.AND else at  # a recognizer may miss the "y"
    if and_at + 1 < len(run) and not run[and_at].paused and _adds(token, run[and_at + 1]):
        return value + run[and_at + 1].value, and_at + 2
    return value, at + 1
