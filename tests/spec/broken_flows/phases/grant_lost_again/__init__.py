"""A right is asked for again on the way, and may be lost."""

# breaks grant-missing

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None


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
PAY = Transition(on=Requested(name="pay", description="They want to pay."), to="till")
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(IN, DONE))
DESK = Phase(name="desk", guided=GuidedDialogue(), tools=(check_card,), transitions=(PAY, DONE))
TILL = Phase(name="till", guided=GuidedDialogue(), tools=(pay_fine,), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, DESK, TILL, BYE), facts=LibraryFacts)
