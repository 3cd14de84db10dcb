"""Spanish on the telephone: who has answered, names by their sound, who looks something up, how long words take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.language.test_spanish import spelled
from voiceagent.language import language_for, word_ends
from voiceagent.language.protocol import Greeting
from voiceagent.language.spanish.common_words import is_common

SPANISH = language_for("es-ES")
PAYEES = ("Guillermo Vázquez", "José Peña", "Katherine Meyer", "Giménez", "Iberdrola", "Blanca")
EVERYDAY = ["blanca", "pagar", "quiero", "cuenta", "dinero", "llamando", "mañana", "casas", "enviarle", "hola"]

# --- who has answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "¿Diga?",
        "¿Dígame?",
        "¿Sí?",
        "¿Bueno?",
        "¿Aló?",
        "Hola, buenos días.",
        "¿Quién es?",
        "¿Sí, quién habla?",
        "¿De parte de quién?",
        "Sí, soy yo.",
        "Un momento, ahora se pone.",
        "¿Oiga? No le oigo bien, ¿me escucha?",
    ],
)
def test_a_person_answers_as_people_do(said: str) -> None:
    assert SPANISH.greeting(said) is Greeting.LIVE


@pytest.mark.parametrize(
    "said",
    [
        "Deje su mensaje después de la señal.",
        "Hola, soy Ana. Ahora no puedo atenderte, deja un mensaje al oír el tono.",
        "Este es el contestador automático del 6 1 2.",
        "El abonado al que llama no está disponible en este momento.",
        "El teléfono al que llama está apagado o fuera de cobertura.",
        "Se ha comunicado con la clínica Rivas. En este momento no podemos atenderle.",
        "Ha llamado a la familia Ortega, te llamaremos cuanto antes.",
        "El número que usted marcó no existe.",
        "Buzón de voz.",
        "Para ventas, marque uno; para soporte, pulse dos.",
        "Su llamada es muy importante para nosotros, no cuelgue.",
        "Nuestro horario de atención es de nueve a cinco.",
        "Hola, ¿quién es? No, es broma, deje un mensaje.",
    ],
)
def test_a_recording_is_known_by_what_only_recordings_say(said: str) -> None:
    assert SPANISH.greeting(said) is Greeting.RECORDED


@pytest.mark.parametrize("said", ["", "Soy María.", "Talleres Ortega, le atiende Luis", "hola hola hola hola hola"])
def test_what_both_may_say_decides_nothing(said: str) -> None:
    assert SPANISH.greeting(said) is Greeting.OPEN


# --- names by their sound --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("guiyermo basques", "Guillermo Vázquez"),
        ("Envía cien euros a Guillermo Basquez, por favor.", "Envía cien euros a Guillermo Vázquez, por favor."),
        ("josé penya", "José Peña"),
        ("un pago a Catrin Maier", "un pago a Katherine Meyer"),
        ("para Jimenes", "para Giménez"),
        ("iver drola", "Iberdrola"),
        ("⟨pin#1: 4 digits⟩ para jimenes", "⟨pin#1: 4 digits⟩ para Giménez"),
    ],
)
def test_a_name_that_was_misheard_is_the_one_that_is_hinted_at(heard: str, meant: str) -> None:
    assert SPANISH.with_names(heard, PAYEES) == meant


@pytest.mark.parametrize(
    "heard",
    [
        "la casa es blanca",  # an everyday word
        "josé peña",  # as it is written, but for its capitals
        "basques",  # half a name
        "a guillermo. Basques no",  # two sentences
        "Gimeno",
        "",
    ],
)
def test_what_is_no_name_that_is_hinted_at_stays_as_it_was_heard(heard: str) -> None:
    assert SPANISH.with_names(heard, PAYEES) == heard


def test_of_two_names_that_are_as_near_neither_is_taken() -> None:
    assert SPANISH.with_names("a jimenes", ("Giménez", "Jiménez")) == "a jimenes"


@given(st.lists(st.sampled_from(EVERYDAY), max_size=8), st.lists(st.text(max_size=12), max_size=5))
def test_everyday_words_are_never_taken_for_a_name(words: list[str], names: list[str]) -> None:
    assert all(map(is_common, EVERYDAY))
    text = " ".join(words)
    assert SPANISH.with_names(text, names) == text


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=5))
def test_any_text_is_understood_once_and_for_all(text: str, names: list[str]) -> None:
    once = SPANISH.with_names(text, names)
    assert SPANISH.with_names(text, ()) == text
    assert once == text or any(name in once for name in names)


# --- who looks something up ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "Es el, eh",
        "Mi número es",
        "El número de cuenta es el",
        "A ver.",
        "Déjeme buscar la tarjeta.",
        "Déjeme que la busque",
        "Voy a buscar mi DNI.",
        "Un momento, lo estoy buscando.",
        "Vale, déjame mirar.",
        "La tengo por aquí",
    ],
)
def test_a_caller_who_looks_for_the_number_has_begun_to_answer(said: str) -> None:
    assert SPANISH.looks_for_it(said)


@pytest.mark.parametrize(
    "said",
    [
        "No sé cuál es.",
        "Quiero hablar con una persona",
        "¿Es el de la tarjeta?",
        "Déjeme ver mi saldo",
        "Quiero buscar una sucursal",
        "Sí",
        "Cuatro cinco uno nueve",
        "",
    ],
)
def test_a_caller_who_says_something_else_does_not_look_for_it(said: str) -> None:
    assert not SPANISH.looks_for_it(said)


# --- how long words take ---------------------------------------------------------------------------------------------


def takes_ms(text: str) -> int:
    """How long a text takes without its pauses."""
    return sum(said_ms for said_ms, _ in SPANISH.word_lengths(text))


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("sol", 1),
        ("muy", 1),
        ("ciudad", 2),
        ("país", 2),
        ("leer", 2),
        ("día", 2),
        ("ahora", 3),
        ("aéreo", 4),
        ("yo", 1),
    ],
)
def test_a_word_takes_as_long_as_its_syllables(word: str, syllables: int) -> None:
    assert takes_ms(word) == syllables * takes_ms("sol")


@given(st.integers(0, 999_999))
def test_a_number_takes_as_long_as_its_words(number: int) -> None:
    words = spelled(number).replace("uno mil", "un mil")
    assert takes_ms(f"{number:,}".replace(",", ".")) == takes_ms(words)


def test_amounts_and_markup_take_as_long_as_what_is_said() -> None:
    assert takes_ms("1.250,50 €") == takes_ms("mil doscientos cincuenta euros con cincuenta céntimos")
    assert takes_ms("**nueve**") == takes_ms("nueve")
    assert takes_ms("3,5 puntos") == takes_ms("tres coma cinco puntos")


def test_punctuation_is_a_pause_behind_a_word() -> None:
    assert [pause_ms > 0 for _, pause_ms in SPANISH.word_lengths("Hola, buenos días.")] == [True, False, True]


_texts = st.text(st.sampled_from("aéy 1$,.-*²ñ "), max_size=40) | st.text(max_size=30)


@given(_texts, st.integers(0, 60_000))
def test_words_end_in_order_and_within_the_whole(text: str, whole_ms: int) -> None:
    lengths = SPANISH.word_lengths(text)
    assert len(lengths) == len(text.split(" "))
    ends = word_ends(lengths, whole_ms)
    assert ends == sorted(ends)
    assert all(0 <= end_ms <= whole_ms for end_ms in ends)
