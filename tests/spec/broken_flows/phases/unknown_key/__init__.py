"""A phase is given what no phase has."""

# breaks unloadable

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tool=(), transitions=(DONE,))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
