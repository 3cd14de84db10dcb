"""A parameter is a function."""

# breaks untyped-parameter

from collections.abc import Callable

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool  # ← wrong
async def count_pages(title: Callable[[], str]) -> None:
    """How many pages a book has."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(count_pages,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
