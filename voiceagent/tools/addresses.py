"""Addresses: which are out on the internet, where a tool may reach, and which are inside the house."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

__all__ = ["is_public"]

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""RFC 4291, section 2.4, and IANA's registry: everything handed out so far; the rest of IPv6 is special or empty."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052, section 2.1: a network without IPv4 writes an IPv4 address so."""


def is_public(address: str) -> bool:
    """Whether an IP address, as the resolver writes it, is one that anybody on the internet could reach."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, IPv4Address):
        return _is_public_4(ip)
    return all(map(_is_public_4, _inside(ip))) and (ip in _GLOBAL_UNICAST or ip in _NAT64) and ip.is_global


def _is_public_4(ip: IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast


def _inside(ip: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses to which a packet to this one would be carried on."""
    embedded = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        embedded.append(IPv4Address(int(ip) & 0xFFFF_FFFF))
    return tuple(one for one in embedded if one is not None)
