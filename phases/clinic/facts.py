"""What a call to the clinic can establish about its caller, and about the appointment that is being spoken of."""

from datetime import date, time

from voiceagent import Facts

__all__ = ["ClinicFacts"]


class ClinicFacts(Facts):
    """Written by the tools alone."""

    verified: bool = False
    patient_id: str | None = None
    patient_name: str | None = None
    attempts_left: int = 3
    """How many more answers are looked at in this call."""
    appointment_day: date | None = None
    """The appointment that is being spoken of: at first the next one, later the one that was chosen or made.

    A patient has one appointment a day at most, so the day says which it is.
    """
    appointment_time: time | None = None
    appointment_doctor: str | None = None
