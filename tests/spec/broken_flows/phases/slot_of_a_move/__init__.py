"""A slot is filled for a move, which takes no arguments."""

# breaks unknown-slot

from voiceagent import Flow, FreeSpeech, GuidedDialogue, HangUpAfter, Intent, Phase, Requested, Say, Slot, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
WHY = Slot(name="why", expects=FreeSpeech(), ask="Why?")  # ← wrong
LEAVE = Intent(does="finish", examples=("goodbye",), slots=(WHY,))
TALK = Phase(name="talk", guided=GuidedDialogue(intents=(LEAVE,)), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
