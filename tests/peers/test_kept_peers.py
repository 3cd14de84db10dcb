"""The Asterisk of the tests is kept for as long as there is no other version of it, and made anew where there is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PREPARE = Path(__file__).parent / "prepare"

MACHINE = {
    "id": "echo 0",
    "dpkg-query": "echo sip-tester 3",
    "apt-get": "echo http://mirror Debian trixie",
    # Arguments are --variant=minbase, sid, the folder and the mirror.
    "debootstrap": '[ -n "$MIRROR" ] && mkdir -p "$3" && cp "$MIRROR" "$3/offered"',
    "chroot": """root=$1; shift
case "$*" in
  dpkg-query*) echo "asterisk $(cat "$root/installed")" ;;
  apt-cache*) printf 'asterisk:\\n  Candidate: %s\\n' "$(cat "$root/offered")" ;;
  *update*) [ -n "$MIRROR" ] && cp "$MIRROR" "$root/offered" ;;
  *install*) cp "$root/offered" "$root/installed" ;;
esac""",
}
"""What `prepare` asks the machine for, done in files: a folder says what is installed and what its apt knows of."""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with a folder that has Asterisk 22.1, and a mirror that has 22.2."""
    for name, does in MACHINE.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/usr/bin/env bash\n{does}\n")
        command.chmod(0o755)
    root = tmp_path / "peers" / "sid"
    root.mkdir(parents=True)
    for name, text in {".peers": "", "installed": "22.1", "offered": "22.1"}.items():
        (root / name).write_text(text)
    (tmp_path / "mirror").write_text("22.2")
    return tmp_path


def prepared(machine: Path, *options: str, online: bool = True) -> str:
    """Run it; return what it says."""
    environment = {
        "PATH": f"{machine / 'bin'}:{os.environ['PATH']}",
        "VOICEAGENT_PEERS": str(machine / "peers"),
        "MIRROR": str(machine / "mirror") if online else "",
    }
    done = subprocess.run([PREPARE, *options], env=environment, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def test_what_is_there_is_kept_and_nobody_is_asked(machine: Path) -> None:
    said = prepared(machine)
    assert "asterisk 22.1" in said
    assert "making" not in said


def test_a_newer_version_is_got_where_somebody_asks_for_it_and_then_kept(machine: Path) -> None:
    said = prepared(machine, "--newest")
    assert "making" in said
    assert "asterisk 22.2" in said
    assert "making" not in prepared(machine, "--newest")


def test_another_version_than_its_apt_knows_is_made_anew(machine: Path) -> None:
    (machine / "peers" / "sid" / "installed").write_text("21.9")
    assert "asterisk 22.2" in prepared(machine)


def test_without_a_mirror_what_is_there_is_kept(machine: Path) -> None:
    said = prepared(machine, "--newest", online=False)
    assert "its mirror cannot be asked" in said
    assert "asterisk 22.1" in said
