"""Two transitions leave nothing to a third."""

# breaks shadowed-guard

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
FEW = Transition(on=search, to="bye", when={"attempts": {"lt": 3}})
MANY = Transition(on=search, to="bye", when={"attempts": {"ge": 2}})
NEVER = Transition(on=search, to="bye", when={"found": True})  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(search,), transitions=(FEW, MANY, NEVER, DONE))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), facts=CounterFacts)
