"""No way leads out of a phase that does not end the call."""

# breaks dead-end

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
PIT = Phase(name="pit", guided=GuidedDialogue())  # ← wrong
FALL = Transition(on=Requested(name="fall", description="They want to fall."), to="pit")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE, FALL))

FLOW = Flow(name="library", initial="talk", phases=(TALK, PIT, BYE))
