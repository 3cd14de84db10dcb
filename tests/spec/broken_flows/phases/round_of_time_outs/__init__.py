"""Time-outs lead a caller who says nothing round before the call could end."""

# breaks endless-loop

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, TimedOut, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
AGAIN = Transition(on=TimedOut(), to="talk")  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), timeout_ms=3_000, transitions=(DONE, AGAIN))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
