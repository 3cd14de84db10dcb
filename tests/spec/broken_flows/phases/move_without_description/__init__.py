"""A move says nothing of itself."""

# breaks no-description

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
FINISH = Requested(name="finish", description=" ")  # ← wrong
DONE = Transition(on=FINISH, to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
