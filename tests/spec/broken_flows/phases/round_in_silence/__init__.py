"""A caller who says nothing is led round and round."""

# breaks endless-loop

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Silent, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
AWAY = Transition(on=Silent(), to="other")  # ← wrong
BACK = Transition(on=Silent(), to="talk")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE, AWAY))
OTHER = Phase(name="other", guided=GuidedDialogue(), transitions=(DONE, BACK))

FLOW = Flow(name="library", initial="talk", phases=(TALK, OTHER, BYE))
