"""A transition waits for a tool that its phase does not offer."""

# breaks unknown-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Say, Transition, tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
COUNTED = Transition(on=count_pages, to="bye")  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(COUNTED,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
