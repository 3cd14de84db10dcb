"""Appointments: those of a patient whom the clinic knows, and the times that are free."""

from __future__ import annotations

from datetime import date, time

from voiceagent import (
    Filler,
    GuidedDialogue,
    Intent,
    OutcomeUnknown,
    Phase,
    Requested,
    Slot,
    SpokenDate,
    SpokenTime,
    ToolContext,
    ToolFailed,
    ToolSucceeds,
    Transition,
    tool,
)

from .talk import (
    BOOKINGS,
    CANCELLATIONS,
    CHANGES,
    DECLINED,
    FREE_TIMES,
    HOLD_ON,
    IN_DANGER,
    NOT_IN_DANGER,
    OPENING_HOURS,
    OTHER_APPOINTMENT,
    OWN_APPOINTMENTS,
    STAYS,
    SYNONYMS,
    UNWELL,
    WANTS_HUMAN,
)

DAY = SpokenDate(name="day")
AT = SpokenTime(name="at")

SPOKEN_OF = {"appointment_day": "day", "appointment_time": "at", "appointment_doctor": "doctor"}
"""Which facts a tool's answer sets when it is an appointment: that one is spoken of from then on."""

FREE_TIMES_TOLD = (
    "{% if result.times %}These are free: {% for one in result.times %}"
    "{{ one.day | day }} at {{ one.at | time }}{{ '; ' if not loop.last else '. Which one suits you?' }}"
    "{% endfor %}{% else %}Nothing is free then. Which other day would suit you?{% endif %}"
)


async def _answer(ctx: ToolContext, path: str, **params: str) -> object:
    answer = await ctx.http.get(path, params=params)
    if answer.status_code == 404:
        raise ToolFailed("there is no appointment on that day")
    if answer.status_code != 200:
        raise ToolFailed("the calendar does not answer right now")
    return answer.json()


@tool(requires="patient_record", binds=("patient_id",), scopes="appointments:read", fresh_ms=120_000, timeout_ms=6_000)
async def my_appointments(patient_id: str, ctx: ToolContext) -> object:
    """Return the patient's coming appointments, the soonest first: `appointments`, each with doctor, day and at."""
    return {"appointments": await _answer(ctx, f"/patients/{patient_id}/appointments")}


@tool(
    scopes="calendar:read",
    fresh_ms=60_000,
    timeout_ms=6_000,
    filler=Filler(phrases=("Let me look at the calendar.", "I am going through the calendar.")),
)
async def free_times(ctx: ToolContext, day: date | None = None) -> object:
    """Return the first free times, on one day or from tomorrow on: `times`, each with doctor, day and at."""
    return {"times": await _answer(ctx, "/free-times", **({"day": day.isoformat()} if day else {}))}


@tool(
    requires="patient_record",
    binds=("patient_id",),
    scopes="appointments:read",
    sets=SPOKEN_OF,
)
async def choose_appointment(patient_id: str, day: date, ctx: ToolContext) -> object:
    """Speak of the patient's appointment on this day from now on: it is the one that can be moved or cancelled."""
    return await _answer(ctx, f"/patients/{patient_id}/appointments/{day.isoformat()}")


@tool(
    effect="irreversible",
    requires="patient_record",
    binds=("patient_id",),
    scopes="appointments:write",
    invalidates=(my_appointments, free_times),
    confirm="I will book {{ day | day }} at {{ at | time }} for you. Is that right?",
    sets=SPOKEN_OF,
    timeout_ms=15_000,
)
async def book_appointment(patient_id: str, day: date, at: time, ctx: ToolContext) -> object:
    """Book a free time for the patient."""
    answer = await ctx.http.post(
        f"/patients/{patient_id}/appointments",
        json={"day": day.isoformat(), "at": at.isoformat("minutes")},
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code == 409:
        raise ToolFailed("that time is not free")
    if answer.status_code not in (200, 201):
        raise ToolFailed("the calendar did not take it")
    return answer.json()


@tool(
    effect="irreversible",
    requires="patient_record",
    binds=("patient_id", "appointment_day"),
    scopes="appointments:write",
    invalidates=(my_appointments, free_times),
    confirm="I will cancel your appointment on {{ (day or appointment_day) | day }}. Is that right?",
    sets={"appointment_day": "next.day", "appointment_time": "next.at", "appointment_doctor": "next.doctor"},
    timeout_ms=15_000,
)
async def cancel_appointment(
    patient_id: str, appointment_day: date, ctx: ToolContext, day: date | None = None
) -> object:
    """Cancel the appointment that is being spoken of, or the one on another day: then give that day.

    `next` is the patient's first appointment after that, if there is one.
    """
    answer = await ctx.http.post(
        f"/patients/{patient_id}/appointments/{(day or appointment_day).isoformat()}/cancel",
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code == 404:
        raise ToolFailed("there is no appointment on that day")
    if answer.status_code not in (200, 201):
        raise ToolFailed("the calendar did not take it")
    return answer.json()


PHASE = Phase(
    name="appointments",
    prompt="clinic/appointments.md",
    tools=(my_appointments, free_times, choose_appointment, book_appointment, cancel_appointment),
    expects=(DAY, AT),
    transitions=(
        Transition(
            on=Requested(
                name="begin_reschedule", description="The appointment that is being spoken of shall be at another time."
            ),
            to="reschedule",
            when={"appointment_doctor": {"set": True}},
        ),
        Transition(on=ToolSucceeds(tool=book_appointment), to="wrap_up"),
        Transition(on=ToolSucceeds(tool=cancel_appointment), to="wrap_up"),
    ),
    max_turns=30,
    guided=GuidedDialogue(
        opening="Thank you, {{ patient_name }}. Shall I tell you your appointments, make one, move one or cancel one?",
        intents=(
            IN_DANGER,
            NOT_IN_DANGER,
            OPENING_HOURS,
            Intent(does=my_appointments, examples=(*OWN_APPOINTMENTS, "tell me my appointments", "tell me")),
            Intent(
                does=free_times,
                examples=FREE_TIMES,
                slots=(Slot(name="day", expects=DAY, ask="On which day?"),),
            ),
            Intent(
                does=book_appointment,
                examples=(
                    *BOOKINGS,
                    "make one",
                    "nine o'clock on Tuesday please",
                    "I'll take the one at half past nine",
                    "quarter past ten would be fine",
                    "quarter to four works for me",
                ),
                slots=(
                    Slot(
                        name="day",
                        expects=DAY,
                        ask="On which day would you like to come?",
                        ask_again="Which day, please? For example, December fourth.",
                    ),
                    Slot(
                        name="at",
                        expects=AT,
                        ask="And at what time?",
                        ask_again="At what time, please? For example, half past nine.",
                    ),
                ),
            ),
            Intent(
                does="begin_reschedule",
                examples=(*CHANGES, "move one", "move it"),
                say="I see no appointment of yours that could be moved.",
            ),
            Intent(
                does=cancel_appointment,
                examples=(*CANCELLATIONS, "cancel one", "cancel that one"),
                slots=(Slot(name="day", expects=DAY, ask="On which day is it?"),),
                say="I see no appointment of yours that could be cancelled.",
            ),
            Intent(
                say="All right. What would you like instead?",
                examples=(*STAYS, "no wait stop", "stop"),
            ),
            Intent(
                does=choose_appointment,
                examples=OTHER_APPOINTMENT,
                slots=(Slot(name="day", expects=DAY, ask="Which one, please: on which day is it?"),),
            ),
            Intent(does="finish", examples=DECLINED),
            WANTS_HUMAN,
            HOLD_ON,
            Intent(
                say="Shall I tell you your appointments, make one, move one or cancel one?",
                examples=(*UNWELL, "yes", "one more thing", "there is something else"),
            ),
        ),
        replies={
            "my_appointments": (
                "{% for one in result.appointments %}"
                "You see {{ one.doctor }} on {{ one.day | day }} at {{ one.at | time }}. {% endfor %}"
                "{% if not result.appointments %}You have no appointment.{% endif %}"
            ),
            "free_times": FREE_TIMES_TOLD,
            "choose_appointment": (
                "That is {{ result.doctor }} on {{ result.day | day }} at {{ result.at | time }}. "
                "Shall I move it, or cancel it?"
            ),
        },
        failures={
            "my_appointments": "I cannot see your appointments right now.",
            "free_times": "I cannot see the calendar right now.",
            "choose_appointment": "I am sorry, {{ reason }}.",
            "book_appointment": (
                "{% if 'not known' in reason %}I cannot tell whether it was booked; the reception can look it up."
                "{% elif 'the caller' in reason %}All right, I have not booked anything. "
                "Which day and time would you like?"
                "{% else %}I could not book it: {{ reason }}. Which other day and time would you like?{% endif %}"
            ),
            "cancel_appointment": (
                "{% if 'not known' in reason %}I cannot tell whether it was cancelled; the reception can look it up."
                "{% elif 'the caller' in reason %}All right, your appointment stands."
                "{% else %}I could not cancel it: {{ reason }}.{% endif %}"
            ),
        },
        synonyms=SYNONYMS,
        not_understood="I can tell you your appointments, make one, move one or cancel one.",
    ),
)
