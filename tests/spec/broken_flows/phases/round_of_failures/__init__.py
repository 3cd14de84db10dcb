"""A voice that keeps failing leads the call round and round."""

# breaks endless-loop

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, VoiceFails

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
AWAY = Transition(on=VoiceFails(), to="other")  # ← wrong
BACK = Transition(on=VoiceFails(), to="talk")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE, AWAY))
OTHER = Phase(name="other", guided=GuidedDialogue(), transitions=(DONE, BACK))

FLOW = Flow(name="library", initial="talk", phases=(TALK, OTHER, BYE))
