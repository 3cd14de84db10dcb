"""How a call to the clinic ends: with a goodbye, with a person, or with the number to call in an emergency."""

from voiceagent import HangUpAfter, Phase, Say, TransferTo

__all__ = ["EMERGENCY", "GOODBYE", "HUMAN"]

EMERGENCY = Phase(
    name="emergency",
    on_enter=Say(
        text=(
            "If somebody is in danger, please hang up and call nine one one right now. "
            "I will put you through to a nurse."
        )
    ),
    interruptible=False,
    ends=TransferTo(target="nurse"),
)

HUMAN = Phase(
    name="human",
    on_enter=Say(text="I will put you through to the reception. One moment, please."),
    ends=TransferTo(target="reception"),
)

GOODBYE = Phase(
    name="goodbye",
    on_enter=Say(text="Thank you for calling Riverside Clinic. Take care. Goodbye."),
    ends=HangUpAfter(),
)
