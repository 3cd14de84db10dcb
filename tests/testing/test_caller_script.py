"""A caller's script is read whole before the call; every mistake in it has a file and a line."""

from __future__ import annotations

import contextlib
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.audio import mulaw_energy, write_wav
from voiceagent.errors import ScriptError
from voiceagent.spec.located_yaml import MAX_FILE_BYTES, LocatedYaml
from voiceagent.testing.caller_script import (
    BargeInStep,
    CallerScript,
    ExpectHangUpStep,
    HangUpStep,
    PressStep,
    SayStep,
    WaitForAgentStep,
    WaitStep,
)

SPEECH = Path(__file__).parents[2] / "demo" / "speech"


def tone(ms: int, *, rate_hz: int, peak: int = 8_000) -> bytes:
    count = rate_hz * ms // 1000
    return struct.pack(f"<{count}h", *(round(peak * math.sin(2 * math.pi * 400 * n / rate_hz)) for n in range(count)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    silence = bytes(2 * 8 * 100)
    write_wav(tmp_path / "hello.wav", silence + tone(300, rate_hz=8000) + silence, rate_hz=8000)
    return tmp_path


def script(folder: Path, text: str) -> CallerScript:
    path = folder / "script.yaml"
    path.write_text(text, encoding="utf-8")
    return CallerScript.read(path)


def mistake(folder: Path, text: str) -> str:
    """Return what is said about a script, without the folder's name."""
    with pytest.raises(ScriptError) as raised:
        script(folder, text)
    return str(raised.value).replace(f"{folder}/", "")


def test_every_step_and_heading_can_be_written(folder: Path):
    read = script(
        folder,
        """
name: everything
voice: hibari-heart
caller_number: +442079460000
parameters: {tenant: demo, code: 007, vip: no}
steps:
  - wait_for: agent_done
  - say: hello.wav
  - barge_in: {after_ms: 900, say: hello.wav}
  - wait_for: agent_done
    quiet_ms: 1500
    at_most_ms: 20000
  - wait_ms: 500
  - press: "1234#"
  - press: 0123
  - expect_hang_up: {within_ms: 8000}
  - hang_up
""",
    )
    kinds = [type(step) for step in read.steps]
    waits, presses = (WaitForAgentStep, WaitStep), (PressStep, PressStep)
    assert kinds == [waits[0], SayStep, BargeInStep, *waits, *presses, ExpectHangUpStep, HangUpStep]
    assert (read.name, read.voice, read.caller_number) == ("everything", "hibari-heart", "+442079460000")
    assert read.parameters == {"tenant": "demo", "code": "007", "vip": "no"}
    assert read.steps[6] == PressStep("0123", read.steps[6].source)
    assert [step.source.line for step in read.steps if step.source] == [7, 8, 9, 10, 13, 14, 15, 16, 17]


def test_an_utterance_knows_where_its_voice_begins_and_ends(folder: Path):
    step = script(folder, "name: a\nsteps:\n  - say: hello.wav\n").steps[0]
    assert isinstance(step, SayStep)
    assert (step.utterance.voiced_from_ms, step.utterance.voiced_until_ms) == (100, 400)
    assert len(step.utterance.frames) == 25


def test_an_utterance_in_a_noisy_room_ends_with_the_voice_not_with_the_noise(folder: Path):
    noise = tone(400, rate_hz=8000, peak=300)
    write_wav(folder / "noisy.wav", noise + tone(300, rate_hz=8000, peak=12_000) + noise, rate_hz=8000)
    step = script(folder, "name: a\nsteps:\n  - say: noisy.wav\n").steps[0]
    assert isinstance(step, SayStep)
    assert (step.utterance.voiced_from_ms, step.utterance.voiced_until_ms) == (400, 700)


@pytest.mark.engines
def test_a_recording_of_another_rate_is_brought_to_the_telephones(folder: Path):
    pytest.importorskip("soxr")
    step = script(folder, f"name: a\nsteps:\n  - say: {SPEECH / '04_pin.wav'}\n").steps[0]
    assert isinstance(step, SayStep)
    assert len(step.utterance.frames) == 96  # 1.92 s
    assert step.utterance.voiced_from_ms >= 180
    assert max(map(mulaw_energy, step.utterance.frames)) > 1_000


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("- sya: hello.wav", "script.yaml:3: unknown step 'sya'; did you mean 'say'?"),
        ("- hang_pu", "script.yaml:3: unknown step 'hang_pu'; did you mean 'hang_up'?"),
        ("- wait_ms: 20\n- wait_for: agent_done\n  quite_ms: 3", "script.yaml:5: unknown key 'quite_ms'; did you mean"),
        ("- barge_in:\n    after_ms: 3\n    sey: a", "script.yaml:5: unknown key 'sey'; did you mean 'say'?"),
        ("- barge_in: {say: hello.wav}", "script.yaml:3: the key 'after_ms' is missing"),
        ("- wait_ms: soon", "script.yaml:3: wait_ms: Input should be a valid integer"),
        ("- wait_ms: 5\n- wait_ms: -1", "script.yaml:4: wait_ms: Input should be greater than or equal to 0"),
        ("- wait_for: agent_dun", "script.yaml:3: wait_for: Input should be 'agent_done'"),
        ("- press: 12x", "script.yaml:3: press: String should match"),
        ("- say: hello.wav\n  press: 1", "script.yaml:3: say and press are two steps"),
        ("- [say]", "script.yaml:3: a step is one of: say, wait_for"),
        ("- {}", "script.yaml:3: unknown step ''"),
        ("- wait_ms: 5\n- say: absent.wav", "script.yaml:4: there is no file 'absent.wav'"),
        ("- say: silent.wav", "script.yaml:3: silent.wav: holds nothing but silence"),
        ("- say: script.yaml", "script.yaml:3: script.yaml: is not a PCM wave file"),
        ("  []", "script.yaml:2: steps: List should have at least 1 item"),
        ("- press: 1\n  press: 2", "script.yaml:4: the key 'press' stands here twice"),
    ],
)
def test_a_mistake_in_a_step_has_a_line(folder: Path, steps: str, said: str):
    write_wav(folder / "silent.wav", bytes(1600), rate_hz=8000)
    assert mistake(folder, f"name: a\nsteps:\n{steps}\n").startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nsteps: [hang_up]\ncaler_number: 1\n", "script.yaml:3: unknown key 'caler_number'; did you mean"),
        ("steps: [hang_up]\n", "script.yaml:1: the key 'name' is missing"),
        ("name: a\nsteps: [hang_up\n", "script.yaml:3: is not YAML"),
        ("name: a\n\tsteps: 1\n", "script.yaml:2: is not YAML"),
        ("- a\n- b\n", "script.yaml:1: keys are expected here"),
        ("", "script.yaml: is empty"),
        ("name: \x00\n", "script.yaml:1: is not YAML"),
        ("? [a]\n: b\n", "script.yaml:1: a key must be text"),
        ("name: &a x\nvoice: *a\n", "script.yaml:2: aliases (*name) are not allowed"),
        ("name: " + "[" * 50_000 + "\n", "script.yaml:1: is nested more than 16 deep"),
        ("name: a\n---\nname: b\n", "script.yaml:2: is not YAML"),
    ],
)
def test_a_mistake_in_the_file_has_a_line(folder: Path, text: str, said: str):
    assert mistake(folder, text).startswith(said)


def test_an_alias_bomb_is_refused_before_it_unfolds(folder: Path):
    rows = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert mistake(folder, "\n".join(rows)) == "script.yaml:2: aliases (*name) are not allowed"


def test_a_file_of_unreasonable_size_is_not_read(folder: Path):
    assert mistake(folder, "#" * (MAX_FILE_BYTES + 1)) == "script.yaml: is larger than 256 KiB"


def test_a_missing_script_and_one_that_is_not_text_are_named(folder: Path):
    with pytest.raises(ScriptError, match=r"absent\.yaml: cannot be read"):
        CallerScript.read(folder / "absent.yaml")
    (folder / "binary.yaml").write_bytes(b"name: a\nvoice: \xff\xfe\n")
    with pytest.raises(ScriptError, match=r"binary\.yaml:2: is not UTF-8 text"):
        CallerScript.read(folder / "binary.yaml")


@given(st.text(max_size=200) | st.text("[]{}:-&*!|>'\"#% \nab?,", max_size=200))
def test_whatever_stands_in_a_file_it_only_script_errors_come_of_it(
    tmp_path_factory: pytest.TempPathFactory, text: str
):
    path = tmp_path_factory.getbasetemp() / "anything.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ScriptError):
        LocatedYaml.read(path)
