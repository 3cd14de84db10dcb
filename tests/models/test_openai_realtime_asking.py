"""OpenAI Realtime without a socket: one reply is asked for at a time, none is lost where two cross."""

from __future__ import annotations

import pytest

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.ports import SessionLost, SpeechModelEvent

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import ACTIVE, NOTE, began, done, error, open_wire, requested, result


def test_p3_a_reply_is_never_asked_for_while_one_is_being_made():
    wire = open_wire()
    wire.receive(began("resp_1"))
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    assert wire.asks == 0

    wire.receive(done("resp_1"))
    assert wire.asks == 1


def test_an_ask_while_one_is_under_way_is_the_same_unless_more_was_told():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    wire.send(wire.protocol.ask())
    wire.receive(began("resp_1"), done("resp_1"))  # from a server that confirms nothing of what it is told
    assert wire.asks == 1

    wire.send(wire.protocol.ask())
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    assert wire.asks == 2
    wire.receive(began("resp_2"))
    wire.confirm_told()
    wire.receive(done("resp_2"))
    assert wire.asks == 3


def test_a_reply_of_its_own_accord_that_knows_all_counts_as_the_one_asked_for():
    wire = open_wire()
    wire.receive(began("resp_1"))
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    wire.confirm_told()
    wire.receive(done("resp_1"))
    [ask] = wire.sent_kind("response.create")

    # The caller had spoken meanwhile: the provider began this one before our ask came in.
    wire.receive(began("resp_2"), error(ACTIVE, about=ask["event_id"]), done("resp_2"))

    assert wire.asks == 1


def test_an_ask_that_waits_is_met_by_a_reply_of_its_own_accord_that_knows_all():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    wire.confirm_told()
    [ask] = wire.send(wire.protocol.ask())
    wire.receive(error(ACTIVE, about=ask["event_id"]))
    assert wire.protocol.waits_to_ask

    wire.receive(began("resp_1"), done("resp_1"))

    assert wire.asks == 1
    assert not wire.protocol.waits_to_ask


def test_p3_an_ask_that_crosses_a_reply_is_repeated_after_it_where_the_reply_could_not_know():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    [ask] = wire.send(wire.protocol.ask())

    wire.receive(began("resp_1"))
    wire.confirm_told()
    wire.receive(error(ACTIVE, about=ask["event_id"]))
    assert wire.asks == 1
    wire.receive(done("resp_1"))
    assert wire.asks == 2


def test_p3_the_refusal_may_come_after_the_crossing_reply_is_over():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    [ask] = wire.send(wire.protocol.ask())

    wire.receive(began("resp_1"), done("resp_1"), error(ACTIVE, about=ask["event_id"]))

    assert wire.asks == 2


def test_p3_an_ask_refused_for_a_reply_that_has_not_begun_is_repeated():
    wire = open_wire()
    [ask] = wire.send(wire.protocol.ask())

    assert wire.receive(error(None, about=ask["event_id"], kind=ACTIVE)) == []
    assert wire.protocol.waits_to_ask
    wire.send(wire.protocol.ask_again())
    assert wire.asks == 2
    assert not wire.protocol.waits_to_ask


def test_p3_a_provider_that_goes_on_refusing_is_given_up():
    wire = open_wire()
    wire.send(wire.protocol.ask())
    events: list[SpeechModelEvent] = []
    while not events and wire.asks < 100:
        events = wire.receive(error(ACTIVE, about=wire.sent[-1]["event_id"]))
        wire.send(wire.protocol.ask_again())

    assert events == [SessionLost(f"a model did not reply ({ACTIVE})", permanent=False)]
    assert not wire.protocol.waits_to_ask


def test_an_ask_refused_for_another_reason_ends_the_session_since_nobody_would_speak():
    wire = open_wire()
    [ask] = wire.send(wire.protocol.ask())

    assert wire.receive(error("rate_limit_exceeded", about=ask["event_id"])) == [
        SessionLost("a model did not reply (rate_limit_exceeded)", permanent=False)
    ]


def test_a_failure_of_the_servers_own_while_a_reply_is_due_ends_the_session():
    wire = open_wire()
    assert wire.receive(error(None, kind="server_error")) == []
    wire.send(wire.protocol.ask())

    assert wire.receive(error(None, kind="server_error")) == [
        SessionLost("a model did not reply (server_error)", permanent=False)
    ]


def test_p6_nothing_that_is_told_makes_the_model_speak():
    wire = open_wire()
    requested(wire, "call_1")

    wire.send(wire.protocol.tell([Message(1, "caller", "Hello", Epoch(1)), NOTE, result("call_1")]))
    wire.confirm_told()

    assert wire.asks == 0
