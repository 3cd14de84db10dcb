"""No facts fit a guard."""

# breaks dead-guard

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class CounterFacts(Facts):
    attempts: int = 0
    found: bool = False


@tool(sets=("attempts", "found"))
async def search(title: str) -> dict[str, object]:
    """Search for a book."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
NEVER = Transition(on=search, to="bye", when={"attempts": {"lt": 2, "gt": 5}})  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(search,), transitions=(NEVER, DONE))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), facts=CounterFacts)
