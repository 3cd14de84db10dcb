"""A question needs the answer to a later one."""

# breaks placeholder-missing

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
async def reserve(title: str, day: str) -> None:
    """Reserve a book."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TITLE = Slot(name="title", expects=FreeSpeech(), ask="Which book for {{ day }}?")  # ← wrong
DAY = Slot(name="day", expects=FreeSpeech(), ask="When do you want {{ title }}?")
RESERVE = Intent(does=reserve, examples=("keep a book for me",), slots=(TITLE, DAY))
TALK = Phase(name="talk", guided=GuidedDialogue(intents=(RESERVE,)), tools=(reserve,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
