"""Two phases lead to each other, and nowhere else."""

# breaks no-end

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
FALL = Transition(on=Requested(name="fall", description="They want to fall."), to="here")
THERE = Transition(on=Requested(name="go", description="They want to go."), to="there")
BACK = Transition(on=Requested(name="come", description="They want to come."), to="here")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE, FALL))
HERE = Phase(name="here", guided=GuidedDialogue(), transitions=(THERE,))  # ← wrong
ELSEWHERE = Phase(name="there", guided=GuidedDialogue(), transitions=(BACK,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, HERE, ELSEWHERE, BYE))
