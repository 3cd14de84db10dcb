"""A phase hints at a name in a fact that the flow does not declare."""

# breaks unknown-fact

from voiceagent import Facts, Flow, FromFact, GuidedDialogue, HangUpAfter, Phase, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
CHECKED = Transition(on=check_card, to="bye", when={"recognised": True})
NAME = FromFact(fact="brunch")  # ← wrong
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(CHECKED,), hints=(NAME,))

FLOW = Flow(name="library", initial="card", phases=(CARD, BYE), facts=LibraryFacts)
