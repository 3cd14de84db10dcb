"""A slot is no parameter of its tool."""

# breaks unknown-slot

from voiceagent import (
    Flow,
    FreeSpeech,
    GuidedDialogue,
    HangUpAfter,
    Intent,
    Phase,
    Requested,
    Say,
    Slot,
    Transition,
    tool,
)


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TITLE = Slot(name="title", expects=FreeSpeech(), ask="Which book?")
AUTHOR = Slot(name="titel", expects=FreeSpeech(), ask="Whose book?")  # ← wrong
COUNT = Intent(does=count_pages, examples=("how long is it",), slots=(TITLE, AUTHOR))
TALK = Phase(name="talk", guided=GuidedDialogue(intents=(COUNT,)), tools=(count_pages,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
