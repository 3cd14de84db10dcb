"""What is said when nothing was understood names no fact."""

# breaks unknown-placeholder

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
GUIDED = GuidedDialogue(not_understood="Sorry, {{ name }}?")  # ← wrong
CARD = Phase(name="card", guided=GUIDED, tools=(check_card,), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, BYE), facts=LibraryFacts)
