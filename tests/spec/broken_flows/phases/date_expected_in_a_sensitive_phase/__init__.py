"""A date is expected where all numbers are sealed."""

# breaks secret-misplaced

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, SpokenDate, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
BORN = SpokenDate(name="born")  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), sensitive=True, expects=(BORN,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
