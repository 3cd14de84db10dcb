"""Greetings: how people answer the telephone in Spanish, and what their answering machines say instead."""

from __future__ import annotations

import re

from voiceagent.language.protocol import Greeting
from voiceagent.language.spanish.plain import words

__all__ = ["greeting"]

_NUMBER = r"(?:cero|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|\d+|asterisco|almohadilla|numeral|gato)"
_PRESS = r"(?:pulse|pulsa|marque|marca|oprima|presione|presiona|digite|teclee)"
_MACHINE = re.compile(
    r"\b(?:(?:deje|dejen|deja|dejar|dejenos|dejanos|dejeme|dejame) (?:aqui )?(?:su|sus|tu|tus|un|el|los|nos)"
    r" (?:breve )?(?:mensaje|nombre|numero|telefono|recado|datos)"
    r"|(?:despues de|tras|al oir|al escuchar|cuando oiga|cuando escuche|oira|escuchara|espere|a|luego de)"
    r" (?:la|el|oir la|oir el|escuchar la|escuchar el) (?:senal|tono|pitido|bip|beep)"
    r"|contestador(?:a)?|buzon(?: de (?:voz|mensajes))?|correo de voz|mensajes? de voz|casilla de (?:voz|mensajes)"
    r"|(?:grabe|graba|grabar) (?:su|tu|un|el) mensaje|cuando (?:termine|acabe|haya terminado) de (?:grabar|hablar)"
    r"|(?:se|te|os) (?:ha|has|han) (?:comunicado|puesto en contacto) con|(?:ha|has|han) llamado (?:a|al)"
    r"|se (?:comunico|ha comunicado) (?:a|al|con)|(?:esta|estas) llamando (?:a|al)"
    r"|(?:numero|telefono|abonado|cliente|usuario|persona|linea|movil|celular)"
    r" (?:al|a la|a quien|que)(?: que)?(?: usted)? (?:llama|llamo|marca|marco|ha|esta|intenta|desea)"
    r"|no (?:esta|estoy|estamos|se encuentra|me encuentro|nos encontramos)"
    r"(?: (?:en este momento|en estos momentos|ahora|ahora mismo|actualmente))? disponibles?"
    r"|no (?:puedo|podemos|puede|pueden|podre|podremos)(?: (?:en este momento|ahora|ahora mismo))?"
    r" (?:atender|contestar|responder|coger|tomar|ponerme|ponernos|ponerse)\w*"
    r"|apagado o (?:fuera|sin)|fuera de (?:cobertura|servicio|la oficina|horario|linea)|sin cobertura"
    r"|(?:le|te|les|os) (?:devolvere\w*|llamare\w*|contactare\w*|responder\w*)|devolver(?:e|emos) (?:su|la|tu) llamada"
    r"|nos pondremos en contacto|(?:me pondre|nos pondremos) en contacto"
    rf"|{_PRESS} (?:el |la )?(?:numero |tecla )?{_NUMBER}|{_PRESS} (?:la )?(?:extension|opcion)"
    r"|marque(?: \w+){0,3} extension|(?:escuche|oiga) (?:atentamente|con atencion)|las siguientes opciones"
    r"|su llamada (?:es (?:muy )?importante|puede ser|podra ser|sera|ha sido)|llamada (?:puede ser|sera) grabada"
    r"|horario de (?:atencion|oficina)|nuestro horario|estamos cerrados|nuestras oficinas"
    r"|diga su nombre|(?:asistente|filtro) de llamadas|no existe|(?:ha sido|esta) (?:desconectado|suspendido)"
    r"|temporalmente (?:suspendido|restringido|fuera)|no (?:esta|se encuentra) en servicio)\b"
)
"""What only recordings say: mailboxes, menus, offices that are closed, operators' announcements, call screening."""
_OPENINGS = (
    "hola", "diga", "digame", "si", "alo", "bueno", "buenos dias", "buenas tardes", "buenas noches", "buenas", "oigo",
    "mande", "pronto", "dime", "que tal", "a ver", "buen dia",
)  # fmt: skip
_PERSON = re.compile(
    r"\b(?:quien (?:es|habla|llama|eres|esta|me llama|me habla)|(?:de|por) parte de quien|con quien (?:hablo|quiere)"
    r"|(?:y )?usted quien es|a quien (?:busca|llama)|que (?:quiere|desea|se le ofrece|quieres|necesita)"
    r"|en que (?:le |te |lo |la )?puedo|de que se trata|me (?:oye|oyes|escucha|escuchas)"
    r"|no (?:le|te|lo|la|se) (?:oigo|oye|escucho|escucha)|hay alguien|esta ahi|estas ahi"
    r"|un (?:momento|momentito|segundo|segundito|minuto)|espere|espera|no cuelgue|soy yo|al habla|al aparato"
    r"|con (?:el|ella) habla|a sus ordenes|ahora (?:se pone|le paso|te paso))\b"
)
"""What is asked of whoever is on the line, or said to them: nobody records that."""
_FEW_WORDS = 4


def greeting(text: str) -> Greeting:
    """Return who is likely to have answered the telephone with `text`; one word of a recording outweighs the rest."""
    said = words(text)
    together = " ".join(said)
    if _MACHINE.search(together):
        return Greeting.RECORDED
    if _PERSON.search(together) or (len(said) <= _FEW_WORDS and _opens(said)):
        return Greeting.LIVE
    return Greeting.OPEN


def _opens(said: list[str]) -> bool:
    """Whether it is "hola" and the like, and nothing else."""
    at = 0
    while at < len(said):
        if " ".join(said[at : at + 2]) in _OPENINGS:
            at += 2
        elif said[at] in _OPENINGS:
            at += 1
        else:
            return False
    return bool(said)
