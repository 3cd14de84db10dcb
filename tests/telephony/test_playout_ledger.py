"""What the caller has heard: reckoned from marks and the clock, never from what was sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from voiceagent.core.events import PlayoutReached, PlayoutStarted, PlayoutStopped
from voiceagent.telephony.ledger import PlayoutLedger

BYTES_PER_MS = 8


def ms(n):
    return n * BYTES_PER_MS


def ledger():
    return PlayoutLedger(bytes_per_ms=BYTES_PER_MS)


def test_an_utterance_is_heard_as_time_passes_and_not_beyond_what_was_sent():
    book = ledger()
    book.sent("a1", ms(400), now_ms=1000)
    assert [book.heard_ms("a1", at) for at in (1000, 1150, 1400, 9000)] == [0, 150, 400, 400]
    assert book.backlog_ms(1150) == 250


def test_what_follows_a_pause_is_heard_from_when_it_was_sent():
    book = ledger()
    book.sent("a1", ms(100), now_ms=1000)
    book.sent("a1", ms(100), now_ms=5000)
    assert book.heard_ms("a1", 5000) == 100
    assert book.heard_ms("a1", 5050) == 150


def test_a_mark_that_comes_back_moves_the_position_to_where_the_far_side_is():
    book = ledger()
    book.sent("a1", ms(100), now_ms=1000)
    mark = book.end_clause("a1", 0, last=False, now_ms=1000)
    book.sent("a1", ms(300), now_ms=1000)
    assert book.acknowledge(mark, 1180) == [PlayoutStarted("a1", 1080), PlayoutReached("a1", 0, 100, finished=False)]
    assert book.heard_ms("a1", 1180) == 100
    assert book.heard_ms("a1", 1250) == 170


def test_a_mark_stands_for_all_before_it():
    book = ledger()
    book.sent("a1", ms(100), now_ms=0)
    book.end_clause("a1", 0, last=False, now_ms=0)
    book.sent("a1", ms(100), now_ms=0)
    second = book.end_clause("a1", 1, last=True, now_ms=0)
    reached = [event for event in book.acknowledge(second, 250) if isinstance(event, PlayoutReached)]
    assert reached == [PlayoutReached("a1", 0, 100, finished=False), PlayoutReached("a1", 1, 200, finished=True)]
    assert not book.waiting


def test_marks_sent_back_by_a_clear_do_not_mean_heard():
    book = ledger()
    book.sent("a1", ms(400), now_ms=0)
    mark = book.end_clause("a1", 0, last=True, now_ms=0)
    assert book.clear(100) == [PlayoutStopped("a1", 100, exact=False)]
    assert book.acknowledge(mark, 120) is None
    book.sent("a2", ms(400), now_ms=130)
    new = book.end_clause("a2", 0, last=True, now_ms=130)
    assert new != mark
    assert book.acknowledge(mark, 140) is None
    assert book.heard_ms("a2", 140) == 10


def test_what_was_stopped_is_exact_where_the_far_side_said_so():
    book = ledger()
    book.sent("a1", ms(100), now_ms=0)
    mark = book.end_clause("a1", 0, last=False, now_ms=0)
    book.acknowledge(mark, 130)
    book.begin("a2")
    book.sent("a3", ms(100), now_ms=130)
    assert book.clear(150) == [
        PlayoutStopped("a1", 100, exact=True),
        PlayoutStopped("a2", 0, exact=True),
        PlayoutStopped("a3", 20, exact=False),
    ]


def test_a_clause_without_audio_still_ends_its_utterance():
    book = ledger()
    mark = book.end_clause("a1", 0, last=True, now_ms=0)
    assert book.acknowledge(mark, 30) == [PlayoutReached("a1", 0, 0, finished=True)]


def test_a_second_utterance_starts_when_the_first_has_been_played():
    book = ledger()
    book.sent("a1", ms(100), now_ms=0)
    book.sent("a2", ms(100), now_ms=0)
    assert book.started(0) == [PlayoutStarted("a1", 0)]
    assert book.started(90) == []
    assert book.started(120) == [PlayoutStarted("a2", 100)]


def test_silence_that_fills_a_frame_is_not_heard_as_speech():
    book = ledger()
    book.sent("a1", ms(50), padding_bytes=ms(10), now_ms=0)
    mark = book.end_clause("a1", 0, last=False, now_ms=0)
    book.sent("a1", ms(60), now_ms=0)
    assert book.acknowledge(mark, 60)[-1] == PlayoutReached("a1", 0, 50, finished=False)
    assert book.heard_ms("a1", 500) == 110


def test_a_mark_that_never_comes_back_counts_once_it_is_overdue():
    book = ledger()
    book.sent("a1", ms(100), now_ms=0)
    book.end_clause("a1", 0, last=True, now_ms=0)
    assert book.overdue(2099, grace_ms=2000) == []
    assert book.overdue(2100, grace_ms=2000)[-1] == PlayoutReached("a1", 0, 100, finished=True)
    assert book.overdue(9000, grace_ms=2000) == []


def test_a_far_side_that_is_late_once_is_given_as_much_time_afterwards():
    book = ledger()
    book.sent("a1", ms(100), now_ms=0)
    first = book.end_clause("a1", 0, last=False, now_ms=0)
    book.sent("a1", ms(100), now_ms=0)
    book.end_clause("a1", 1, last=True, now_ms=0)
    book.acknowledge(first, 1600)
    assert book.overdue(2200, grace_ms=2000) == []
    assert book.overdue(3700, grace_ms=2000) != []


class LedgerLaws(RuleBasedStateMachine):
    """Whatever is sent, acknowledged and cleared in whatever order."""

    def __init__(self):
        super().__init__()
        self.book = ledger()
        self.now = 0
        self.sent = {}
        self.marks = []
        self.old_marks = []
        self.finished = set()
        self.told = []

    @rule(gap=st.integers(0, 300))
    def time_passes(self, gap):
        before = {u: self.book.heard_ms(u, self.now) for u in self.sent}
        self.now += gap
        assert all(self.book.heard_ms(u, self.now) >= heard for u, heard in before.items())
        self.told += self.book.started(self.now)

    @rule(utterance=st.sampled_from(["a1", "a2", "a3"]), length=st.integers(1, 500), padding=st.integers(0, 19))
    def audio_is_sent(self, utterance, length, padding):
        self.book.sent(utterance, ms(length), padding_bytes=ms(padding), now_ms=self.now)
        self.sent[utterance] = self.sent.get(utterance, 0) + length

    @rule(utterance=st.sampled_from(["a1", "a2", "a3"]))
    def a_clause_ends(self, utterance):
        self.sent.setdefault(utterance, 0)
        self.marks.append(self.book.end_clause(utterance, 0, last=False, now_ms=self.now))

    @rule(data=st.data())
    def a_mark_comes_back(self, data):
        if self.marks:
            at = data.draw(st.integers(0, len(self.marks) - 1))
            told = self.book.acknowledge(self.marks[at], self.now)
            assert sum(isinstance(event, PlayoutReached) for event in told) == at + 1
            self.told += told
            del self.marks[: at + 1]

    @rule(data=st.data())
    def an_old_mark_comes_back(self, data):
        if self.old_marks:
            assert self.book.acknowledge(data.draw(st.sampled_from(self.old_marks)), self.now) is None

    @rule()
    def playout_is_cleared(self):
        expected = {u: self.book.heard_ms(u, self.now) for u in self.sent}
        stopped = self.book.clear(self.now)
        assert {s.utterance: s.heard_ms for s in stopped} == expected
        assert all(s.heard_ms == self.sent[s.utterance] for s in stopped if s.exact)
        self.old_marks += self.marks
        self.marks.clear()
        self.sent.clear()
        assert not self.book.waiting
        assert self.book.backlog_ms(self.now) == 0

    @invariant()
    def nobody_hears_more_than_was_sent(self):
        for utterance, sent in self.sent.items():
            assert 0 <= self.book.heard_ms(utterance, self.now) <= sent

    @invariant()
    def nothing_starts_in_the_future(self):
        assert all(event.at_ms <= self.now for event in self.told if isinstance(event, PlayoutStarted))


TestLedgerLaws = LedgerLaws.TestCase


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(0, 400))
def test_clauses_add_up_to_the_utterance(lengths, delay):
    book = ledger()
    marks = []
    for number, length in enumerate(lengths):
        book.sent("a1", ms(length), now_ms=0)
        marks.append(book.end_clause("a1", number, last=number == len(lengths) - 1, now_ms=0))
    reached = [e for m in marks for e in book.acknowledge(m, delay) if isinstance(e, PlayoutReached)]
    assert [r.heard_ms for r in reached] == [sum(lengths[: n + 1]) for n in range(len(lengths))]
    assert [r.finished for r in reached] == [False] * (len(lengths) - 1) + [True]
