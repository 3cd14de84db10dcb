"""Wording: what the framework itself says, in each language that it is shipped in, and what a flow says instead."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from voiceagent.language import language_for
from voiceagent.spec.declared import Declared
from voiceagent.spec.filler import Filler
from voiceagent.spec.phase import Reprompts, no_input, no_match

__all__ = ["Phrases", "Wording", "shipped_wording", "with_words_of", "wording_in"]

_FILLER_WORDS = ("phrases", "later", "apology")


class Phrases(Declared):
    """What the framework itself says, in the flow's language. What is not given is said in words that are shipped."""

    apology: str = "I am sorry, something went wrong on my side."
    not_available: str = "I am sorry, I cannot continue this call right now. Please call again later. Goodbye."
    too_long: str = "We have reached the time limit of this call. Please call again. Goodbye."
    goodbye_silent: str = "I cannot hear you, so I will hang up now. Please call again. Goodbye."
    confirm_expired: str = "I did not get a clear yes, so I have not done anything."
    server_stops: str = "I am sorry, I have to end this call now. Please call again in a moment. Goodbye."
    resumed: str = "Sorry, we were cut off for a moment."
    not_understood: str = "I am sorry, I did not understand that."
    """Of a guided dialogue that does not say so in words of its own."""
    cannot: str = "I am sorry, I cannot do that right now."
    """The same, where what is wanted is not offered."""
    failed: str = "I am sorry, that did not work."
    """The same, where a tool has failed."""


class Wording(Declared):
    """Everything that is said without anybody having written it for a phase, in one language."""

    phrases: Phrases = Field(default_factory=Phrases)
    filler: Filler = Field(default_factory=Filler)
    """Of these the words count: how long to wait is the flow's."""
    no_input: Reprompts = Field(default_factory=no_input)
    no_match: Reprompts = Field(default_factory=no_match)
    backchannels: tuple[str, ...] = ("Mm-hm.", "I see.", "Okay.")
    """What says "I am listening" while the caller tells something long."""


_SPANISH = Wording(
    phrases=Phrases(
        apology="Lo siento, algo ha fallado por mi parte.",
        not_available="Lo siento, ahora mismo no puedo seguir con esta llamada. Llame más tarde, por favor. Adiós.",
        too_long="Hemos llegado al límite de tiempo de esta llamada. Vuelva a llamar, por favor. Adiós.",
        goodbye_silent="No le oigo, así que voy a colgar. Vuelva a llamar, por favor. Adiós.",
        confirm_expired="No he recibido un sí claro, así que no he hecho nada.",
        server_stops="Lo siento, tengo que terminar esta llamada. Llame de nuevo en un momento, por favor. Adiós.",
        resumed="Perdone, se ha cortado un momento.",
        not_understood="Lo siento, no le he entendido.",
        cannot="Lo siento, ahora mismo no puedo hacer eso.",
        failed="Lo siento, no ha funcionado.",
    ),
    filler=Filler(
        phrases=("Un momento.", "Déjeme ver.", "Un segundo."),
        later=("Sigo buscando, gracias por esperar.", "Está tardando un poco más, sigo aquí."),
        apology="Lo siento, ahora mismo está tardando demasiado.",
    ),
    no_input=Reprompts(phrases=("¿Sigue ahí?", "No le oigo. ¿Está ahí?")),
    no_match=Reprompts(phrases=("Perdone, ¿puede repetirlo?", "No le he entendido. ¿Otra vez, por favor?")),
    backchannels=("Ajá.", "Ya veo.", "Entiendo."),
)
_SHIPPED: Mapping[str, Wording] = {"en": Wording(), "es": _SPANISH}


def shipped_wording(locale: str) -> Wording:
    """Return the words that are shipped for a locale. Raises PhaseError for a language there is no module for."""
    return _SHIPPED[language_for(locale).locale]


def wording_in(locale: str, own: Mapping[str, Wording], phrases: Phrases | None) -> Wording:
    """Return the words of a locale: the flow's `phrases` and then its `own`, and what they leave unsaid as shipped."""
    shipped = shipped_wording(locale)
    language = language_for(locale).locale
    found = own.get(locale) or next((w for tag, w in own.items() if language_for(tag).locale == language), None)
    own_wording = found or shipped
    said = own_wording.model_fields_set
    return Wording(
        phrases=_filled(_filled(phrases, own_wording.phrases), shipped.phrases),
        filler=with_words_of(own_wording.filler, shipped.filler),
        no_input=own_wording.no_input if "no_input" in said else shipped.no_input,
        no_match=own_wording.no_match if "no_match" in said else shipped.no_match,
        backchannels=own_wording.backchannels if "backchannels" in said else shipped.backchannels,
    )


def with_words_of(filler: Filler, other: Filler, *, all_of_them: bool = False) -> Filler:
    """Return a filler with the words of another where it gives none itself, or whatever it gives."""
    unsaid = [name for name in _FILLER_WORDS if all_of_them or name not in filler.model_fields_set]
    return filler.model_copy(update={name: getattr(other, name) for name in unsaid})


def _filled(phrases: Phrases | None, others: Phrases) -> Phrases:
    """Return the others, but for what is said in words of its own."""
    if phrases is None:
        return others
    return others.model_copy(update={name: getattr(phrases, name) for name in sorted(phrases.model_fields_set)})
