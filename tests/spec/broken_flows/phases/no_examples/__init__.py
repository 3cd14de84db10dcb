"""No words ever mean an intent."""

# breaks no-examples

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
LEAVE = Intent(does="finish", examples=())  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(intents=(LEAVE,)), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
