"""A transition that every phase has leads to a phase that does not exist."""

# breaks unknown-phase

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))
HELP = Transition(on=Requested(name="help", description="They need help."), to="helpp")  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), transitions=(HELP,))
