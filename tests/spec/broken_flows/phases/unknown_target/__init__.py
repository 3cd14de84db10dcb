"""A transition leads to a phase that does not exist."""

# breaks unknown-phase

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="byee")  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
