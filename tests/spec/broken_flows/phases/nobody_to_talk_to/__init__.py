"""The flow promises a person, and there is none."""

# breaks no-human

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), reaches_human=True)  # ← wrong
