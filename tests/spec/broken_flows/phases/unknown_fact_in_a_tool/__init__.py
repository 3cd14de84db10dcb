"""A tool sets a fact that the flow does not declare."""

# breaks unknown-fact

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(sets={"reader": "id"})  # ← wrong
async def find_reader() -> dict[str, object]:
    """Find the reader."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
CARD = Phase(name="card", guided=GuidedDialogue(), tools=(find_reader,), transitions=(DONE,))

FLOW = Flow(name="library", initial="card", phases=(CARD, BYE), facts=LibraryFacts)
