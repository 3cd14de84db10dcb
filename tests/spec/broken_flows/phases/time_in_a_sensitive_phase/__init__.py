"""A time is asked for where all numbers are sealed."""

# breaks secret-misplaced

from voiceagent import (
    Flow,
    Form,
    GuidedDialogue,
    HangUpAfter,
    Phase,
    Requested,
    Say,
    Slot,
    SpokenTime,
    Transition,
    tool,
)


@tool
async def book(at: str) -> None:
    """Book a desk in the reading room."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
AT = Slot(name="at", expects=SpokenTime(name="at"), ask="When?")  # ← wrong
BOOK = GuidedDialogue(form=Form(does=book, slots=(AT,)))
TALK = Phase(name="talk", guided=BOOK, sensitive=True, tools=(book,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
