"""An attempt that fails has a field less than a fact needs."""

# breaks fact-not-nullable

from voiceagent import Attempts, Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    """What is known of a reader."""

    recognised: bool = False
    loans: int = 0
    attempts_left: int = 3


@tool(  # ← wrong
    grants="loans",
    grants_when="recognised",
    sets=("recognised", "loans", "attempts_left"),
    attempts=Attempts(account="card"),
)
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(check_card,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", facts=LibraryFacts, phases=(TALK, BYE))
