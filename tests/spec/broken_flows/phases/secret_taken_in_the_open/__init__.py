"""A tool takes a secret where words are recorded."""

# breaks secret-exposed

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Sealed, Transition, tool


@tool
async def check_pin(pin: Sealed) -> None:
    """Check the PIN."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(check_pin,), transitions=(DONE,))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
