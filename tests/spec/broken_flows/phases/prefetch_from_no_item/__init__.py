"""A prefetch takes an argument from an item, and there are none."""

# breaks prefetch-argument

from voiceagent import (
    Facts,
    Flow,
    FromItem,
    GuidedDialogue,
    HangUpAfter,
    Phase,
    Prefetch,
    Requested,
    Say,
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


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
FETCH = Prefetch(tool=count_pages, arguments={"title": FromItem(field="title")})  # ← wrong
IN = Transition(on=check_card, to="desk", when={"recognised": True}, prefetch=(FETCH,))
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN, DONE))
DESK = Phase(name="desk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, DESK, BYE), facts=LibraryFacts)
