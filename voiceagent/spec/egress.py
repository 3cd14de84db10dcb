"""Egress: where a tool may send requests, and by which methods. Everything else is refused when it runs."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from voiceagent.errors import nearest

__all__ = ["METHODS", "READING", "SERVICE", "Egress"]

SERVICE = "service"
"""Stands for the service that the operator names for the agent."""
READING = ("GET", "HEAD")
METHODS = (*READING, "POST", "PUT", "PATCH", "DELETE")

_EXAMPLE = "'POST service' or 'GET https://rates.example.com'"
_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

Origin = tuple[str, str, int]
"""Scheme, host, port."""


@dataclass(frozen=True, slots=True)
class Egress:
    """One place, and the methods by which a tool may ask it."""

    methods: tuple[str, ...]
    to: str
    """`service`, or scheme, host and, where it is not the scheme's own, port: `https://rates.example.com:8443`."""

    def __str__(self) -> str:
        return f"{','.join(self.methods)} {self.to}"

    @staticmethod
    def written(text: str) -> Egress:
        """Return what an author has written: methods, separated by commas, then the place. See `problem`."""
        methods, _, place = text.strip().partition(" ")
        return Egress(tuple(methods.split(",")), place.strip())

    @property
    def origin(self) -> Origin:
        """What a request's URL must begin with; of a place other than `service`, and without a problem."""
        parts = urlsplit(self.to)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]

    @property
    def problem(self) -> str | None:
        """What is wrong with it, with the nearest that would not be; None where nothing is."""
        for method in self.methods:
            if method not in METHODS:
                return f"{method!r} is no method of HTTP, as in {_EXAMPLE}{nearest(method.upper(), METHODS)}"
        if self.to == SERVICE:
            return None
        if "://" not in self.to:
            return f"{self.to!r} is no place, as in {_EXAMPLE}{nearest(self.to, [SERVICE])}"
        return _problem_of_address(self.to)


def _problem_of_address(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        return f"{address!r} is no address: {exc}"
    if parts.scheme not in _PORTS:
        return f"{address!r}: requests go over http or https{nearest(parts.scheme, _PORTS)}"
    if not _is_host(host):
        return f"{address!r}: {host!r} is no name of a host"
    plain = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"
    return None if address == plain else f"{address!r} says more than a scheme, a host and a port{_meant(plain)}"


def _meant(address: str) -> str:
    return f"; did you mean {address!r}?"


def _is_host(host: str) -> bool:
    """Whether it is a name, or an address in its usual form: 2130706433 and 0x7f.1 are other words for one."""
    try:
        return str(ipaddress.ip_address(host)) == host
    except ValueError:
        labels = host.split(".")
        return all(map(_LABEL.fullmatch, labels)) and len(host) <= 253 and not _NUMBER.fullmatch(labels[-1])
