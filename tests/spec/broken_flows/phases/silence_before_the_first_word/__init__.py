"""A filler comes later than the flow allows."""

# breaks silence-too-long

from voiceagent import Filler, Flow, GuidedDialogue, HangUpAfter, Limits, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
SLOW = Filler(patience_ms=3_000)
TALK = Phase(name="talk", guided=GuidedDialogue(), filler=SLOW, transitions=(DONE,))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), limits=Limits(max_silence_ms=5_000))
