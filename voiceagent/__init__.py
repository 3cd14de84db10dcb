"""Phone agents made of phases: what a person who writes them needs; nothing here opens a socket.

All of it is in `authoring`, which is imported when a name of it is first used: the command line has to complete a word
before anybody notices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceagent.authoring import *  # noqa: F403 - its `__all__` is this package's
    from voiceagent.authoring import __all__ as __all__
else:
    # Not for type checkers: they would take every name for one of these.
    from importlib import import_module

    def __getattr__(name: str) -> object:
        # Python itself asks for names such as `__wrapped__`; nothing has to be imported to know that they are none.
        if name == "__all__" or not name.startswith("_"):
            authoring = import_module("voiceagent.authoring")  # `from voiceagent import …` would come back here
            if name == "__all__" or name in authoring.__all__:
                globals()[name] = getattr(authoring, name)  # the next time it is there
            if name in globals():  # else it may be a module below this one that has been imported with it
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *import_module("voiceagent.authoring").__all__})


__version__ = "0.1.0"
