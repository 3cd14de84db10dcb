"""An answer of the flow's own names no fact."""

# breaks unknown-placeholder

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
WHO = Intent(say="I am {{ name }}.", examples=("who are you",))  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(intents=(WHO,)), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
