"""What needs a secret is fetched ahead."""

# breaks prefetch-secret

from voiceagent import (
    Facts,
    Flow,
    GuidedDialogue,
    HangUpAfter,
    Phase,
    Prefetch,
    Requested,
    Say,
    Sealed,
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


@tool(requires="loans")
async def read_diary(pin: Sealed) -> dict[str, object]:
    """Read the diary."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
FETCH = Prefetch(tool=read_diary, arguments={"pin": "1234"})  # ← wrong
IN = Transition(on=check_card, to="desk", when={"recognised": True}, prefetch=(FETCH,))
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN, DONE))
DESK = Phase(name="desk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, DESK, BYE), facts=LibraryFacts)
