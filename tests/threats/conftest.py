"""Where calls are taken, as in the tests of the runtime."""

from tests.runtime.conftest import exchange

__all__ = ["exchange"]
