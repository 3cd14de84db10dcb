"""What an English sentence is about: its content words, stemmed, synonyms made one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from voiceagent.language.english.hearing import ASKING_TO_WAIT
from voiceagent.language.similarity import Concept
from voiceagent.language.words import word_set

__all__ = ["Synonyms", "concepts", "synonym_table"]

Synonyms = Mapping[tuple[str, ...], str]
"""From a sequence of stems to the concept that stands for it."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+(?:st|nd|rd|th)?\b|\d+")

_CONTRACTIONS = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not",
    "gonna": "going to", "wanna": "want to", "gotta": "got to", "lemme": "let me",
    "gimme": "give me", "dunno": "do not know", "let's": "let us",
}  # fmt: skip
_ENDINGS = {
    "n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'d": " would", "'m": " am",
    "'s": "",
}  # fmt: skip

_IRREGULAR = {"checking": "checking", "saving": "savings", "savings": "savings", "lately": "lately"}
"""Words that a light stem would make another word of."""

_STOP_WORDS = word_set(
    """
    a an the this that these those there here it its itself
    i me my mine myself we us our ours you your yours he him his she her hers they them their
    am is are was were be been being do does did doing done have has had having
    can could will would shall should may might must ought
    want wants wanted need needs needed like liked please help try trying tried wish hope love
    get got getting go going gone went come came coming let make making made take taking give giving put
    know tell telling told say said see look looking think thought thinking wonder wondering
    to of in on at by for from with about into onto over under up down out off as than then
    and or but so if because while not no yes yeah yep okay ok well oh um uh er hi hello hey
    what which who whom whose when where why how much many
    just really very quite actually also too still now right away only even ever again some any
    all one thing things something anything stuff way bit lot
    today thanks thank sorry sure good morning afternoon evening kind sort maybe possible possibly
    able back find question calling call called bring show keep used use using
    last next first other another else more less day week month year night time date soon later ago
    tomorrow yesterday tonight monday tuesday wednesday thursday friday saturday sunday noon
    minute second hour moment talk speak say mean work
    january february march april june july august september october november december
    nope nah yup instead list few couple sir ma'am madam wait read hear figure prefer rather
    supposed everything everybody everyone since until during alright great perfect cool fine lovely awesome wonderful
    excellent cheers
    """
)

_SYNONYMS: Sequence[Sequence[str]] = (
    # Money and accounts
    ("balance", "how much money", "how much do i have", "how much have i got", "how much is in",
     "how much is on", "how much is left", "available funds", "what have i got", "how much i have",
     "what do i have in", "what is in my account", "how much cash", "how much i've got",
     "money do i have", "money have i got", "enough money", "money left", "have left", "account balance",
     "available balance", "current balance", "what is in my", "what is in", "what i have got", "what i got",
     "how much i got", "money i got", "how much in", "what have i saved", "how much i have saved", "overdrawn",
     "overdraft", "how much is there", "how much there is"),
    ("money", "fund", "cash", "dollar", "euro", "pound", "buck"),
    ("transfer", "send", "move", "wire", "shift", "remit", "pay into", "put into", "put in my", "put in",
     "move over to", "take out of", "transfer over"),
    ("transaction", "purchase", "activity", "spend", "spent", "payment history", "statement",
     "spending", "withdrawal", "movement", "went through", "gone through", "come out of", "came out", "come out",
     "gone out", "went out", "taken out", "posted", "where did my money go", "where my money went",
     "where has my money gone", "my money go", "what went on", "bought", "buy", "is gone out", "come through",
     "came through"),
    ("pay", "payment", "paid", "settle"),
    ("bill", "invoice", "owe"),
    ("internet", "wifi", "broadband", "online"),
    ("dispute", "fraud", "fraudulent", "unauthorized", "unauthorised", "scam", "contest",
     "challenge", "do not recognize", "do not recognise", "did not make", "did not buy",
     "did not authorize", "did not authorise", "never authorized", "never authorised",
     "without permission", "without my permission", "never made", "never bought", "not mine",
     "suspicious", "not recognize", "not recognise", "do not know what it is", "do not know what that is",
     "do not know what this is", "no idea what it is", "no idea what that is", "no idea what this is",
     "do not know who", "charged twice", "charge twice", "double charge", "duplicate charge", "overcharged",
     "was not me", "not me", "did not order", "did not authorise that", "never ordered", "never heard of",
     "for nothing", "strange", "weird", "odd"),
    ("charge", "fee", "debit"),
    ("refund", "money back", "reimburse", "reimbursement"),
    ("card", "visa", "mastercard"),
    ("account", "bank account"),
    ("lost", "lose", "losing", "missing", "misplace", "stolen", "stole", "steal", "theft",
     "cannot find", "can not find", "gone missing", "left behind", "is gone", "disappeared", "vanished",
     "can not locate", "nowhere to be found", "dropped", "robbed", "pickpocketed", "snatched", "swiped",
     "left it at", "left it in"),
    ("block", "freeze", "deactivate", "lock", "disable", "suspend",
     *(f"{stop} {whose} {card}" for stop in ("cancel", "stop", "close") for whose in ("my", "the", "that")
       for card in ("card", "debit card", "bank card"))),
    ("pin", "passcode", "password"),
    ("deposit", "paycheck", "pay check", "direct deposit", "salary", "wage", "payroll", "payday"),
    ("wallet", "purse", "handbag", "pocketbook"),
    ("forgot", "forget", "forgotten", "do not remember", "can not remember", "do not recall", "can not recall"),
    ("account number", "customer number", "card number"),
    ("loan", "mortgage", "credit line", "borrow", "lend"),
    # The conversation itself
    ("human", "person", "agent", "representative", "operator", "advisor", "adviser", "colleague",
     "supervisor", "manager", "staff", "real people", "rep", "employee", "talk to someone",
     "talk to somebody", "speak to someone", "speak to somebody", "speak with someone",
     "speak with somebody", "talk with someone", "talk with somebody", "someone real", "put me through",
     "connect me", "real person", "real human", "actual person", "actual human", "live person", "live agent",
     "human being", "somebody real", "transfer me", "another human", "customer service", "customer care",
     "customer support", "speak to a person", "talk to a person", "someone i can talk to", "someone i could talk to",
     "somebody i can talk to", "somebody i could talk to", "someone to talk to", "somebody to talk to",
     "someone i can speak to", "someone i could speak to", "put someone on", "put somebody on", "someone on the phone",
     "somebody on the phone", "someone on the line", "somebody on the line"),
    ("repeat", "say again", "say that again", "say it again", "come again", "one more time",
     "did not hear", "did not catch", "once more", "pardon", "did not get that",
     "could not hear", "what did you say", "what was that"),
    ("goodbye", "bye", "hang up", "that is all", "that is it", "that will be all", "i am done",
     "nothing else", "all set", "that would be all", "end call",
     "end the call", "i am finished", "bye bye", "see you", "we are done", "is everything", "was everything",
     "that was it", "that was all", "that is going to be it", "that is going to be all", "that will be it",
     "that would be it", "that does it", "that is everything", "that covers it", "that covers everything",
     "that was everything", "i am good", "i am fine", "i am okay", "take care", "answered everything",
     "answered my question", "answered my questions", "answered all my questions", "answers my question",
     "helped me a lot", "let you go", "no more questions", "no further questions", "no other questions", "all i need",
     "all i needed",
     "all i wanted", "nothing more", "we are good", "we are all set", "no need", "finished",
     "got everything i need", "have everything i need", "that will do", "that will do it", "have what i need",
     "got what i need", "nothing", "do not need anything", "do not need anything else", "that will be everything",
     "that would be everything", "that solves it", "takes care of it", "all good", "all done", "talk to you later",
     "no more", "enjoy your day", "enjoy your evening", "enjoy your weekend", "have a good rest",
     *(f"you {been} {kind}" for been in ("have been", "have been very", "have been so", "were", "were very", "are")
       for kind in ("helpful", "great", "wonderful", "kind", "awesome", "fantastic", "lovely")),
     *(f"have a {kind} {time}" for kind in ("good", "nice", "great", "lovely", "wonderful")
       for time in ("day", "evening", "night", "afternoon", "morning", "weekend", "week", "one", "rest of your day"))),
    ASKING_TO_WAIT,
    ("something else", "anything else", "another thing", "one more thing", "another question",
     "one more question", "other question", "more questions", "one other thing", "more help",
     "one thing", "one more", "one more request", "something more", "there is more", "need something", "ask something",
     "look something up", "look up something", "second question", "second thing"),
    ("cancel", "call off", "can not make it", "will not make it", "will not be able to",
     "can not come", "delete", "stop", "abort", "undo", "revoke", "forget it", "never mind",
     "nevermind", "changed my mind", "change my mind", "leave it", "skip it", "skip that", "not today", "drop it",
     "scrap that", "rather not", "hold off", "never mind that", "do not do it", "do not do that", "let us not",
     "do not bother", "do not move", "do not transfer", "do not send", "do not book", "do not order", "do not put",
     "leave the money", "leave my money", "leave everything", "call it off", "back out", "do not want that",
     "do not want it", "do not want this", "do not want to do that", "do not want to do it", "do not want to do this"),
    # Appointments, orders, places
    ("book", "make an appointment", "get an appointment", "make a reservation", "reserve",
     "reservation", "schedule", "arrange", "set up"),
    ("appointment", "slot", "visit"),
    ("reschedule", "postpone", "move my appointment", "another day", "different day",
     "different time", "another time"),
    ("change", "modify", "update", "edit", "alter", "amend", "switch"),
    ("order", "delivery", "package", "parcel", "shipment"),
    ("track", "where is", "whereabouts"),
    ("open", "close", "opening hours", "what hours", "business hours", "how late"),
    ("address", "located", "location", "branch", "directions"),
    ("price", "cost", "rate", "how expensive"),
    ("broken", "not working", "does not work", "faulty", "defective", "damaged", "out of order"),
    ("recent", "latest", "newest", "most recent", "lately", "recently"),
    ("verify", "identify", "authenticate", "confirm my identity"),
)  # fmt: skip

_EVERYDAY_WORDS = word_set(
    """
    account add balance bank begin bill block book bought break broken buck buy card cash change charge check
    clear close cost cover data day deal decline dollar drop end euro everything face fee fine finish forget
    forgot free freeze fund gone hold home hospital house human leave left line lock lose losing lost machine
    manager miss missing money move name new nothing number odd open order pass people person phone pin place
    plan play point post pound price rate real record rent report run save saving seat see send set shift shop
    slot somebody someone spend spent staff start statement stop strange switch track turn visit weird wire
    """
)
"""Words that people use about anything: alone they say little about what a caller wants."""

_OWN = frozenset({"my", "our"})
_NUMBER = "0"
_CURRENCIES = word_set("dollar buck euro pound cent penny pence quid")
_NUMBER_WORDS = word_set(
    """
    zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand
    third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
    sixteenth seventeenth eighteenth nineteenth twentieth thirtieth
    """
)

_THANKS = "thank"
_SAYS_THANKS = frozenset({"thank", "cheer"})
_REFUSAL = "!refuse"
_REFUSALS: Sequence[str] = (
    "do not want", "do not need", "no longer want", "no longer need", "would not like",
    "did not want", "not going to", "rather not", "do not wish", "not asking", "do not have",
)  # fmt: skip


def concepts(text: str, synonyms: Synonyms) -> list[Concept]:
    """Return the concepts in `text`, in order, with repetitions; numbers, ordinals and amounts of money are none.

    "I don't want" is a concept of its own, which begins with "!": it turns the others around. Thanks are courtesy, but
    where nothing else is said they are what the sentence is about.
    """
    stems = _without_amounts(_stems(text))
    found: list[Concept] = []
    at = 0
    while at < len(stems):
        length, concept = _longest(stems, at, synonyms)
        if length > 1 or stems[at] not in _STOP_STEMS or _is_taught(stems[at], synonyms):
            found.append(Concept(concept, _evidence(stems, at, length)))
        at += length
    if not found and not _SAYS_THANKS.isdisjoint(stems):
        found.append(Concept(_THANKS, 2))
    return found


def _is_taught(stem: str, synonyms: Synonyms) -> bool:
    """Whether a flow has given this word a meaning that it has in no other: "off", where one orders."""
    return synonyms.get((stem,)) != _GENERAL.get((stem,))


def _without_amounts(stems: Sequence[str]) -> list[str]:
    """Leave out numbers and the currency after them: "put fifty dollars into" is "put into"."""
    return [
        stem
        for before, stem in zip(("", *stems), stems, strict=False)
        if stem != _NUMBER and not (before == _NUMBER and stem in _CURRENCY_STEMS)
    ]


def _evidence(stems: Sequence[str], at: int, length: int) -> int:
    """Return 1 for one everyday word, else 2; "my balance" is not as everyday as "balance"."""
    everyday = length == 1 and stems[at] in _EVERYDAY_STEMS and not (at > 0 and stems[at - 1] in _OWN)
    return 1 if everyday else 2


def synonym_table(groups: Sequence[Sequence[str]] = ()) -> Synonyms:
    """Return the general synonyms with a flow's own; where they differ, the flow's win."""
    table = dict(_GENERAL)
    for group in groups:
        _add(table, group)
    return table


def _longest(stems: Sequence[str], at: int, synonyms: Synonyms) -> tuple[int, str]:
    for length in range(min(_LONGEST_SYNONYM, len(stems) - at), 0, -1):
        concept = synonyms.get(tuple(stems[at : at + length]))
        if concept is not None:
            return length, concept
    return 1, stems[at]


def _stems(text: str) -> list[str]:
    words: list[str] = []
    for word in _WORD.findall(text.lower().replace("’", "'")):
        words += _expand(word).split()
    return [_stem(word) for word in words]


def _expand(word: str) -> str:
    if word in _CONTRACTIONS:
        return _CONTRACTIONS[word]
    for ending, expansion in _ENDINGS.items():
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            be = " is" if ending == "'s" and stem in _BEFORE_IS else ""
            return stem + expansion + be
    return word


_BEFORE_IS = frozenset({"what", "that", "where", "it", "who", "how", "there", "here", "when"})


def _stem(word: str) -> str:
    """Return a light stem: plural, -ing, -ed and -ly go; what is left need not be a word."""
    if word[0].isdigit() or word in _NUMBER_WORDS:
        return _NUMBER
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending, least in (("ings", 4), ("ing", 4), ("ied", 3), ("ies", 3), ("ed", 4), ("ly", 4)):
        if word.endswith(ending) and len(word) - len(ending) >= least - 1:
            stem = word.removesuffix(ending)
            return _undouble(stem + "y") if ending in {"ied", "ies"} else _undouble(stem)
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def _undouble(stem: str) -> str:
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiouls":
        return stem[:-1]
    return stem.removesuffix("e") if len(stem) > 3 else stem


def _add(table: dict[tuple[str, ...], str], group: Sequence[str]) -> None:
    concept = " ".join(_stems(group[0]))
    for phrase in group:
        table[tuple(_stems(phrase))] = concept


def _general() -> dict[tuple[str, ...], str]:
    table: dict[tuple[str, ...], str] = {}
    for group in _SYNONYMS:
        _add(table, group)
    for phrase in _REFUSALS:
        table[tuple(_stems(phrase))] = _REFUSAL
    return table


_STOP_STEMS = frozenset(_stem(word) for word in _STOP_WORDS)
_EVERYDAY_STEMS = frozenset(_stem(word) for word in _EVERYDAY_WORDS)
_CURRENCY_STEMS = frozenset(_stem(word) for word in _CURRENCIES)
_GENERAL = _general()
_LONGEST_SYNONYM = 8
