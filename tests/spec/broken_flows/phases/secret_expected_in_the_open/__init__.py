"""A secret is expected where words are recorded."""

# breaks secret-exposed

from voiceagent import Digits, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
PIN = Digits(name="pin", length=4, sealed=True)
TALK = Phase(name="talk", guided=GuidedDialogue(), expects=(PIN,), transitions=(DONE,))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
