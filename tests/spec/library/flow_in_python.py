"""A library on the phone. The same flow in YAML: flow.yaml."""

from datetime import date
from decimal import Decimal
from typing import Literal

from voiceagent import (
    Digits,
    Facts,
    Filler,
    Flow,
    Form,
    FromFact,
    GuidedDialogue,
    HangUpAfter,
    HostSignals,
    Intent,
    LastMessages,
    Limits,
    NotUnderstood,
    Phase,
    Phrases,
    Prefetch,
    Pressed,
    Requested,
    Say,
    Silent,
    Slot,
    TimedOut,
    ToolFails,
    TransferTo,
    Transition,
    TurnLimitReached,
)

from .loans.tools import list_loans, renew
from .tools import check_card, is_late


class LibraryFacts(Facts):
    """What the tools have established about the reader."""

    recognised: bool = False
    reader_id: str | None = None
    branch: Literal["elmham", "dereham"] | None = None
    owes: Decimal = Decimal(0)
    member_since: date | None = None


CARD_NUMBER = Digits(name="card", length=6, terminator=None)
ASK = "What is the number of your card?"

CARD = Phase(
    name="card",
    prompt="library/card.md",
    tools=(check_card,),
    sensitive=True,
    on_enter=Say(text="Elmham library. What is the number of your card?"),
    expects=(CARD_NUMBER,),
    transitions=(
        Transition(
            on=check_card,
            to="loans",
            when={"recognised": True, "owes": {"le": 5, "ge": 0}},
            prefetch=(Prefetch(tool=list_loans, arguments={"reader_id": FromFact(fact="reader_id"), "limit": 3}),),
        ),
        Transition(on=TimedOut(), to="desk"),
    ),
    timeout_ms=60_000,
    guided=GuidedDialogue(
        opening=ASK,
        form=Form(does=check_card, slots=(Slot(name="card", expects=CARD_NUMBER, ask=ASK),)),
        intents=(
            Intent(say="Of course, take your time.", examples=("hold on", "one second")),
            Intent(does="finish", examples=("that is all",)),
            Intent(does="finish", examples=("bye",)),
        ),
        failures={"check_card": "I cannot look that up now."},
    ),
)

LOANS = Phase.from_skill(
    "loans",
    max_turns=20,
    carry=LastMessages(count=4),
    filler=Filler(patience_ms=600, phrases=("Let me look at your card.", "I am looking at your card.")),
    transitions=(
        Transition(on=renew, to="bye", say="It is yours for three more weeks.", priority=1),
        Transition(
            on=ToolFails(tool=renew),
            to="desk",
            when={"any_of": [{"owes": {"gt": 0}}, {"not": {"branch": "elmham"}}]},
        ),
    ),
)

DESK = Phase(
    name="desk",
    on_enter=Say(text="I will put you through to the desk."),
    ends=TransferTo(target="desk"),
)
BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())

FLOW = Flow(
    name="library",
    initial="card",
    facts=LibraryFacts,
    phases=(CARD, LOANS, DESK, BYE),
    transitions=(
        Transition(on=Requested(name="finish", description="The reader needs nothing more."), to="bye"),
        Transition(on=Pressed(digits="0"), to="desk", priority=10),
        Transition(on=Silent(), to="bye"),
        Transition(on=NotUnderstood(), to="desk"),
        Transition(on=HostSignals(name="closing_time"), to="bye", when=is_late),
        Transition(on=TurnLimitReached(), to="desk"),
    ),
    limits=Limits(max_turns=50),
    phrases=Phrases(apology="Sorry, the catalogue is down."),
)
