"""A form fills in a tool that its phase does not offer."""

# breaks unknown-tool

from voiceagent import (
    Flow,
    Form,
    FreeSpeech,
    GuidedDialogue,
    HangUpAfter,
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
FORM = Form(does=count_pages, slots=(TITLE,))  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(form=FORM), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
