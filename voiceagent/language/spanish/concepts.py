"""What a Spanish sentence is about: its content words, stemmed, synonyms made one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voiceagent.language.similarity import Concept
from voiceagent.language.spanish.digits import digit_spans
from voiceagent.language.spanish.hearing import ASKING_TO_WAIT
from voiceagent.language.spanish.plain import words
from voiceagent.language.words import word_set

__all__ = ["Synonyms", "concepts", "synonym_table"]

Synonyms = Mapping[tuple[str, ...], str]
"""From a sequence of stems to the concept that stands for it."""

_STOP_WORDS = word_set(
    """
    el la los las un una unos unas lo al del de a en con sin por para desde hasta entre sobre y e o u ni que si no
    pero porque como cuando donde quien cual cuales cuanto cuanta este esta esto ese esa eso aquel mi mis tu tus su sus
    nuestro yo me te se le les nos usted ustedes ella ellos es son era eran fue ser sido soy estoy esta estan estaba
    estar hay ha han he haber hacer hace hago haga hizo tengo tiene tener tenia tuve voy va ir vamos puede puedo podria
    poder quiero quisiera querria gustaria queria quiere querer necesito necesitaria necesita necesitar favor deseo
    saber sabe decir dice digame diga dime ver mirar mire mira buscar encontrar poner dar deme dame hola buenas buenos
    dias tardes noches gracias muchas muy mas menos ya ahora hoy ayer manana luego despues tambien todo toda todos algo
    nada alguien cosa cosas bien bueno vale claro pues eh em ah oh ay perdon perdone oiga senor senora verdad aqui ahi
    alli dia semana mes ano hora minuto momento vez otra otro mismo solo aun todavia siempre nunca creo parece ayuda
    ayudar ayudeme pasa pasado tan tanto asi entonces hacia lunes martes miercoles jueves viernes sabado domingo
    """
)
_SYNONYMS: Sequence[Sequence[str]] = (
    ("saldo", "cuanto dinero", "cuanto tengo", "cuanto me queda", "cuanto hay", "que tengo en la cuenta",
     "dinero queda", "dinero tengo", "disponible"),
    ("dinero", "plata", "efectivo", "pasta", "euro", "dolar", "peso"),
    ("transferir", "transferencia", "enviar", "mandar", "mover", "pasar dinero", "traspasar", "traspaso", "girar",
     "envio", "pasar"),
    ("movimiento", "compra", "cargo", "transaccion", "operacion", "gasto", "gastado", "extracto", "pagos recientes"),
    ("pagar", "pago", "abonar"),
    ("factura", "recibo", "deuda"),
    ("reclamar", "disputar", "fraude", "fraudulento", "no reconozco", "no he hecho", "no hice", "no autorice",
     "estafa", "sospechoso", "cobrado dos veces", "no fui yo", "no es mio", "extrano"),
    ("devolucion", "reembolso", "devolver", "devuelvan"),
    ("tarjeta", "visa", "mastercard"),
    ("cuenta", "cuenta bancaria"),
    ("perdida", "perder", "perdi", "perdido", "robada", "robo", "robado", "robaron", "no encuentro", "extraviado",
     "extraviada", "desaparecido"),
    ("bloquear", "bloqueo", "bloqueen", "anular la tarjeta", "cancelar la tarjeta", "congelar", "desactivar"),
    ("pin", "clave", "contrasena"),
    ("persona", "agente", "humano", "operador", "operadora", "asesor", "asesora", "representante", "companero",
     "encargado", "hablar con alguien", "alguien de verdad", "paseme", "paseme con", "pongame con"),
    ("repetir", "repita", "repite", "otra vez", "de nuevo", "no he oido", "no le he oido", "como dice",
     "como ha dicho"),
    ("adios", "hasta luego", "eso es todo", "nada mas", "colgar", "he terminado", "ya esta", "es todo", "chao",
     "muchas gracias adios", "no necesito nada mas"),
    ASKING_TO_WAIT,
    ("otra cosa", "algo mas", "otra pregunta", "una cosa mas"),
    ("cancelar", "anular", "cancelacion", "dejarlo", "he cambiado de idea", "no puedo ir", "dejalo", "dejelo"),
    ("reservar", "reserva", "pedir cita", "pedir hora", "coger hora", "concertar", "agendar", "solicitar"),
    ("cita", "hora libre", "visita"),
    ("cambiar", "modificar", "aplazar", "mover la cita", "otro dia", "cambio"),
    ("pedido", "paquete", "envio del pedido", "entrega"),
    ("horario", "abrir", "abren", "abierto", "cerrar", "cierran", "a que hora abren"),
    ("direccion", "oficina", "sucursal", "donde estan", "ubicacion"),
    ("precio", "cuesta", "costar", "coste", "vale", "tarifa"),
    ("averia", "roto", "no funciona", "estropeado", "danado"),
    ("ingles", "english", "en ingles", "hablar ingles"),
    ("espanol", "castellano", "spanish", "en espanol", "hablar espanol"),
)  # fmt: skip
_EVERYDAY_WORDS = word_set(
    """
    abrir anadir cambiar caer cerrar coger comprar cuenta dejar dinero empezar enviar gasto libre linea llamar llegar
    mandar mover numero nuevo pagar parar pasar perder perdido persona precio punto sacar tarjeta terminar tocar valer
    visita
    """
)
"""Words that people use about anything: alone they say little about what a caller wants."""
_OWN = word_set("mi mis nuestra nuestro")
_CURRENCIES = word_set("euro euros dolar dolares peso pesos libra libras centimo centimos centavo centavos")
_THANKS = "gracias"
_REFUSAL = "!rechazo"
_REFUSALS = ("no quiero", "no necesito", "ya no quiero", "ya no necesito", "no me interesa", "no queria", "no deseo")


def concepts(text: str, synonyms: Synonyms) -> list[Concept]:
    """Return the concepts in `text`, in order, with repetitions; numbers and amounts of money are none.

    "No quiero" is a concept of its own, which begins with "!": it turns the others around.
    """
    said = words(_without_numbers(text))
    stems = [_stem(word) for before, word in zip(("", *said), said, strict=False) if not _is_price(before, word)]
    found: list[Concept] = []
    at = 0
    while at < len(stems):
        length, concept = _longest(stems, at, synonyms)
        if length > 1 or stems[at] not in _STOP_STEMS or synonyms.get((stems[at],)) != _GENERAL.get((stems[at],)):
            everyday = length == 1 and stems[at] in _EVERYDAY_STEMS and not (at and stems[at - 1] in _OWN_STEMS)
            found.append(Concept(concept, 1 if everyday else 2))
        at += length
    if not found and _THANKS in said:
        found.append(Concept(_THANKS, 2))
    return found


def synonym_table(groups: Sequence[Sequence[str]] = ()) -> Synonyms:
    """Return the general synonyms with a flow's own; where they differ, the flow's win."""
    table = dict(_GENERAL)
    for group in groups:
        _add(table, group)
    return table


def _without_numbers(text: str) -> str:
    left, at = "", 0
    for span in digit_spans(text):
        left += f"{text[at : span.start]} 0 "
        at = span.end
    return left + text[at:]


def _is_price(before: str, word: str) -> bool:
    return word == "0" or (before == "0" and word in _CURRENCIES)


def _longest(stems: Sequence[str], at: int, synonyms: Synonyms) -> tuple[int, str]:
    for length in range(min(_LONGEST_SYNONYM, len(stems) - at), 0, -1):
        concept = synonyms.get(tuple(stems[at : at + length]))
        if concept is not None:
            return length, concept
    return 1, stems[at]


_ENDINGS = (
    "aciones", "acion", "amiento", "imiento", "aremos", "iendo", "ando", "arla", "arlo", "arme", "erla", "erlo", "irla",
    "irlo", "aron", "ieron", "ados", "adas", "idos", "idas", "ado", "ada", "ido", "ida", "aba", "ar", "er", "ir", "es",
    "os", "as", "an", "en", "o", "a", "e", "s",
)  # fmt: skip
_LEAST = 3


def _stem(word: str) -> str:
    """Return a light stem: gender, number and the endings of verbs go; what is left need not be a word."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST:
            return word.removesuffix(ending)
    return word


def _add(table: dict[tuple[str, ...], str], group: Sequence[str]) -> None:
    concept = " ".join(_stem(word) for word in words(group[0]))
    for phrase in group:
        table[tuple(_stem(word) for word in words(phrase))] = concept


def _general() -> dict[tuple[str, ...], str]:
    table: dict[tuple[str, ...], str] = {}
    for group in _SYNONYMS:
        _add(table, group)
    for phrase in _REFUSALS:
        table[tuple(_stem(word) for word in words(phrase))] = _REFUSAL
    return table


_STOP_STEMS = frozenset(_stem(word) for word in _STOP_WORDS)
_EVERYDAY_STEMS = frozenset(_stem(word) for word in _EVERYDAY_WORDS)
_OWN_STEMS = frozenset(_stem(word) for word in _OWN)
_GENERAL = _general()
_LONGEST_SYNONYM = max(len(phrase) for phrase in _GENERAL)
