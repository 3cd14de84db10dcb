"""A phase waits for a time-out that it does not have."""

# breaks dead-trigger

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, TimedOut, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
LATE = Transition(on=TimedOut(), to="bye")  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE, LATE))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
