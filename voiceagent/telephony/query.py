"""What a dial plan says of a call in the query string of an address."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

__all__ = ["query_parameters"]

_MAX_PARAMETERS = 64
_MAX_PARAMETER_CHARS = 1_024


def query_parameters(query: str) -> Mapping[str, str] | None:
    """Return what a query string says, as far as it can be kept as text; None where it says more than a carrier would.

    It is no form: dial plans put in `caller=+4930…` as it is, and a plus there is a plus. Nothing is said twice: a
    caller whose number is `1&call=…` would have the last word about which call theirs is.
    """
    try:
        given = parse_qsl(query.replace("+", "%2B"), max_num_fields=_MAX_PARAMETERS, keep_blank_values=True)
    except ValueError:
        return None
    said = dict(given)
    if len(said) < len(given):
        return None
    return {name: value for name, value in said.items() if value and max(len(name), len(value)) <= _MAX_PARAMETER_CHARS}
