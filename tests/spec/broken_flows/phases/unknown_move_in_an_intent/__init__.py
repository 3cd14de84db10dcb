"""An intent asks for a move that its phase does not have."""

# breaks unknown-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
LEAVE = Intent(does="finsh", examples=("goodbye",))  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(intents=(LEAVE,)), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
