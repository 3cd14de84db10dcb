"""A secret goes to a tool that takes it as plain text."""

# breaks secret-misplaced

from voiceagent import Digits, Flow, Form, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Slot, Transition, tool


@tool
async def check_pin(pin: str) -> None:
    """Check the PIN."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
PIN = Slot(name="pin", expects=Digits(name="pin", length=4, sealed=True), ask="Your PIN?")  # ← wrong
GUIDED = GuidedDialogue(form=Form(does=check_pin, slots=(PIN,)))
TALK = Phase(name="talk", guided=GUIDED, sensitive=True, tools=(check_pin,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
