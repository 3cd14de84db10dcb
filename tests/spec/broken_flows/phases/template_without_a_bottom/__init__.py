"""A template is nested too deep for anybody to read."""

# breaks bad-template

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
HELLO = GuidedDialogue(opening="{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}")  # ← wrong
TALK = Phase(name="talk", guided=HELLO, transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
