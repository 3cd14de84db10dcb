"""What a person gets wrong on the command line is one clear line, before anything is begun."""

from __future__ import annotations

import sys

import pytest

from tests.cli.conftest import Run, Shop

PRICED = ("--prices", "input=2.5,cached=0.5,output=10,characters=15,minute=0.01")
OPEN = ("serve", "shop", "--insecure", "--port", "0")


def test_the_version_is_printed(voiceagent: Run) -> None:
    code, said, _ = voiceagent("--version")
    assert (code, said) == (0, "0.1.0\n")


def complaint(run: tuple[int, str, str]) -> str:
    code, said, complained = run
    assert (code, said) == (1, "")
    assert complained.startswith("voiceagent: ")
    assert complained.count("\n") == 1
    return complained


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ((), "TWILIO_AUTH_TOKEN and VOICEAGENT_PUBLIC_URL"),
        (("--twilio-auth-token", "secret"), "VOICEAGENT_PUBLIC_URL"),
        (("--public-url", "https://voice.example.com"), "TWILIO_AUTH_TOKEN"),
    ],
)
def test_a_server_that_would_refuse_every_call_does_not_start(
    shop: Shop, voiceagent: Run, options: tuple[str, ...], missing: str
) -> None:
    said = complaint(voiceagent("serve", "shop", *options))
    assert said == f"voiceagent: every call would be refused: set {missing}, or try --insecure\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--openai-base-url", "notaurl"), "--openai-base-url is 'notaurl'"),
        (("--anthropic-base-url", "notaurl"), "--anthropic-base-url is 'notaurl'"),
        (("--service-url", "http://[x"), "--service-url is 'http://[x'"),
        (("--token-url", "ftp://x"), "--token-url is 'ftp://x'"),
        (("--state", "reddis://h"), "--state is 'reddis://h'; did you mean 'redis'?"),
        (("--state", "redis://127.0.0.1:1"), "shared state cannot be had: Redis: "),
        (("--state", "sqlite:////proc/state.db"), "/proc/state.db cannot be opened: "),
        (("--public-url", "https://[x"), "public_url is 'https://[x'"),
        (("--internal-url", "rates.internal"), "--internal-url is 'rates.internal'"),
        (("--service-key-variable", "SHOP_KEY"), "the environment has no SHOP_KEY, which is to hold the key"),
        (("--biscuit", "b"), "--biscuit needs --biscuit-public-key"),
        (("--biscuit", "b", "--biscuit-public-key", "k"), "the public key of the biscuit is none"),
        (("--biscuit", "b", "--token-url", "http://x"), "by one of --token-url, --biscuit and --service-key-variable"),
        (("--journals", "/proc/journals"), "nothing can be written to /proc/journals"),
        (("--max-spend", "call=1"), "--max-spend needs --prices: nobody knows what a call costs"),
        (("--prices", "input=1"), "--prices alone limits nothing: say what may be spent"),
        ((*PRICED, "--max-spend", "cal=1"), "--max-spend has no 'cal'; did you mean 'call'?"),
        ((*PRICED, "--max-spend", "x=1"), "--max-spend has no 'x'; there are: call, caller, agent, process"),
        ((*PRICED, "--max-spend", "call"), "--max-spend takes names and US dollars, call=2.5, not 'call'"),
        ((*PRICED, "--max-spend", "call=1,call=2"), "--max-spend has 'call' twice"),
        ((*PRICED, "--max-spend", "call=-1"), "--max-spend: call is '-1', but must be US dollars, such as 2.5"),
        ((*PRICED, "--max-spend", "call=0.00"), "--max-spend: call is 0, so that no call could be taken"),
        (("--max-spend", "call=1", "--prices", "inptu=1"), "--prices has no 'inptu'; did you mean 'input'?"),
        (("--max-spend", "call=1", "--prices", "input=nan"), "--prices: input is 'nan', but must be US dollars"),
        (("--max-spend", "call=1", "--prices", ""), "--prices takes names and US dollars, input=2.5, not ''"),
    ],
)
def test_a_setting_that_cannot_be_is_told_at_the_start(
    shop: Shop, voiceagent: Run, options: tuple[str, ...], expected: str
) -> None:
    assert expected in complaint(voiceagent(*OPEN, *options))


@pytest.mark.parametrize(
    "option", ["--service-url", "--token-url", "--internal-url", "--openai-base-url", "--anthropic-base-url"]
)
def test_e2_a_password_in_an_address_is_refused_and_not_repeated(shop: Shop, voiceagent: Run, option: str) -> None:
    said = complaint(voiceagent(*OPEN, option, "https://me:canary-77@api.example.com/v1"))
    assert f"{option} has a name or a password in it" in said
    assert "canary" not in said


def test_a_port_beyond_the_last_one_is_refused(shop: Shop, voiceagent: Run) -> None:
    code, _, said = voiceagent("serve", "shop", "--insecure", "--port", "65536")
    assert code == 2
    assert "--port" in said


def test_two_agents_of_one_name_are_refused(shop: Shop, voiceagent: Run) -> None:
    shop.write(beside="other")
    assert "two agents are called 'shop'" in complaint(voiceagent(*OPEN, "other/phases/shop"))


@pytest.mark.parametrize("command", [OPEN, ("call", "shop", "--script", "caller.yaml")])
def test_an_agent_that_check_refuses_is_neither_served_nor_called(
    shop: Shop, voiceagent: Run, command: tuple[str, ...]
) -> None:
    shop.write(then="godbye")
    shop.script("hang_up")
    said = complaint(voiceagent(*command))
    assert "did you mean 'goodbye'?" in said
    assert "phases/shop/__init__.py:" in said


@pytest.mark.parametrize(
    "body",
    [
        'await ctx.http.get("/hours")',
        'await _hours(ctx)\n\n\nasync def _hours(ctx: ToolContext) -> object:\n    return await ctx.http.get("/hours")',
    ],
    ids=["directly", "through another function"],
)
@pytest.mark.parametrize("command", [OPEN, ("call", "shop", "--script", "caller.yaml")])
def test_tools_without_their_service_are_told_before_the_first_call(
    shop: Shop, voiceagent: Run, command: tuple[str, ...], body: str
) -> None:
    shop.write(body=body)
    shop.script("hang_up")
    said = complaint(voiceagent(*command))
    assert said == "voiceagent: the tools of shop call a service (opening_hours): name it with --service-url\n"


def test_tools_that_reach_no_service_of_their_agents_need_none(shop: Shop, voiceagent: Run) -> None:
    shop.write(
        body='await ctx.http.get("https://hours.example.com/")', egress='(egress="GET https://hours.example.com")'
    )
    options = ("--engines", "null", "--script", shop.script("wait_for: agent_done", "hang_up"))
    assert voiceagent("call", "shop", *options)[0] == 0


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("ws://127.0.0.1:9/media/twilio/shop", "nobody listens at 127.0.0.1:9; is voiceagent serve running?"),
        ("http://127.0.0.1:9/media/twilio/shop", "is no media URL: use ws://… or wss://…"),
        ("http://127.0.0.1:9/twilio/shop/answer", "nobody listens at 127.0.0.1:9; is voiceagent serve running?"),
        ("ws://127.0.0.1:99999/x", "is no media URL"),
        ("ws://[::1/x", "is no media URL"),
        ("x" * 300, "there is no agent 'xxx"),
    ],
)
def test_a_call_that_reaches_nobody_is_one_line(shop: Shop, voiceagent: Run, target: str, expected: str) -> None:
    assert expected in complaint(voiceagent("call", target, "--script", shop.script("wait_ms: 0")))


def test_a_recording_that_cannot_be_written_is_told_before_the_call(shop: Shop, voiceagent: Run) -> None:
    script = shop.script("hang_up")
    said = complaint(
        voiceagent("call", "shop", "--engines", "null", "--script", script, "--record", "/proc/none/call.wav")
    )
    assert "the recording cannot be written: /proc/none/call.wav: No such file or directory" in said


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ("openai:m", "openai:m needs OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint of your own"),
        ("anthropic:m", "anthropic:m needs ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL for an endpoint of your own"),
        ("openai:m,anthropic:n", "OPENAI_BASE_URL for an endpoint of your own; anthropic:n needs ANTHROPIC_API_KEY"),
        ("claude", "no model 'claude': write `guided`, or one of `openai:`, `openai-responses:`, `anthropic:`"),
    ],
)
@pytest.mark.parametrize("command", [OPEN, ("call", "shop", "--script", "caller.yaml")])
def test_a_model_that_nobody_lets_us_ask_is_told_at_the_start(
    shop: Shop, voiceagent: Run, command: tuple[str, ...], names: str, missing: str
) -> None:
    shop.script("hang_up")
    assert missing in complaint(voiceagent(*command, "--engines", "null", "--model", names))


@pytest.mark.parametrize(("names", "extra"), [("openai:m", "openai"), ("openai:m,anthropic:n", "anthropic")])
def test_a_model_without_its_library_is_told_at_the_start(
    shop: Shop, voiceagent: Run, monkeypatch: pytest.MonkeyPatch, names: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, extra, None)
    keys = ("--openai-api-key", "sk-1", "--anthropic-api-key", "sk-2")
    said = complaint(voiceagent(*OPEN, "--engines", "null", "--model", names, *keys))
    assert f"pip install 'voiceagent[{extra}]'" in said
