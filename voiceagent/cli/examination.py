"""An examination of this machine: everything that calls need or may use, whether it is there, and how to mend it."""

from __future__ import annotations

import asyncio
import errno
import importlib.metadata
import os
import platform
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from voiceagent.errors import OperatorError
from voiceagent.models.choose import ProviderAccess, model_from
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.loader import is_agent
from voiceagent.speech import open_engines
from voiceagent.stores import open_store

__all__ = ["Found", "Wanted", "examined"]

_DISTRIBUTION = "voiceagent"
_NEEDED_EXTRA = "local"
"""What `serve`, `call` and the demo hear and speak with unless they are told otherwise."""
_REQUIREMENT = re.compile(r"(?P<package>[A-Za-z0-9._-]+).*extra == ['\"](?P<extra>[^'\"]+)['\"]")
_USED_FOR = {
    "anthropic": "models of Anthropic's",
    "biscuit": "services that read biscuits",
    "echo": "a microphone that hears the loudspeaker",
    "local": "hearing and speaking on this machine",
    "mic": "a microphone, after apt install portaudio19-dev",
    "nova": "Amazon Nova, with Python 3.12 or newer",
    "openai": "models of OpenAI's and endpoints like theirs",
    "redis": "workers on several machines",
    "resampling": "speech models on a telephone line",
    "telnyx": "Telnyx' signatures",
}
_KEYS = {
    "OpenAI": (("OPENAI_API_KEY",), "--model openai:… and --speech-model openai-realtime:…"),
    "Anthropic": (("ANTHROPIC_API_KEY",), "--model anthropic:…"),
    "Azure OpenAI": (("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"), "--speech-model azure-realtime:…"),
    "Gemini": (("GEMINI_API_KEY",), "--speech-model gemini-live:…"),
    "Amazon": (("AWS_REGION",), "--speech-model nova:…; its credentials are found as usual"),
    "Twilio": (("TWILIO_AUTH_TOKEN", "VOICEAGENT_PUBLIC_URL"), "calls by Twilio"),
    "Telnyx": (("TELNYX_API_KEY", "TELNYX_PUBLIC_KEY"), "calls by Telnyx"),
    "SignalWire": (("SIGNALWIRE_SIGNING_KEY",), "calls by SignalWire"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What whoever asks wants to use."""

    port: int
    journals: Path
    state: str
    model: str | None
    access: ProviderAccess
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one thing."""

    what: str
    ok: bool
    needed: bool
    """Whether what is not asked for otherwise does without it."""
    says: str
    mend: str = ""
    """What to do where it is not well."""

    @property
    def wrong(self) -> bool:
        """Whether something that is needed is missing."""
        return self.needed and not self.ok


def examined(wanted: Wanted) -> Iterator[Found]:
    """Look at one thing after the other; loading the engines takes a second or two. Nothing is left behind."""
    yield Found("Python", ok=True, needed=True, says=platform.python_version())
    extras = _missing_of_extras()
    for extra, missing in extras.items():
        yield _extra(extra, missing)
    if not extras.get(_NEEDED_EXTRA):
        yield _engines()
    yield _model(wanted)
    for provider, (names, used_for) in _KEYS.items():
        yield _keys(provider, names, used_for, wanted.environment)
    yield _audio(missing=extras.get("mic", ()))
    yield _port(wanted.port)
    yield _journals(wanted.journals)
    yield _state(wanted.state)
    yield _agents()


def _missing_of_extras() -> dict[str, tuple[str, ...]]:
    """Return every extra, and what of it is not installed."""
    missing: dict[str, tuple[str, ...]] = {}
    for written in importlib.metadata.requires(_DISTRIBUTION) or ():
        requirement = _REQUIREMENT.match(written)
        if requirement is not None:
            package, extra = requirement["package"], requirement["extra"]
            lacks = () if _is_installed(package) else (package,)
            missing[extra] = (*missing.get(extra, ()), *lacks)
    return dict(sorted(missing.items()))


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _extra(extra: str, missing: tuple[str, ...]) -> Found:
    used_for = _USED_FOR.get(extra, "")
    return Found(
        f"extra {extra}",
        ok=not missing,
        needed=extra == _NEEDED_EXTRA,
        says=f"lacks {', '.join(missing)}" if missing else "installed",
        mend=f"pip install '{_DISTRIBUTION}[{extra}]'{f', for {used_for}' if used_for else ''}",
    )


def _engines() -> Found:
    try:
        open_engines("local").close()
    except OperatorError as exc:
        return Found("speech engines", ok=False, needed=True, says=str(exc), mend="install the extra 'local' anew")
    return Found("speech engines", ok=True, needed=True, says="hear and speak")


def _model(wanted: Wanted) -> Found:
    if wanted.model is None:
        return Found("model", ok=True, needed=True, says="the guided one, which needs no key (VOICEAGENT_MODEL)")
    try:
        engine = model_from(wanted.model, clock=SystemClock(), access=wanted.access)
    except OperatorError as exc:
        return Found(
            "model", ok=False, needed=True, says=str(exc), mend="set what is missing, or unset VOICEAGENT_MODEL"
        )
    asyncio.run(engine.close())
    return Found("model", ok=True, needed=True, says=wanted.model)


def _keys(provider: str, names: tuple[str, ...], used_for: str, environment: Mapping[str, str]) -> Found:
    missing = [name for name in names if not environment.get(name)]
    says = f"{', '.join(missing)} not set" if missing else f"{', '.join(names)} set"
    return Found(f"key {provider}", ok=not missing, needed=False, says=says, mend=f"set it for {used_for}")


def _audio(*, missing: tuple[str, ...]) -> Found:
    mend = "connect a sound card or run a sound server; without one: voiceagent chat, or a browser"
    if missing:
        return Found("audio", ok=False, needed=False, says="not looked for", mend="install the extra mic first")
    cards = Path("/proc/asound/cards")
    if platform.system() == "Linux" and not (_has_cards(cards) or os.environ.get("PULSE_SERVER") or _has_pulse()):
        return Found("audio", ok=False, needed=False, says="there is no sound card and no sound server", mend=mend)
    return Found("audio", ok=True, needed=False, says="there may be a device: voiceagent devices --check", mend=mend)


def _has_cards(listed: Path) -> bool:
    try:
        return "[" in listed.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _has_pulse() -> bool:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return bool(runtime) and any(Path(runtime, name).exists() for name in ("pulse/native", "pipewire-0"))


def _port(port: int) -> Found:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as exc:
            says = "somebody listens there already" if exc.errno == errno.EADDRINUSE else f"{exc.strerror}"
            return Found(f"port {port}", ok=False, needed=True, says=says, mend="serve with --port and another one")
    return Found(f"port {port}", ok=True, needed=True, says="free")


def _journals(folder: Path) -> Found:
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    ok = there.is_dir() and os.access(there, os.W_OK)
    says = "can be written" if ok else f"{there} cannot be written to"
    return Found(f"journals in {folder}", ok=ok, needed=True, says=says, mend="name another folder with --journals")


def _state(state: str) -> Found:
    if state == "memory":
        return Found("shared state", ok=True, needed=True, says="in memory; several machines share a Redis (--state)")
    try:
        asyncio.run(_opened(state))
    except OperatorError as exc:
        return Found("shared state", ok=False, needed=True, says=str(exc), mend="start it, or unset VOICEAGENT_STATE")
    return Found("shared state", ok=True, needed=True, says=f"{state.partition(':')[0]} answers")


async def _opened(state: str) -> None:
    store = await open_store(state, clock=SystemClock())
    await store.close()


def _agents() -> Found:
    here = [flow.parent.name for flow in Path().glob("*/flow.yaml")]
    below = [entry.name for entry in Path("phases").glob("*/") if is_agent(entry)]
    names = ", ".join(sorted({*here, *below}))
    return Found("agents here", ok=bool(names), needed=False, says=names or "none", mend="voiceagent new my_agent")
