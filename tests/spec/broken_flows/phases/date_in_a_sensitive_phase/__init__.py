"""A date is asked for where all numbers are sealed."""

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
    SpokenDate,
    Transition,
    tool,
)


@tool
async def find_reader(born: str) -> None:
    """Find a reader by their date of birth."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
BORN = Slot(name="born", expects=SpokenDate(name="born"), ask="When were you born?")  # ← wrong
FIND = GuidedDialogue(form=Form(does=find_reader, slots=(BORN,)))
TALK = Phase(name="talk", guided=FIND, sensitive=True, tools=(find_reader,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
