"""A transition that every phase has waits for a tool that none offers."""

# breaks unknown-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, ToolFails, Transition, tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))
FAILED = Transition(on=ToolFails(tool=count_pages), to="bye")  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), transitions=(FAILED,))
