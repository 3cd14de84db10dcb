"""Two phases have the same name."""

# breaks duplicate-phase

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Transition

DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))
BYE = Phase(name="bye", ends=HangUpAfter())  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE, BYE))
