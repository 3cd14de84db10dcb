"""A phase offers two tools of the same name."""

# breaks duplicate-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Tool, Transition, tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


def another() -> Tool:
    @tool  # ← wrong
    async def count_pages(title: str) -> dict[str, object]:
        """How many pages, counted in another way."""
        return {}

    return count_pages


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(count_pages, another()), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
