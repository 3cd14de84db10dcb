"""Spanish: what callers mean by their words, and words that a voice can say."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.language import CLEAR_SCORE, Completeness, Relation, language_for

SPANISH = language_for("es-ES")
TODAY = date(2026, 11, 24)  # a Tuesday

ONES = ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve")
TEENS = (
    "diez", "once", "doce", "trece", "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve",
    "veinte", "veintiuno", "veintidós", "veintitrés", "veinticuatro", "veinticinco", "veintiséis", "veintisiete",
    "veintiocho", "veintinueve",
)  # fmt: skip
TENS = ("treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa")
HUNDREDS = (
    "ciento", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos", "setecientos", "ochocientos",
    "novecientos",
)  # fmt: skip
SURROUNDINGS = ("mi", "clave", "es", "un", "una", "y", "eh", "guion", "la", "doble", "por favor", "-", ",", ".", "¿")

ids = st.text("0123456789", min_size=1, max_size=16)


def spelled(number: int) -> str:
    """Return a number below a million as it is said."""
    if number >= 1000:
        head = "mil" if number < 2000 else f"{spelled(number // 1000)} mil"
        return f"{head} {spelled(number % 1000)}" if number % 1000 else head
    if number == 100:
        return "cien"
    if number > 100:
        return f"{HUNDREDS[number // 100 - 1]} {spelled(number % 100)}" if number % 100 else HUNDREDS[number // 100 - 1]
    if number >= 30:
        return f"{TENS[number // 10 - 3]} y {ONES[number % 10]}" if number % 10 else TENS[number // 10 - 3]
    return ONES[number] if number < 10 else TEENS[number - 10]


# --- digits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("cuatro cinco uno nueve", "4519"),
        ("Mi número de cuenta es cuatro cinco uno nueve, dos dos siete.", "4519227"),
        ("4519-227", "4519227"),
        ("doble cuatro", "44"),
        ("doble cero siete", "007"),
        ("triple cuatro uno", "4441"),
        ("cinco y tres ceros", "5000"),
        ("veintitrés cuarenta y cinco", "2345"),
        ("veintitres cuarenta y cinco", "2345"),
        ("cuarenta y cinco diecinueve", "4519"),
        ("cuarenta cinco", "45"),
        ("mil novecientos ochenta y siete", "1987"),
        ("dos mil seis", "2006"),
        ("ciento cinco", "105"),
        ("ochocientos cinco cinco cinco", "800555"),
        ("cuatro cinco eh uno guion nueve", "4519"),
        ("Cuatro, cinco. Uno, nueve.", "4519"),
        ("cuatro cinco uno, perdón, cuatro cinco dos", "452"),
        ("mi clave es uno dos tres cinco, digo, uno dos tres cuatro", "1234"),
        ("clave uno dos tres cuatro, perdón, cuenta cuatro cinco uno nueve", "12344519"),
        ("las últimas tres operaciones", "3"),
        ("cada uno", ""),
        ("un momento, por favor", ""),
        ("una cosa", ""),
        ("ninguno", ""),
    ],
)
def test_digits_are_found_however_they_are_said(said: str, meant: str):
    assert SPANISH.digits(said) == meant


@given(ids)
def test_digits_said_one_by_one_come_back(number: str):
    assert SPANISH.digits(" ".join(ONES[int(digit)] for digit in number)) == number


@given(st.integers(0, 999_999))
def test_a_cardinal_is_its_digits(number: int):
    assert SPANISH.digits(spelled(number)) == str(number)
    assert SPANISH.number(spelled(number)) == number


@given(st.lists(st.one_of(st.sampled_from([*ONES, *TEENS, *TENS, *SURROUNDINGS]), ids), max_size=12))
def test_nothing_that_may_be_a_digit_lies_outside_of_a_span(words: list[str]):
    text = " ".join(words)
    outside, at = "", 0
    for span in SPANISH.digit_spans(text):
        outside += text[at : span.start] + " "
        at = span.end
    left = (outside + text[at:]).split()
    assert not any(char.isdecimal() for char in " ".join(left))
    assert not {*TEENS, *TENS, *ONES[2:]} & set(left)


@pytest.mark.parametrize(("between", "goes_on"), [("", True), (" luego ", True), (", eh, ", True), (" y ", False)])
def test_a_number_goes_on_over_words_that_say_so(between: str, *, goes_on: bool):
    assert SPANISH.goes_on(between) is goes_on


# --- amounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Quiero transferir doscientos cincuenta euros a mis ahorros.", "250"),
        ("un cargo de cuarenta y nueve euros con noventa y nueve", "49.99"),
        ("doce euros y cincuenta céntimos", "12.50"),
        ("doce con cincuenta", "12.50"),
        ("12,50 €", "12.50"),
        ("€12.50", "12.50"),
        ("1.234,50 euros", "1234.50"),
        ("1,234.50 dólares", "1234.50"),
        ("1.500 euros", "1500"),
        ("cincuenta céntimos", "0.50"),
        ("un euro", "1"),
        ("un euro y medio", "1.50"),
        ("veintiún euros", "21"),
        ("treinta y una libras", "31"),
        ("mil euros", "1000"),
        ("dos mil quinientos", "2500"),
        ("un millón de euros", "1000000"),
        ("doscientos. Cincuenta euros.", "250"),
        ("doscientos, eh, cincuenta euros", "250"),
        ("no cincuenta, sesenta euros", "60"),
        ("a la cuenta dos, cien euros", "100"),
    ],
)
def test_an_amount_is_understood(said: str, meant: str):
    assert SPANISH.amount(said) == Decimal(meant)


@pytest.mark.parametrize(
    "said",
    ["unos doscientos euros", "un par de cientos", "cien o doscientos euros", "cuarenta minutos", "menos cien", "nada",
     "medio millón", "doce euros con cinco", "un momento", ""],
)  # fmt: skip
def test_an_unclear_amount_is_none(said: str):
    assert SPANISH.amount(said) is None


@pytest.mark.parametrize(
    ("said", "open_"), [("doscientos", True), ("mil", True), ("3.000", True), ("doscientos diez", False)]
)
def test_a_round_number_may_go_on(said: str, *, open_: bool):
    assert SPANISH.number_may_go_on(said) is open_


@given(st.decimals(0, 99_999, places=2), st.sampled_from(["EUR", "USD", "MXN", "GBP"]))
def test_an_amount_that_is_said_is_understood(amount: Decimal, currency: str):
    assert SPANISH.amount(SPANISH.spoken_amount(amount, currency)) == amount


# --- dates and times -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("catorce de marzo de 1987", date(1987, 3, 14)),
        ("Nací el catorce de marzo de mil novecientos ochenta y siete.", date(1987, 3, 14)),
        ("el veintitrés de abril del 92", date(1992, 4, 23)),
        ("tres de octubre. De 1992.", date(1992, 10, 3)),
        ("14/3/1987", date(1987, 3, 14)),
        ("3/14/1987", date(1987, 3, 14)),
        ("1987-03-14", date(1987, 3, 14)),
        ("uno cuatro cero tres uno nueve ocho siete", date(1987, 3, 14)),
        ("el tres de octubre", date(2026, 10, 3)),
        ("el uno de mayo", date(2027, 5, 1)),
        ("primero de mayo", date(2027, 5, 1)),
        ("el quince", date(2026, 12, 15)),
        ("hoy", TODAY),
        ("mañana", date(2026, 11, 25)),
        ("pasado mañana", date(2026, 11, 26)),
        ("mañana por la mañana", date(2026, 11, 25)),
        ("ayer", date(2026, 11, 23)),
        ("anteayer", date(2026, 11, 22)),
        ("el martes que viene", date(2026, 12, 1)),
        ("el viernes", date(2026, 11, 27)),
        ("el martes pasado", date(2026, 11, 17)),
        ("dentro de tres días", date(2026, 11, 27)),
        ("dentro de una semana", date(2026, 12, 1)),
        ("dentro de un mes", date(2026, 12, 24)),
        ("hace dos semanas", date(2026, 11, 10)),
        ("el lunes por la mañana", date(2026, 11, 30)),
    ],
)
def test_a_date_is_understood(said: str, meant: date):
    assert SPANISH.date(said, TODAY) == meant


@pytest.mark.parametrize("said", ["treinta y uno de febrero", "el lunes o el martes", "por la mañana", "en mayo", ""])
def test_what_is_no_single_day_is_none(said: str):
    assert SPANISH.date(said, TODAY) is None


@given(st.dates(date(1900, 1, 1), date(2036, 12, 31)))
def test_a_date_that_is_said_is_understood(day: date):
    assert SPANISH.date(SPANISH.spoken_date(day), TODAY) == day


@given(st.integers(-300, 300))
def test_a_day_without_its_year_is_the_nearest(days: int):
    day = TODAY + timedelta(days=days)
    said = SPANISH.spoken_date(day).rpartition(" de ")[0]
    found = SPANISH.date(said, TODAY)
    assert found is not None
    assert abs((found - TODAY).days) <= 184


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("a las nueve y media", time(9, 30)),
        ("las diez menos cuarto", time(9, 45)),
        ("las tres de la tarde", time(15)),
        ("a la una", time(13)),
        ("la una y cuarto de la tarde", time(13, 15)),
        ("las seis de la mañana", time(6)),
        ("a las once de la noche", time(23)),
        ("las doce de la noche", time(0)),
        ("mañana a las cinco", time(17)),
        ("por la mañana a las diez", time(10)),
        ("a mediodía", time(12)),
        ("medianoche", time(0)),
        ("21:30", time(21, 30)),
        ("las veintiuna treinta", time(21, 30)),
        ("nueve", time(9)),
    ],
)
def test_a_time_is_understood(said: str, meant: time):
    assert SPANISH.time_of_day(said) == meant


@pytest.mark.parametrize("said", ["entre las nueve y las diez", "dos personas", "quizás", ""])
def test_what_is_no_single_time_is_none(said: str):
    assert SPANISH.time_of_day(said) is None


@given(st.times())
def test_a_time_that_is_said_is_understood(moment: time):
    minute = moment.replace(second=0, microsecond=0)
    assert SPANISH.time_of_day(SPANISH.spoken_time(minute)) == minute


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    ["Sí.", "si", "Sí, claro.", "claro", "Claro que sí", "Por supuesto.", "vale", "De acuerdo.", "correcto", "Eso es.",
     "Sí, por favor.", "sí, transfiera el dinero", "No hay problema.", "¡Sí!", "Eh, sí.", "Exacto, eso es.", "Ajá.",
     "sí señor", "muy bien", "está bien", "adelante", "confirmo"],
)  # fmt: skip
def test_consent_is_a_yes(said: str):
    assert SPANISH.yes_no(said) is True


@pytest.mark.parametrize(
    "said",
    ["No.", "no, gracias", "Claro que no.", "Para nada.", "No, está bien.", "incorrecto", "cancele", "Todavía no.",
     "no lo haga", "Mejor no.", "No, a la de ahorros.", "No quiero.", "que no", "nunca"],
)  # fmt: skip
def test_refusal_is_a_no(said: str):
    assert SPANISH.yes_no(said) is False


@pytest.mark.parametrize(
    "said",
    ["No sé.", "Quizás.", "¿Sí?", "Sí, pero cincuenta.", "sí y no", "Si puede ser.", "depende", "mi cuenta", "",
     "Sí, a la de ahorros.", "No entiendo.", "tal vez", "sí, mañana", "buenos días", "Si no es mucho."],
)  # fmt: skip
def test_neither_is_asked_again(said: str):
    assert SPANISH.yes_no(said) is None


# --- turns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["", "...", "[música]", "Y.", "y y"])
def test_what_recognizers_make_of_noise_is_noise(said: str):
    assert SPANISH.is_noise(said)


@pytest.mark.parametrize("said", ["sí", "eh", "dos", "no"])
def test_words_are_no_noise(said: str):
    assert not SPANISH.is_noise(said)


@pytest.mark.parametrize(
    "said",
    ["Ajá.", "mm-hm", "Mmmm.", "Mhmm, mhm", "M-hm, vale", "Vale.", "claro, claro", "Ya veo.", "entiendo", "Muy bien."],
)
def test_listening_is_a_backchannel(said: str):
    assert SPANISH.is_backchannel(said)


@pytest.mark.parametrize("said", ["espere", "no", "vale, la de ahorros", "", "M", "Mamá."])
def test_taking_the_floor_is_no_backchannel(said: str):
    assert not SPANISH.is_backchannel(said)


@pytest.mark.parametrize("said", ["Espere un momento.", "Un segundo, por favor.", "Déjeme buscarla.", "no cuelgue"])
def test_asking_for_a_moment_is_heard(said: str):
    assert SPANISH.asks_to_wait(said)


@pytest.mark.parametrize("said", ["¿Un momento de qué?", "quiero mi saldo", ""])
def test_wanting_something_is_not_asking_for_a_moment(said: str):
    assert not SPANISH.asks_to_wait(said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Quiero transferir dinero a mi cuenta y", Completeness.INCOMPLETE),
        ("Quería saber.", Completeness.INCOMPLETE),
        ("Mi tarjeta, eh", Completeness.INCOMPLETE),
        ("Me la robaron en", Completeness.INCOMPLETE),
        ("Si mañana llueve", Completeness.INCOMPLETE),
        ("", Completeness.INCOMPLETE),
        ("Disculpe.", Completeness.INCOMPLETE),
        ("Por favor.", Completeness.INCOMPLETE),
        ("Si es correcto.", Completeness.INCOMPLETE),
        ("Llamo por la cuenta número.", Completeness.INCOMPLETE),
        ("Póngame con la extensión.", Completeness.INCOMPLETE),
        ("¿Disculpe?", Completeness.COMPLETE),
        ("Quiero cambiar de número.", Completeness.COMPLETE),
        ("No tengo la extensión.", Completeness.COMPLETE),
        ("Quiero saber mi saldo.", Completeness.COMPLETE),
        ("¿Cuánto tengo en la cuenta?", Completeness.COMPLETE),
        ("Sí", Completeness.COMPLETE),
        ("hola", Completeness.COMPLETE),
        ("me han cobrado dos veces la compra", Completeness.OPEN),
    ],
)
def test_a_pause_is_judged_by_the_words_before_it(said: str, expected: Completeness):
    assert SPANISH.completeness(said) is expected


def test_a_question_or_a_please_leaves_the_floor() -> None:
    assert all(map(SPANISH.hands_over, ["¿Cuál es mi saldo?", "Mi saldo, por favor.", "No, muchas gracias.", "Adiós."]))
    assert not any(map(SPANISH.hands_over, ["", "Me robaron la tarjeta.", "Por favor, bloquee mi tarjeta."]))


# --- letters, relations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("be de Barcelona, a de Ávila", "BA"),
        ("efe ele o erre", "FLOR"),
        ("doble ele", "LL"),
        ("uve doble", "W"),
        ("i griega, zeta", "YZ"),
        ("eñe de ñandú", "Ñ"),
        ("pe e eñe a", "PEÑA"),
        ("b c d", "BCD"),
        ("de la cuenta", ""),
    ],
)
def test_letters_are_spelled_as_one_spells(said: str, meant: str):
    assert SPANISH.letters(said) == meant


@pytest.mark.parametrize(
    ("before", "meant"),
    [
        ("de mi cuenta de", Relation.SOURCE),
        ("desde la", Relation.SOURCE),
        ("pásalo a mi", Relation.GOAL),
        ("para la cuenta", Relation.GOAL),
        ("no a", Relation.REFUSED),
        ("la", Relation.NONE),
    ],
)
def test_little_words_say_what_is_meant(before: str, meant: Relation):
    assert SPANISH.relation(before) is meant


def test_what_is_denied_and_what_is_asked():
    assert SPANISH.denied("no me la han robado") == ("robado",)
    assert SPANISH.asks_whether("¿Está bloqueada mi tarjeta?")
    assert SPANISH.asks_whether("¿Por qué está bloqueada?")
    assert not SPANISH.asks_whether("¿Puede bloquear mi tarjeta?")
    assert not SPANISH.asks_whether("Está bloqueada.")


# --- phrases ---------------------------------------------------------------------------------------------------------

BANK = {
    "balance": ["quiero saber mi saldo", "cuánto dinero tengo"],
    "transfer": ["quiero hacer una transferencia", "enviar dinero a mis ahorros"],
    "lost_card": ["he perdido mi tarjeta", "me han robado la tarjeta"],
    "human": ["quiero hablar con una persona", "póngame con un agente"],
}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("¿Me puede decir mi saldo?", "balance"),
        ("cuánto me queda en la cuenta", "balance"),
        ("Quiero transferir cincuenta euros.", "transfer"),
        ("mande cien euros a ahorros", "transfer"),
        ("No encuentro mi tarjeta.", "lost_card"),
        ("perdí la tarjeta ayer", "lost_card"),
        ("páseme con un operador", "human"),
        ("quiero hablar con alguien", "human"),
    ],
)
def test_unseen_phrasings_find_their_label(said: str, meant: str):
    label, score = SPANISH.phrase_index(BANK).best(said)[0]
    assert (label, score >= CLEAR_SCORE) == (meant, True)


@pytest.mark.parametrize("said", ["hace buen tiempo hoy", "me gusta el fútbol", "¿quién ganó ayer?", "mi perro ladra"])
def test_other_talk_finds_no_label(said: str):
    assert SPANISH.phrase_index(BANK).best(said)[0][1] < CLEAR_SCORE


def test_who_does_not_want_something_is_not_given_it():
    index = SPANISH.phrase_index(BANK)
    assert index.best("no quiero hacer una transferencia")[0][1] < CLEAR_SCORE


# --- what the agent says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Tiene 1.234,50 €.", "Tiene 1234 euros con 50 céntimos."),
        ("Cuesta €1 o -5 €.", "Cuesta un euro o menos 5 euros."),
        ("50 USD", "50 dólares"),
        ("el 2026-11-24", "el 24 de noviembre de 2026"),
        ("el 3/11/2026", "el 3 de noviembre de 2026"),
        ("cuenta terminada en 4519", "cuenta terminada en 4 5 1 9"),
        ("Llame al 555-0198.", "Llame al 5 5 5, 0 1 9 8."),
        ("jo.perez@banco.es", "jo punto perez arroba banco punto es"),
        ("Vea https://www.ejemplo.com/ayuda?x=1.", "Vea ejemplo punto com barra ayuda."),
        ("3-5 días, 3,5%", "3 a 5 días, 3,5 por ciento"),
        ("El Sr. Pérez, p. ej., etc.", "El señor Pérez, por ejemplo, etcétera."),
        ("**Hola** _mundo_ 😀", "Hola mundo"),
        ("# Título\n- uno\n- dos", "Título. uno. dos"),
        ("¿Sigue ahí?", "¿Sigue ahí?"),
    ],
)
def test_text_becomes_words_that_can_be_read_out(written: str, spoken: str):
    assert SPANISH.speakable(written) == spoken


@given(st.text(max_size=60))
def test_nothing_unspeakable_is_left_and_nothing_raises(text: str):
    spoken = SPANISH.speakable(text)
    assert not any(mark in spoken for mark in "*`{}[]|<>_#@")
    SPANISH.digit_spans(text)
    SPANISH.amount(text), SPANISH.number(text), SPANISH.date(text, TODAY), SPANISH.time_of_day(text)
    SPANISH.yes_no(text), SPANISH.completeness(text), SPANISH.letters(text), SPANISH.is_noise(text)
    SPANISH.phrase_index(BANK).best(text)


def test_lists_and_lone_units_are_said_as_people_say_them():
    assert SPANISH.spoken_list([]) == ""
    assert SPANISH.spoken_list(["ahorros", "nómina", "inversión"]) == "ahorros, nómina e inversión"
    assert SPANISH.spoken_amount(Decimal("1.01"), "GBP") == "una libra con un penique"
    assert SPANISH.spoken_amount(Decimal("-2"), "CLP") == "menos 2 pesos"


def test_a_stream_is_cut_where_spanish_sentences_end():
    splitter = SPANISH.clause_splitter()
    said = [*splitter.feed("El Sr. Pérez ha llamado. ¿Le paso? "), *splitter.flush()]
    assert said == ["El Sr. Pérez ha llamado.", "¿Le paso?"]
