"""A template takes in another file."""

# breaks bad-template

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
HELLO = GuidedDialogue(opening="{% include 'hello.md' %}")  # ← wrong
TALK = Phase(name="talk", guided=HELLO, transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
