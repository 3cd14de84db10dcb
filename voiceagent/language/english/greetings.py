"""Greetings: how people answer the telephone, and what their answering machines say instead."""

from __future__ import annotations

import re

from voiceagent.language.protocol import Greeting

__all__ = ["greeting"]

_MACHINE = re.compile(
    r"\b(?:leave (?:me |us |him |her |them )?(?:a|your) (?:brief |short |detailed )?(?:message|name|number|voicemail)"
    r"|leave (?:your name|a name|your details)"
    r"|(?:after|at|on hearing|hear|wait for|following) (?:the|a|this) (?:tone|beep|signal)"
    r"|voice ?mail|voice ?mailbox|voice messag\w+|mailbox|answering (?:machine|service)|answerphone"
    r"|(?:record|recording) (?:your|a) message|when you(?: have|'ve|'re| are) (?:finished|done)"
    r"|you(?: have|'ve)? reached|you(?: have|'ve) called|the (?:person|party|number|customer|subscriber)"
    r" (?:you|that you)(?: are|'re| have|'ve)? (?:calling|called|dialed|dialled|trying|have|is)"
    r"|(?:is|are|am|i'm|we're|he's|she's|currently) (?:not|un) ?available|(?:is|are|i'm|we're) unavailable"
    r"|(?:can't|cannot|can not|unable to|not able to|couldn't) (?:come to the (?:phone|telephone)"
    r"|(?:take|answer|get to) (?:your|the|this|my) (?:call|phone|telephone)|pick up(?: the phone)?)"
    r"|out of the office|away from (?:my desk|my phone|the office|home)"
    r"|not (?:here|in|home|at home) (?:right now|at the moment)"
    r"|(?:get|call|ring) (?:right )?(?:back to you|you (?:right )?back)|return your call"
    r"|press(?:ing)? (?:the )?(?:one|two|three|four|five|six|seven|eight|nine|zero|star|pound|hash|\d)\b"
    r"|for \w+(?: \w+)?,? press|para espa\w+|please listen carefully|menu (?:options|has changed)"
    r"|your call (?:is (?:very )?important|has been forwarded|may be (?:recorded|monitored)|will be answered)"
    r"|(?:office|opening|business) hours|(?:we are|we're) (?:currently )?closed"
    r"|(?:record|state|say) your name(?: and)?|call(?:ing)? assistant|screening (?:this|your) call"
    r"|no longer in service|not in service|has been disconnected|memory is full)\b"
)
"""What only recordings say: mailboxes, menus, offices that are closed, operators' announcements, call screening."""
_OPENINGS = (
    "hello", "hi", "hey", "yes", "yeah", "yep", "good morning", "good afternoon", "good evening", "speaking",
    "hello hello", "who's this", "oh hello", "yes hello", "hello yes", "ahoy", "morning", "evening",
)  # fmt: skip
_PERSON = re.compile(
    r"\b(?:who(?:'s| is| am i| are)? (?:this|that|it|there|calling|speaking|you)|who's calling|who is calling"
    r"|may i ask who|can i ask who|what (?:do you want|is this about|'s this about|can i do for you)"
    r"|(?:are|is) (?:you|anyone|anybody|somebody|someone) there|can you hear me|i can't hear you|i can hear you"
    r"|hold on|hang on|one (?:moment|second)|wait a (?:moment|second|minute)|i'm here|i am here|don't hang up"
    r"|(?:he|she|it)(?:'s| is) (?:me|speaking)|this is (?:he|she|him|her))\b|\bspeaking$"
)
"""What is asked of whoever is on the line, or said to them: nobody records that."""
_FEW_WORDS = 4
_WORD = re.compile(r"[\w]+(?:['-]\w+)*")


def greeting(text: str) -> Greeting:
    """Return who is likely to have answered the telephone with `text`; one word of a recording outweighs the rest."""
    words = _WORD.findall(text.lower().replace("’", "'"))
    said = " ".join(words)
    if _MACHINE.search(said):
        return Greeting.RECORDED
    if _PERSON.search(said) or (len(words) <= _FEW_WORDS and _opens(words)):
        return Greeting.LIVE
    return Greeting.OPEN


def _opens(words: list[str]) -> bool:
    """Whether it is "hello" and the like, and nothing else."""
    at = 0
    while at < len(words):
        if " ".join(words[at : at + 2]) in _OPENINGS:
            at += 2
        elif words[at] in _OPENINGS:
            at += 1
        else:
            return False
    return bool(words)
