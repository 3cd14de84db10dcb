"""There are words for the success of a tool that is never heard of here."""

# breaks unknown-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
GUIDED = GuidedDialogue(replies={"count_page": "It has many."})  # ← wrong
TALK = Phase(name="talk", guided=GUIDED, tools=(count_pages,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
