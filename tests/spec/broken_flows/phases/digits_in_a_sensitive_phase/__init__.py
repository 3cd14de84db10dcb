"""Digits are sealed in a sensitive phase, and their tool takes plain text."""

# breaks secret-misplaced

from voiceagent import Digits, Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Requested, Say, Slot, Transition, tool


@tool
async def find_card(number: str) -> None:
    """Find a card by its number."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
NUMBER = Slot(name="number", expects=Digits(name="number", length=8), ask="Which number?")  # ← wrong
FIND = Intent(does=find_card, examples=("find my card",), slots=(NUMBER,))
TALK = Phase(
    name="talk",
    guided=GuidedDialogue(intents=(FIND,)),
    sensitive=True,
    tools=(find_card,),
    transitions=(DONE,),
)

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
