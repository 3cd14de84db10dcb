"""A way leads to a tool past the tool that gives the right to use it."""

# breaks grant-missing

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool(requires="loans")  # ← wrong
async def pay_fine() -> None:
    """Pay a fine."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
IN = Transition(on=check_card, to="desk", when={"recognised": True})
AROUND = Transition(on=Requested(name="skip", description="They have no card."), to="desk")
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN, AROUND))
DESK = Phase(name="desk", guided=GuidedDialogue(), tools=(pay_fine,), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, DESK, BYE), facts=LibraryFacts)
