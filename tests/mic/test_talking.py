"""Calls from this machine: what the caller says goes into a microphone, and the agent is heard by whoever listens."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bank_api import BankApi, BankSettings
from ear import hears, what_the_agent_said
from phone_call import ACCOUNT_NUMBERS, LATENCIES

from tests.mic.room import PROJECT, RATE_HZ, Room, Talk
from voiceagent.audio import write_stereo_wav
from voiceagent.core import events as ev
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal

pytestmark = [pytest.mark.mic, pytest.mark.timeout(170)]

Begin = Callable[..., Talk]
_CALLER = r"^ *[\d.]+ +caller"
GOODBYE = "Thank you for calling. Goodbye."


def test_a_whole_call_to_the_bank_by_ear(room: Room, begin: Begin, tmp_path: Path) -> None:
    with BankApi(BankSettings(latencies=LATENCIES)) as bank:
        balance = bank.balance_of(ACCOUNT_NUMBERS["daniel"], "checking")
        talk = begin(
            *("talk", str(PROJECT / "phases" / "bank"), "--service-url", bank.url),
            *("--token-url", f"{bank.url}/oauth/token", "--client-id", bank.settings.client_id),
            *("--client-secret", bank.settings.client_secret),
        )
        talk.until(r"agent .*How can I help you")
        room.until_the_agent_is_done()
        room.says("01_greeting_balance")
        talk.until(r"agent .*account number")
        room.until_the_agent_is_done()
        room.says("03_account_number")
        talk.until(r"agent .*(PIN|pin)")
        room.until_the_agent_is_done()
        room.says("04_pin")
        talk.until(r"agent .*checking account")
        room.until_the_agent_is_done(quiet_ms=2_000)
        room.says("10_last_transactions")
        talk.until(r"phase|agent .*transaction|agent .*dollars")
        room.until_the_agent_speaks()
        time.sleep(2.5)  # into its list
        cut_in = room.begins_to_say("08_interrupt_stop")
        cut_in.wait(10)
        talk.until(r"barge-in: the agent falls silent")
        room.until_the_agent_is_done(quiet_ms=2_000)
        room.says("20_goodbye")
        assert talk.until_it_ends() == 0, talk.errors
    assert talk.errors == ""
    summary = inspect_journal(read_journal(tmp_path / talk.journal))
    assert [seen.phase for seen in summary.phases] == ["greeting", "authentication", "account_inquiry", "goodbye"]
    cut = summary.barge_ins[0]
    assert cut.exact
    assert cut.heard
    assert cut.unheard
    write_stereo_wav(tmp_path / "heard.wav", bytes(len(room.heard)), bytes(room.heard), rate_hz=RATE_HZ)
    hearings = asyncio.run(what_the_agent_said(tmp_path / "heard.wav"))
    assert any(hears(balance, words) for words in hearings), (balance, hearings)


def test_a_device_that_is_pulled_out_ends_the_call_and_nothing_is_lost(
    room: Room, begin: Begin, tmp_path: Path
) -> None:
    room.echoes()
    talk = begin("talk", "workshop", "--full-duplex")
    talk.until("agent .*number on your ticket")
    talk.until("caller|barge-in")  # it hears itself, as it does not with what is tested below
    room.unplug()
    assert talk.until_it_ends() == 1
    assert "is gone (Unanticipated host error): the call has ended, and all of it is in its journal" in talk.errors
    journal = read_journal(tmp_path / talk.journal)
    lost = [entry.event for entry in journal.entries if isinstance(entry.event, ev.LegLost)]
    assert len(lost) == 1
    assert "is gone" in lost[0].reason
    assert inspect_journal(journal).ended is not None


@pytest.mark.parametrize(
    ("option", "says", "may_cut_in"),
    [([], "is taken out", True), (["--half-duplex"], "half duplex, you cannot interrupt", False)],
    ids=["cancelled", "half-duplex"],
)
def test_an_agent_does_not_hear_itself(
    room: Room, begin: Begin, tmp_path: Path, option: list[str], says: str, may_cut_in: bool
) -> None:
    room.echoes()
    talk = begin("talk", "workshop", *option)
    talk.until(says)
    from_byte = len(room.heard)
    room.until_the_agent_speaks()
    time.sleep(1.9)  # into what it says; it has learned by now how the room sounds
    assert not talk.found(_CALLER)
    room.says("13_repeat")
    room.until_the_agent_is_done()
    cuts = [int(ms) for line in talk.lines for ms in re.findall(r"falls silent, exactly (\d+) ms", line)]
    assert bool(talk.found(_CALLER)) == len(cuts) == may_cut_in
    if may_cut_in:
        assert -50 <= cuts[0] - room.sounded_ms(from_byte) <= 300  # a sentence has some silence before it, too
    room.says("20_goodbye")
    talk.until("caller .*[Gg]oodbye")
    assert talk.until_it_ends() == 0, talk.errors
    assert inspect_journal(read_journal(tmp_path / talk.journal)).ended is not None


def test_what_is_saved_meanwhile_is_said_from_the_next_phase_on(room: Room, begin: Begin, tmp_path: Path) -> None:
    flow = tmp_path / "workshop" / "flow.yaml"
    talk = begin("talk", "workshop", "--reload")
    talk.until("agent .*number on your ticket")
    saved = flow.read_text()
    assert GOODBYE in saved
    flow.write_text(saved.replace("to: goodbye", "to: gooodbye", 1))
    talk.until("not taken: the agent is as it was")
    flow.write_text(saved.replace(GOODBYE, "So long and ride safely."))
    talk.until("taken when the call enters a phase")
    room.until_the_agent_is_done()
    room.says("20_goodbye")
    talk.until("agent .*So long and ride safely")
    assert talk.until_it_ends() == 0, talk.errors
    journal = read_journal(tmp_path / talk.journal)
    assert [type(entry.event) for entry in journal.entries].count(ev.AgentChanged) == 1


def test_a_voice_is_loud_enough_and_an_echo_is_found(room: Room, begin: Begin) -> None:
    room.echoes()
    listening = begin("devices", "--check")
    listening.until("say something")
    room.says("01_greeting_balance")
    assert listening.until_it_ends() == 0, listening.lines
    assert listening.found("^level: .* dBFS, good")
    assert listening.found("^echo: the microphone hears the loudspeaker, [+-]0 dB after")


def test_devices_are_listed_and_a_muted_microphone_is_told_of(room: Room, begin: Begin) -> None:
    listening = begin("devices", "--check", "--json")
    assert listening.until_it_ends() == 1
    told = json.loads("\n".join(listening.lines))
    assert [device["name"] for device in told["devices"] if device["default_input"]] == ["default"]
    assert told["check"]["verdict"].startswith("nothing at all: it is muted")
    assert told["check"]["echo"] is None


def test_without_a_sound_server_the_ways_to_do_without_are_named(begin: Begin) -> None:
    for arguments in (["talk", "workshop"], ["devices"]):
        nothing = begin(*arguments)
        assert nothing.until_it_ends() == 1
        assert nothing.errors.startswith("voiceagent: there is no microphone")
        assert "voiceagent chat " in nothing.errors
        assert "in a browser, at http://127.0.0.1:8080/" in nothing.errors
        assert "Traceback" not in nothing.errors
        assert "ALSA" not in nothing.errors


def test_a_device_that_there_is_not_is_told_with_the_nearest_one(room: Room, begin: Begin) -> None:
    wrong = begin("talk", "workshop", "--input", "defualt")
    assert wrong.until_it_ends() == 1
    assert wrong.errors.startswith("voiceagent: there is no microphone 'defualt'; did you mean 'default'?")
