"""What is said on the way names no fact."""

# breaks unknown-placeholder

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
FINISH = Requested(name="finish", description="They are done.")
DONE = Transition(on=FINISH, to="bye", say="Bye, {{ name }}.")  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
