"""A prefetch gives an argument that its tool does not take."""

# breaks prefetch-argument

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Prefetch, Requested, Say, Transition, tool


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
FETCH = Prefetch(tool=count_pages, arguments={"title": "Emma", "titel": "Emma"})  # ← wrong
IN = Transition(on=check_card, to="desk", when={"recognised": True}, prefetch=(FETCH,))
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN, DONE))
DESK = Phase(name="desk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, DESK, BYE), facts=LibraryFacts)
