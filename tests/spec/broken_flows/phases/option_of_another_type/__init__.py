"""A tool has a time limit in words."""

# breaks unloadable

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool(timeout_ms="10 s")  # ← wrong
async def count_pages(title: str) -> None:
    """How many pages a book has."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(count_pages,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
