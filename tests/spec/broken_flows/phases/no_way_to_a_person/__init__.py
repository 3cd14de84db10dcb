"""The flow promises a person, and one phase keeps callers from them."""

# breaks no-human

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, TransferTo, Transition, VoiceFails

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
HUMAN = Phase(name="human", on_enter=Say(text="One moment."), ends=TransferTo(target="desk"))
HELP = Transition(on=Requested(name="help", description="They want a person."), to="human")
BROKEN = Transition(on=VoiceFails(), to="human")
READ = Transition(on=Requested(name="read", description="They want to read."), to="reading")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE, HELP, READ))
READING = Phase(name="reading", guided=GuidedDialogue(), transitions=(DONE, BROKEN))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, READING, HUMAN, BYE), reaches_human=True)
