"""A prefetch waits for itself."""

# breaks prefetch-order

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Prefetch, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool
async def loans(most: int = 5) -> list[object]:
    """The loans of a reader."""
    return []


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
FETCH = Prefetch(tool=loans, after=loans)  # ← wrong
IN = Transition(on=check_card, to="desk", when={"recognised": True}, prefetch=(FETCH,))
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN, DONE))
DESK = Phase(name="desk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, DESK, BYE), facts=LibraryFacts)
