"""A sentence uses a filter that there is not."""

# breaks bad-template

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
HELLO = Say(text="Hello {{ reader_id | shout }}")  # ← wrong
CARD = Phase(name="card", guided=GuidedDialogue(), on_enter=HELLO, tools=(check_card,), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, BYE), facts=LibraryFacts)
