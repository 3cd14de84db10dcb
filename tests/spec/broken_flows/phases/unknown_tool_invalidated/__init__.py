"""A tool makes the answers of a tool stale that does not exist."""

# breaks unknown-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


@tool(effect="write", invalidates=("count_page",))  # ← wrong
async def add_page(title: str) -> None:
    """Add a page."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(count_pages, add_page), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
