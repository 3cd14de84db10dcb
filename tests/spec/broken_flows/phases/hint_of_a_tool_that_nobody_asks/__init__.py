"""A phase hints at names in the answers of a tool that nobody asks."""

# breaks unknown-tool

from voiceagent import Facts, Flow, FromAnswer, GuidedDialogue, HangUpAfter, Phase, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool
async def authors() -> list[dict[str, str]]:
    """Who has written what is new."""
    return []


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
CHECKED = Transition(on=check_card, to="bye", when={"recognised": True})
NAME = FromAnswer(tool=authors, field="name")  # ← wrong
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(check_card,), transitions=(CHECKED,), hints=(NAME,))

FLOW = Flow(name="library", initial="card", phases=(CARD, BYE), facts=LibraryFacts)
