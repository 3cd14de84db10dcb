"""A caller who is never understood is led round and round."""

# breaks endless-loop

from voiceagent import Flow, GuidedDialogue, HangUpAfter, NotUnderstood, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
AWAY = Transition(on=NotUnderstood(), to="other")  # ← wrong
BACK = Transition(on=NotUnderstood(), to="talk")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE, AWAY))
OTHER = Phase(name="other", guided=GuidedDialogue(), transitions=(DONE, BACK))

FLOW = Flow(name="library", initial="talk", phases=(TALK, OTHER, BYE))
