"""Yes or no, and nothing in between is taken for a yes."""

from __future__ import annotations

import re

from voiceagent.language.spanish.plain import plain, without_hesitations
from voiceagent.language.words import word_set

__all__ = ["yes_no"]

# Each list is tried longest first, so that "no hay problema" is read before "no".
_YES = (
    "no hay problema", "no hay ningun problema", "sin problema", "como no", "por que no", "no hay inconveniente",
    "si", "sip", "claro", "claro que si", "que si", "pues claro", "por supuesto", "por supuesto que si",
    "desde luego", "vale", "ok", "okay", "okey", "de acuerdo", "conforme", "correcto", "es correcto", "exacto",
    "exactamente", "eso es", "asi es", "eso mismo", "eso", "cierto", "es cierto", "efectivamente", "en efecto",
    "afirmativo", "perfecto", "bien", "muy bien", "esta bien", "me parece bien", "bueno", "genial", "estupendo",
    "adelante", "hagalo", "hazlo", "confirmo", "lo confirmo", "confirmado", "acepto", "aja", "sale", "dale",
    "todo correcto", "todo bien", "soy yo", "creo que si", "supongo que si", "me gustaria", "sin duda", "proceda",
)  # fmt: skip
_NO = (
    "no", "no no", "nop", "que no", "que va", "para nada", "en absoluto", "negativo", "nunca", "jamas", "tampoco",
    "ni hablar", "no gracias", "incorrecto", "mal", "esta mal", "eso esta mal", "falso", "error", "cancela",
    "cancele", "cancelar", "cancelelo", "para", "pare", "dejelo", "dejalo", "olvidelo", "olvidalo", "mejor no",
    "todavia no", "aun no", "ahora no", "claro que no", "por supuesto que no", "desde luego que no",
    "de ninguna manera", "de ningun modo", "no es correcto", "no es cierto", "no esta bien", "eso no", "asi no",
    "no lo haga", "no lo hagas", "creo que no", "no creo", "prefiero que no", "no quiero", "no es eso", "no soy yo",
)  # fmt: skip
_UNSURE = (
    "no se", "no lo se", "no estoy seguro", "no estoy segura", "no sabria", "quizas", "quiza", "tal vez",
    "a lo mejor", "puede ser", "puede que", "depende", "ni idea", "no tengo ni idea", "no entiendo", "no le entiendo",
    "no te entiendo", "no he entendido", "no le oigo", "no te oigo", "no oigo", "no recuerdo", "no me acuerdo",
    "me da igual", "si y no", "mas o menos", "no solo", "buenos dias", "buenas tardes", "buenas noches", "si acaso",
)  # fmt: skip
_ANSWERS: dict[str, bool | None] = {
    **dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False), **dict.fromkeys(_UNSURE, None),
}  # fmt: skip
_LONGEST = max(len(phrase.split()) for phrase in _ANSWERS)
_SKIPPED = word_set(
    "eh em mm ah oh hm pues bueno entonces y a ver ver mire mira oiga oye por favor gracias muchas senor senora",
    "senorita hombre mujer muy que es lo la digo yo creo",
)
_WEAK_YES = frozenset({
    "bien", "muy bien", "eso", "claro", "correcto", "exacto", "cierto", "bueno", "perfecto", "genial", "para",
    "adelante", "esta bien", "vale", "confirmo", "si",
})  # fmt: skip
"""These agree only where nothing with a content of its own follows."""
# Nothing but these may follow a yes: what is agreed to, courtesy, and words that say nothing. Any other word may be a
# condition, a change or another time ("sí, pero a ahorros"), and asking again is cheap.
_ECHOES = word_set(
    """
    a al así asi bien cantidad cita claro con confirmo correcta correcto cuenta de del deseo dinero el ella ellos es esa
    ese eso esta este esto favor gracias haga hagalo hazlo importe la las le lo los me mi mis mucho muchas muy numero
    pago pedido por que quiero reserva se senor senora senorita seria si soy su sus tarjeta todo transferencia un una
    usted vale y ya yo perfecto perfectamente adelante exacto exactamente mismo ahora
    """
)
_DEEDS = word_set(
    "transfiera transfiere transferir bloquee bloquea bloquear reserve reserva reservar pague pagar envie enviar mande "
    "mandar confirme confirmar haga hacer use usar termine terminar"
)
_COURTESY_AFTER_NO = frozenset(
    {"esta bien", "vale", "bien", "muy bien", "perfecto", "ok", "okay", "de acuerdo", "eso es"}
)
"""In "no, está bien" the yes is courtesy: it declines an offer."""
_NEGATIONS = word_set("no nunca jamas incorrecto mal cancele cancela tampoco")
_REACHES_ON = word_set("no nunca cancele cancela para pare cancelar")
"""A refusal that ends in one of these covers what follows: "no lo bloquee"."""
_CLAUSE = re.compile(r"[.,;:!…—–¡]+")
_WORD = re.compile(r"[^\W_]+")


def yes_no(text: str) -> bool | None:
    """Return True for consent, False for refusal, None where asking again is the safe answer.

    A yes counts only where nothing with a content of its own follows: "sí, pero cincuenta" is None. So are a yes and a
    no in one answer, "quizás", and a question. "No, está bien" is a no.
    """
    if "?" in text or "¿" in text:
        return None
    votes: list[bool] = []
    rest: list[str] = []
    for clause in _CLAUSE.split(_accented_if(text)):
        read = _clause(_WORD.findall(clause), declined=votes[:1] == [False])
        if read is None:
            return None
        votes += read[0]
        rest += read[1]
    if not votes or len(dict.fromkeys(votes)) == 2:
        return None
    return False if not votes[0] else (True if all(word in _ECHOES | _DEEDS for word in rest) else None)


_IF = re.compile(r"\bsi(?= +[a-zñáéíóú])", re.IGNORECASE)


def _accented_if(text: str) -> str:
    """Return plain text in which a "si" that another word follows is no yes: "si puede" is a condition."""
    said = without_hesitations(text)
    conditional = {match.start() for match in _IF.finditer(plain(text))} if "sí" not in text.lower() else set[int]()
    if not conditional:
        return said
    return re.sub(r"\bsi(?= +(?!por favor|claro|senor|gracias|si\b)[a-z])", "puede que", said)


def _clause(said: list[str], *, declined: bool) -> tuple[list[bool], list[str]] | None:
    """Return the votes at the head of a clause and the words after them; None where it is unsure.

    Only the head of a clause answers: "bien" in "no se oye bien" says nothing.
    """
    votes: list[bool] = []
    at, weak = 0, False
    while at < len(said):
        phrase, vote = _answer_at(said, at)
        if phrase:
            if vote is None:
                return None
            at += len(phrase.split())
            if vote and (declined or votes[:1] == [False]) and phrase in _COURTESY_AFTER_NO and at == len(said):
                break
            votes.append(vote)
            if not vote and said[at - 1] in _REACHES_ON:
                return votes, []
            weak = phrase in _WEAK_YES
        elif said[at] in _SKIPPED:
            at += 1
        else:
            break
    rest = said[at:]
    if votes and votes[0] and any(word in _NEGATIONS for word in rest):
        votes.append(False)
    if rest and weak and votes and votes[-1] and not all(word in _ECHOES | _DEEDS for word in rest):
        return (votes[:-1], rest) if len(votes) > 1 else (votes, rest)
    return votes, rest


def _answer_at(said: list[str], at: int) -> tuple[str, bool | None]:
    for length in range(min(_LONGEST, len(said) - at), 0, -1):
        phrase = " ".join(said[at : at + length])
        if phrase in _ANSWERS:
            return phrase, _ANSWERS[phrase]
    return "", None
