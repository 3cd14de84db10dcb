"""What was heard at all: noise, "I am listening", or a turn, and whether the turn is over."""

from __future__ import annotations

import re

from voiceagent.language.protocol import Completeness
from voiceagent.language.spanish.answers import yes_no
from voiceagent.language.spanish.plain import plain, words
from voiceagent.language.words import word_set

__all__ = [
    "ASKING_TO_WAIT",
    "asks_to_wait",
    "completeness",
    "hands_over",
    "is_backchannel",
    "is_noise",
    "looks_for_it",
]

_NOISE = frozenset({
    "", "y", "el", "la", "de", "e", "los", "que", "a", "en", "subtitulos por la comunidad de amara org",
    "gracias por ver el video", "musica", "silencio", "aplausos", "inaudible", "ruido",
})  # fmt: skip
_ANNOTATION = re.compile(r"\[[^\]]*\]|\([^)]*\)|♪[^♪]*♪?")
_BACKCHANNELS = (
    "aja", "m hm", "mm hm", "hm", "hmm", "aha", "ah", "oh", "ya", "vale", "claro", "bien", "muy bien",
    "entiendo", "entendido", "ya veo", "de acuerdo", "ok", "okay", "okey", "bueno", "perfecto", "genial", "eso",
)  # fmt: skip
_HUM = re.compile(r"(?!m$)(?:m+h*){1,3}")
"""What recognizers write for a hum with closed lips: "mhm", "mmm". Not a spelled "m", and not "mama"."""
ASKING_TO_WAIT = (
    "espere", "espera", "esperame", "espereme", "aguarde", "aguarda", "un momento", "un momentito", "un segundo",
    "un segundito", "un minuto", "un minutito", "un instante", "dame un momento", "deme un momento", "deme un segundo",
    "dejeme ver", "dejame ver", "dejeme mirar", "dejeme buscar", "dejeme pensar", "a ver si lo encuentro",
    "lo estoy buscando", "lo busco", "la busco", "voy a buscarlo", "voy a buscarla", "no cuelgue",
)  # fmt: skip
_ASKING = re.compile(rf"\b(?:{'|'.join(ASKING_TO_WAIT)})\b|\b(?:dejeme|dejame|deja que|deje que) (?:lo |la )?busc")
_HESITATION = r"(?:e+h+|e+m+|m+|a+h+|h+m+)"
_BEGINNING = (
    rf"(?:{_HESITATION}|vale|ok|bueno|si|claro|ah|y|pues|este|o sea|mire|mira|a ver|creo que|espere|espera"
    r"|un (?:momento|segundo))"
)
_WHERE_NUMBERS_STAND = (
    r"(?:mi|el|la|los|las|un|una) (?:\w+ )?(?:boligrafo|bolso|carne|carnet|carta|cartera|celular|cedula|clave|codigo"
    r"|contrato|cuenta|dni|documentos?|extracto|factura|gafas|lapiz|lentes|libreta|licencia|movil|nomina|numero"
    r"|papel|papeles|pasaporte|pin|poliza|recibo|tarjeta|telefono|tarjetero)"
)
_LET_ME = r"(?:dejeme|dejame|deje que|deja que|permitame|permiteme|voy a|tengo que|tendria que)"
_FETCH = (
    r"(?:agarr|alcanz|busc|busqu|coger|coj|comprob|consult|encontr|encuentr|localiz|mir|sac|tom|traer|traig|ver|vea)"
)
_LOOKING_FOR_IT = re.compile(
    rf"(?:.+ )?{_HESITATION}"
    rf"|(?:{_BEGINNING} )*(?:"
    r"(?:es|son|seria|era)(?: el| la| los| las)?"
    r"|(?:(?:mi|el|la|su|nuestro|nuestra) )?(?:\w+ ){0,2}(?:numero|codigo|pin|tarjeta|cuenta|clave|contrasena)"
    r"(?: de \w+(?: \w+)?)? (?:es|son|seria|era)(?: el| la)?"
    rf"|a ver|(?:{_LET_ME} (?:que )?|ahora |ya )(?:lo |la |los |las )?{_FETCH}\w*(?: {_WHERE_NUMBERS_STAND})?"
    r"(?: aqui| primero| un momento| un segundo| ahora mismo)?"
    r"|(?:lo|la|los|las) (?:estoy )?(?:busc|mir)\w+(?: ahora)?"
    r"|(?:lo|la|los|las) (?:tengo|tenia) por aqui)"
)
"""What an answer is begun with, and what people say to themselves who have to look it up."""
_ASKING_SOMETHING = re.compile(
    r"\b(?:cual|cuales|quien|quienes|como|cuando|donde|cuanto|cuanta|por que|para que|hablar|hable"
    r"|(?:se|sabe|sabes|saber|dime|digame|decirme) (?:que|si))\b"
)
"""Then it is something else: "no sé cuál es", "voy a buscar con quién hablar"."""

# A sentence that stops here goes on, whatever mark the recognizer put after it.
_NEVER_LAST = word_set(
    """
    el los las un una unos unas mi mis tu tus su sus nuestro y e o u ni que de del al en con sin por para desde hasta
    entre sobre hacia pero porque aunque cuando donde como quien cuyo eh em mmm pues sea muy mas menos tan
    quiero quisiera querria necesito puedo podria tengo voy estoy me te se le nos
    """
)
_SELDOM_LAST = word_set("la lo a este esta ese esa entonces si no he ha han sido es son era fue tambien numero")
_ASKS_ON = re.compile(
    r"(?:(?:hola|buenas|buenos dias|si|bueno|y|por favor) )*"
    r"(?:(?:me )?(?:puede|podria|puedes|podrias) (?:decirme|indicarme|ayudarme|mirar|decir|ayudar)"
    r"|queria (?:saber|preguntar)|quiero (?:saber|preguntar)|quisiera (?:saber|preguntar)|digame|sabe)"
)
"""A recognizer makes a question of it, and the question is still to come."""
_CONDITION = re.compile(r"(?:(?:y|pero|pues|bueno)[, ]+)?(?:si|aunque|cuando) (?!senor|por favor|claro|gracias)[^,]*")
"""A clause that another one has to follow: what then?"""
_OPENERS = frozenset({
    "por favor", "lo siento", "lo siento pero", "perdon pero", "disculpe", "disculpa", "oiga", "oye", "mire", "mira",
    "escuche", "escucha",
})  # fmt: skip
"""What people begin with, and a recognizer takes for a sentence."""
_ANNOUNCING = re.compile(
    r".*\b(?:cliente|contrato|cuenta|expediente|factura|linea|pedido|poliza|referencia|reserva|tarjeta|vuelo) numero"
    r"|.*\b(?:a|con|en) la extension"
)
"""The number is still to come: "llamo por la cuenta número", "póngame con la extensión"."""
_WHOLE_UTTERANCES = frozenset({
    "hola", "buenas", "buenos dias", "buenas tardes", "adios", "hasta luego", "gracias", "muchas gracias", "ayuda",
    "repita", "repite", "espere", "perdon", "agente", "operador", "operadora", "persona", "cancelar", "volver",
})  # fmt: skip
_OPEN_END = re.compile(r"(?:[,;:—–-]|\.\.\.|…)[\"'”’»)]*$")
_CLOSED_END = re.compile(r"[.!?][\"'”’»)]*$")
_QUESTION_END = re.compile(r"\?[\"'”’»)]*$")
_HANDS_OVER = re.compile(r"\w por favor$|(?:^|\w )(?:muchas )?gracias$|(?:^|\w )(?:adios|hasta luego)$")
_ARTICLES = word_set("el los las un una mi y o pero eh em de del que")


def is_noise(text: str) -> bool:
    """Return whether `text` is what a recognizer makes of silence and noise. "Eh" is none: somebody is thinking."""
    said = words(_ANNOTATION.sub(" ", text))
    return " ".join(said) in _NOISE or (len(dict.fromkeys(said)) == 1 and said[0] in _NOISE)


def is_backchannel(text: str) -> bool:
    """Return whether `text`, at most four words, only says that the caller is listening."""
    said = words(text)
    at = 0
    while at < len(said):
        length = next((n for n in (2, 1) if _only_listens(" ".join(said[at : at + n])) and at + n <= len(said)), 0)
        if not length:
            return False
        at += length
    return 0 < len(said) <= 4


def _only_listens(said: str) -> bool:
    return said in _BACKCHANNELS or _HUM.fullmatch(said) is not None


def asks_to_wait(text: str) -> bool:
    """Return whether the caller needs a moment, and does not go on to ask something."""
    return _ASKING.search(" ".join(words(text))) is not None and not _QUESTION_END.search(text.strip())


def looks_for_it(text: str) -> bool:
    """Return whether the caller has begun an answer, or looks it up, and asks nobody for anything."""
    said = " ".join(words(text))
    if _ASKING_SOMETHING.search(said) or _QUESTION_END.search(text.strip()) or yes_no(text) is not None:
        return False
    return _LOOKING_FOR_IT.fullmatch(said) is not None


def completeness(text: str) -> Completeness:
    """Return whether a pause after `text` is likely to be the end of the turn.

    Recognizers put a full stop after anything, so the last word is asked before the mark is.
    """
    said = words(text)
    stripped = plain(text).strip()
    if not said or _OPEN_END.search(stripped):
        return Completeness.INCOMPLETE
    together = " ".join(said)
    if _ASKS_ON.fullmatch(together):
        return Completeness.INCOMPLETE
    if yes_no(text) is not None and len(said) <= 4:
        return Completeness.COMPLETE
    if _QUESTION_END.search(stripped) and said[-1] not in _ARTICLES:
        return Completeness.COMPLETE
    if said[-1] in _NEVER_LAST or ("sí" not in text.lower() and _CONDITION.fullmatch(stripped.rstrip(".!"))):
        return Completeness.INCOMPLETE
    if together in _OPENERS or _ANNOUNCING.fullmatch(together):
        return Completeness.INCOMPLETE
    if _CLOSED_END.search(stripped) or together in _WHOLE_UTTERANCES:
        return Completeness.COMPLETE
    return Completeness.INCOMPLETE if said[-1] in _SELDOM_LAST else Completeness.OPEN


def hands_over(text: str) -> bool:
    """Return whether `text` ends as what leaves the floor to somebody: a question, a "por favor", a "gracias"."""
    return _QUESTION_END.search(text.strip()) is not None or _HANDS_OVER.search(" ".join(words(text))) is not None
