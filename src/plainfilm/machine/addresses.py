"""Addresses of this machine: whom a service that listens there lets in. Needs no web server to say so."""

from __future__ import annotations

import ipaddress
import socket

from plainfilm.errors import InputError


def addresses(host: str) -> list[str]:
    """Return the numeric addresses that ``host`` stands for; InputError when it stands for none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(f"--host {host!r} is no address of this machine; try 127.0.0.1.") from None
    return sorted({str(entry[4][0]) for entry in found})


def is_local(host: str) -> bool:
    """Return whether ``host`` is reached from this machine only. InputError when it is no address."""
    return all(ipaddress.ip_address(address).is_loopback for address in addresses(host))
