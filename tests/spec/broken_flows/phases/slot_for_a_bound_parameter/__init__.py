"""A slot asks for what the tool takes from a fact."""

# breaks unknown-slot

from voiceagent import (
    Facts,
    Flow,
    FreeSpeech,
    GuidedDialogue,
    HangUpAfter,
    Intent,
    Phase,
    Requested,
    Say,
    Slot,
    Transition,
    tool,
)


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool(requires="loans", binds=("reader_id",))
async def list_loans(reader_id: str) -> list[object]:
    """The books on loan."""
    return []


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
READER = Slot(name="reader_id", expects=FreeSpeech(), ask="Who are you?")  # ← wrong
ASK = Intent(does=list_loans, examples=("what do I have",), slots=(READER,))
LOANS = Phase(name="loans", guided=GuidedDialogue(intents=(ASK,)), tools=(list_loans,), transitions=(DONE,))
IN = Transition(on=check_card, to="loans", when={"recognised": True})
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN, DONE))

FLOW = Flow(name="library", initial="card", phases=(CARD, LOANS, BYE), facts=LibraryFacts)
