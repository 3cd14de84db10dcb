"""The model files and libraries that let this machine hear and speak: found, checked, loaded."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from voiceagent.errors import MissingExtra, WeightsError

__all__ = ["WeightsFile", "library", "sha256_of"]

_EXTRA = "local"


def library(name: str) -> ModuleType:
    """Import a library of the extra `local`. Raises MissingExtra where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise MissingExtra(f"the library {name!r}", extra=_EXTRA) from exc


def sha256_of(path: Path) -> str:
    """Return what a model file's content is told by. Raises WeightsError where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise WeightsError(f"no model file at {path}: {exc.strerror}") from exc


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A model file inside an installed package, and the only content it may have."""

    package: str
    """Import name of the package that carries the file."""
    path: str
    """Relative to the package's folder, with forward slashes."""
    sha256: str
    """Of the file that was measured; how well another one runs, or what it does, nobody knows."""

    def verified(self, folder: Path | None = None) -> Path:
        """Return where the file is, having read it once.

        `folder` replaces the package's: the file's bare name is looked up there. Raises
        MissingExtra where the package is not installed, WeightsError where the file is absent or
        has another sha256.
        """
        path = folder / Path(self.path).name if folder else self._installed()
        found = sha256_of(path)
        if found != self.sha256:
            raise WeightsError(f"{path} has sha256 {found[:16]}…, expected {self.sha256[:16]}…")
        return path

    def _installed(self) -> Path:
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtra(f"the library {self.package!r}", extra=_EXTRA)
        return Path(spec.submodule_search_locations[0], self.path)
