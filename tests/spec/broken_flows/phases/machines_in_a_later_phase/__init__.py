"""Machines are waited for in the second phase only: in the first one nobody listens for them."""

# breaks dead-trigger

from voiceagent import Flow, HangUpAfter, MachineAnswers, Phase, Say, Silent, Transition, Wait

BYE = Phase(name="bye", on_enter=Wait(), ends=HangUpAfter())
NEXT = Transition(on=Silent(), to="ask")
MACHINE = Transition(on=MachineAnswers(), to="bye")  # ← wrong
REACH = Phase(name="reach", on_enter=Say(text="This is the library."), transitions=(NEXT,))
ASK = Phase(name="ask", on_enter=Say(text="Are you there?"), transitions=(MACHINE, Transition(on=Silent(), to="bye")))

FLOW = Flow(name="library", initial="reach", phases=(REACH, ASK, BYE))
