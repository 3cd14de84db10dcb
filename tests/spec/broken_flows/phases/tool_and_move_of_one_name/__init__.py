"""A move has the name of a tool."""

# breaks duplicate-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
COUNT = Transition(on=Requested(name="count_pages", description="They want to count."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(count_pages,), transitions=(COUNT,))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
