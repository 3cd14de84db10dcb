"""How a call to the bank ends: with a goodbye, or with a colleague."""

from voiceagent import HangUpAfter, Phase, Say, TransferTo

__all__ = ["GOODBYE", "HUMAN"]

HUMAN = Phase(
    name="human",
    on_enter=Say(text="I will put you through to a colleague. One moment, please."),
    ends=TransferTo(target="support"),
)

GOODBYE = Phase(
    name="goodbye",
    on_enter=Say(text="Thank you for calling Harbour Bank. Goodbye."),
    ends=HangUpAfter(),
)
