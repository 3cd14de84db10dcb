"""A call by typing: the session, the flow and the tools are those of any call, and so is its journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bank_api import BankApi, BankSettings, LatencyRange

from tests.cli.chats import ROOT, Terminal, chat_by_pipe, chat_without_a_reader
from tests.cli.conftest import Run
from tests.models.provider_server import frame, provider_elsewhere, streams
from voiceagent.core import events as ev
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay
from voiceagent.testing.promotion import promoted

GREETING = "Hello, this is the bicycle workshop. What is the number on your ticket?"
GOODBYE = "I am sorry, I have to end this call now. Please call again in a moment. Goodbye."

pytestmark = pytest.mark.timeout(180)
"""Each is a process of its own, on a machine that may have others."""

Edit = Callable[[str, str, str], None]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voiceagent: Run) -> Path:
    """A folder with the agent `workshop`, as `voiceagent new` writes it."""
    monkeypatch.chdir(tmp_path)
    assert voiceagent("new", "workshop")[0] == 0
    return tmp_path


@pytest.fixture
def edit(workshop: Path) -> Edit:
    """Replace words in one of its files."""

    def replace(file: str, before: str, after: str) -> None:
        path = workshop / "workshop" / file
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))

    return replace


def test_a_whole_call_is_read_as_it_goes(workshop: Path):
    chat = chat_by_pipe(workshop, "workshop", "4711\nwhen are you open\nbye\n")
    assert chat.code == 0, chat.complained
    assert chat.said.splitlines()[:-1] == [
        "phase    welcome",
        f"agent    {GREETING}",
        "you      4711",
        'tool     find_repair(ticket="4711")',
        'result   find_repair: {"bicycle": "blue city bicycle", "ready_on": "Friday"} (0 ms)',
        "phase    repair",
        "agent    Your blue city bicycle is ready on Friday. Is there anything else?",
        "you      when are you open",
        "agent    We are open from nine to six.",
        "you      bye",
        "asked    finish()",
        "phase    goodbye",
        "agent    Thank you for calling. Goodbye.",
        "ended    phase goodbye",
    ]


def test_its_journal_is_that_of_any_call(workshop: Path):
    (path,) = chat_by_pipe(workshop, "workshop", "4712\n2040\nbye\n").journals
    journal, flow = read_journal(path), load_flow(workshop / "workshop")
    assert journal.complete
    assert replay(journal, flow).same
    assert "says: two zero four zero" in promoted(journal, flow, agent="workshop") or "says: '2040'" in promoted(
        journal, flow, agent="workshop"
    )


def test_for_machines_every_line_is_an_object(workshop: Path):
    chat = chat_by_pipe(workshop, "workshop", "4711\n/facts\n/nonsense\nbye", "--json")
    assert [event["what"] for event in chat.events] == [
        *("phase", "agent", "caller", "tool", "result", "phase", "agent"),
        *("answer", "note"),
        *("caller", "asked", "phase", "agent", "ended", "recorded"),
    ]
    assert chat.of("recorded") == [{"what": "recorded", "journal": f"journals/{chat.journals[0].name}", "problems": []}]
    assert chat.answer("facts")["facts"] == {"bicycle": "blue city bicycle", "ready_on": "Friday"}
    first = chat.of("agent")[0]
    assert first == {
        "what": "agent",
        "at_ms": first["at_ms"],
        "kind": "said",
        "text": GREETING,
        "utterance": "a1",
        "clause": 0,
    }


def test_the_words_are_those_of_the_flow_and_not_as_they_are_read_out(workshop: Path, edit: Edit):
    edit("flow.yaml", "We are open from nine to six.", "We are open 9-18h, tel. 555-0100, from $5.")
    chat = chat_by_pipe(workshop, "workshop", "4711\nwhen are you open\n")
    assert "We are open 9-18h, tel. 555-0100, from $5." in chat.said


def test_a_slow_tool_is_waited_for_and_covered_by_a_filler(workshop: Path, edit: Edit):
    edit("tools.py", "    if ticket not in", "    await asyncio.sleep(1.3)\n    if ticket not in")
    edit("tools.py", "from voiceagent", "import asyncio\n\nfrom voiceagent")
    chat = chat_by_pipe(workshop, "workshop", "4711\nbye\n", "--json")
    kinds = [event["kind"] for event in chat.of("agent")]
    assert kinds == ["said", "filler", "said", "said"]
    assert 1_300 <= chat.of("result")[0]["took_ms"] < 5_000


def test_time_stands_still_for_whoever_reads_and_passes_for_whoever_waits(workshop: Path, edit: Edit):
    edit(
        "flow.yaml",
        "    max_turns: 10\n",
        '    max_turns: 10\n    no_input: {after_ms: 1000, phrases: ["Still there?"]}\n',
    )
    terminal = Terminal(workshop, "workshop").until("ticket?").types("4711\n").until("anything else?").until("you")
    terminal.watches(2)  # twice the time after which a caller on the telephone is asked
    assert "Still there?" not in terminal.shown
    terminal.types("/wait 1.5\n").until("Still there?").types("bye\n")
    assert terminal.ends().code == 0


def test_nobody_is_hurried_by_the_time_that_their_lines_took(workshop: Path):
    chat = chat_by_pipe(workshop, "workshop", "4711\n" + "when are you open\n" * 5 + "/wait 20\n", "--json")
    asked = [
        event["text"] for event in chat.of("agent") if event["text"].startswith(("Are you still", "I cannot hear"))
    ]
    assert asked == ["Are you still there?", "I cannot hear you. Are you there?"]
    assert chat.of("ended")[0]["reason"] == "phase goodbye"


def test_keys_are_pressed(workshop: Path):
    chat = chat_by_pipe(workshop, "workshop", "/press 4711\n/press 12x\n/press\n", "--json")
    assert "".join(event["keys"] for event in chat.of("keys")) == "4711"
    assert chat.of("tool")[0]["arguments"] == {"ticket": "4711"}
    assert [event["text"][:18] for event in chat.of("note")[:2]] == ["/press takes the k"] * 2


def test_hanging_up_is_the_end_of_what_was_typed(workshop: Path):
    chat = chat_by_pipe(workshop, "workshop", "/hangup\n4711\n", "--json")
    assert (chat.code, chat.of("tool")) == (0, [])
    assert chat.of("ended")[0]["reason"] == "the caller hung up"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/fcts", "there is no /fcts; did you mean '/facts'?"),
        ("/xyzzy", "there is no /xyzzy; /help tells what there is"),
        ("/why not", "/why takes nothing behind it"),
        ("/wait", "/wait takes seconds, more than 0 and at most 3600: /wait 10"),
        ("/wait nan", "/wait takes seconds, more than 0 and at most 3600: /wait 10"),
        ("/wait -1", "/wait takes seconds, more than 0 and at most 3600: /wait 10"),
    ],
)
def test_what_cannot_be_asked_is_answered_with_what_can(workshop: Path, line: str, said: str):
    assert chat_by_pipe(workshop, "workshop", f"{line}\n", "--json").of("note")[0]["text"] == said


def test_whatever_is_typed_nobody_breaks(workshop: Path):
    chat = chat_by_pipe(workshop, "workshop", b"\xff\xfe\x00\n\n   \n" + b"z" * 20_000 + b"\n\x1b[2J\nbye", "--json")
    assert (chat.code, chat.complained) == (0, "")
    assert "only the first 1000 characters of the line are said" in [event["text"] for event in chat.of("note")]
    assert chat.of("ended")


def test_what_an_author_wrote_cannot_steer_the_terminal(workshop: Path, edit: Edit):
    edit("flow.yaml", "We are open from nine to six.", '"\\e]0;owned\\aWe are open."')
    chat = chat_by_pipe(workshop, "workshop", "4711\nwhen are you open\n/phase\n")
    assert "We are open." in chat.said
    assert "\x1b" not in chat.said


@pytest.mark.parametrize("keys", ["\x04", "\x03"], ids=["Ctrl-D", "Ctrl-C"])
def test_whoever_leaves_is_said_goodbye_to(workshop: Path, keys: str):
    terminal = Terminal(workshop, "workshop").until("ticket?").until("you").types(keys).until(GOODBYE)
    chat = terminal.ends()
    assert chat.code == 0, chat.said
    (path,) = chat.journals
    assert [entry.event for entry in read_journal(path).entries][-1] == ev.CallEnded("server stops")


def test_whoever_leaves_while_a_tool_runs_is_said_goodbye_to(workshop: Path, edit: Edit):
    edit("tools.py", "    if ticket not in", "    await asyncio.sleep(30)\n    if ticket not in")
    edit("tools.py", "from voiceagent", "import asyncio\n\nfrom voiceagent")
    terminal = Terminal(workshop, "workshop").until("ticket?").until("you").types("4711\n").until("find_repair")
    chat = terminal.types("\x03").until(GOODBYE).ends()
    assert (chat.code, read_journal(chat.journals[0]).complete) == (0, True)


def test_whoever_does_not_wait_for_the_goodbye_breaks_the_call_off(workshop: Path, edit: Edit):
    edit("tools.py", "@tool(sets=", '@tool(effect="write", sets=')
    edit("tools.py", "    if ticket not in", "    await asyncio.sleep(30)\n    if ticket not in")
    edit("tools.py", "from voiceagent", "import asyncio\n\nfrom voiceagent")
    terminal = Terminal(workshop, "workshop").until("ticket?").until("you").types("4711\n").until("tool ")
    terminal.types("\x03").until(GOODBYE)  # and then what was begun is waited for: nobody knows what became of it
    chat = terminal.types("\x03").ends()
    (path,) = chat.journals
    assert chat.code in (0, 1)
    assert read_journal(path).complete


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_where_nobody_reads_along_any_more_the_call_is_ended_in_good_order(workshop: Path, options: tuple[str, ...]):
    chat = chat_without_a_reader(workshop, "workshop", "4711\nwhen are you open\n/why\n", *options)
    assert (chat.code, chat.complained) == (1, "")
    assert read_journal(chat.journals[0]).complete


def test_an_empty_pipe_is_a_caller_who_leaves(workshop: Path):
    chat = chat_by_pipe(workshop, "workshop", b"")
    assert chat.code == 0
    assert GREETING in chat.said
    assert GOODBYE in chat.said


def test_a_tool_that_breaks_is_told_and_is_the_exit_code(workshop: Path, edit: Edit):
    edit("tools.py", "    if ticket not in", "    raise ZeroDivisionError\n    if ticket not in")
    chat = chat_by_pipe(workshop, "workshop", "4711\n", "--json")
    assert chat.code == 1
    assert chat.of("failed")[0]["kind"] == "crashed"
    assert "the tool find_repair crashed" in chat.complained


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("wrkshop",), "there is no agent 'wrkshop'"),
        (("workshop", "--model", "opanai:x"), "no model 'opanai:x'"),
        (("workshop", "--model", "openai:gpt-x"), "openai:gpt-x needs OPENAI_API_KEY"),
        (("workshop", "--journals", "/proc/nowhere"), "nothing can be written to /proc/nowhere"),
        (("workshop", "--time-zone", "Mars/Base"), "Mars/Base"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_said(
    workshop: Path, voiceagent: Run, arguments: tuple[str, ...], complaint: str
):
    del workshop
    code, said, complained = voiceagent("chat", *arguments)
    assert (code, said) == (1, "")
    assert complained.startswith("voiceagent: ")
    assert complaint in complained
    assert complained.count("\n") == 1


def test_an_agent_that_check_refuses_is_not_called(workshop: Path, edit: Edit, voiceagent: Run):
    del workshop
    edit("flow.yaml", "        to: repair", "        to: repare")
    code, said, complained = voiceagent("chat", "workshop")
    assert (code, said) == (1, "")
    assert "flow.yaml:" in complained
    assert "did you mean 'repair'?" in complained


def test_a_model_that_is_named_speaks_and_is_shown_what_why_tells(workshop: Path):
    pytest.importorskip("openai", reason="needs the extra 'openai'")
    words = ["Which ", "ticket is it? ", "It has four", " digits."]
    chunks = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    same = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    answer = streams([*(frame({**same, **chunk}) for chunk in (*chunks, done)), frame("[DONE]")])
    with provider_elsewhere(lambda _: answer) as provider:
        at = ("--model", "openai:m", "--openai-base-url", provider.url, "--openai-api-key", "k")
        chat = chat_by_pipe(workshop, "workshop", "hello there\n/why\n", "--json", *at)
    assert [event["text"] for event in chat.of("agent") if event["kind"] == "reply"] == [
        "Which ticket is it?",
        "It has four digits.",
    ]
    offered = chat.answer("why")["offered"][0]["tools"]
    assert [tool["function"]["name"] for tool in provider.bodies[0]["tools"]] == offered == ["find_repair", "finish"]


def test_what_is_being_fetched_ahead_is_waited_for_in_real_time(tmp_path: Path):
    latencies = {
        "accounts": LatencyRange(1_400, 1_400),
        "transactions": LatencyRange(0, 0),
        "verify": LatencyRange(0, 0),
    }
    with BankApi(BankSettings(latencies=latencies)) as bank:
        known = bank.settings
        at = ("--service-url", bank.url, "--token-url", f"{bank.url}/oauth/token", "--client-id", known.client_id)
        typed = "what is my balance\nfour five one nine two two seven\none two three four\n"
        agent = str(ROOT / "phases" / "bank")
        chat = chat_by_pipe(tmp_path, agent, typed, "--json", *at, "--client-secret", known.client_secret)
    (served,) = chat.of("served")
    assert (served["tool"], served["how"]) == ("get_accounts", "joined")
    (fetched,) = [event for event in chat.of("fetched") if event["tool"] == "get_accounts"]
    assert 1_400 <= fetched["took_ms"] < 4_000
    kinds = [event["kind"] for event in chat.of("agent")]
    assert kinds.count("filler") == 1  # more, and an apology, had the clock been put forward instead
    assert chat.of("agent")[kinds.index("filler") + 1]["text"].startswith("Your checking account holds")


def test_tools_without_a_service_are_named_and_the_call_goes_on(tmp_path: Path):
    chat = chat_by_pipe(tmp_path, str(ROOT / "phases" / "bank"), "hello\n", "--json")
    assert chat.code == 0
    assert chat.of("note")[0]["text"].startswith("no service is named (--service-url): verify_caller, get_accounts")
    assert "I can help with your balance" in " ".join(event["text"] for event in chat.of("agent"))
