"""Shuts the process in: no test reaches any machine but this one, whatever library it goes through.

An audit hook sees every socket of the process, also those that C code opens, and cannot be
taken off again. Children are shut in too: ``sitecustomize.py`` in ``shut_in/`` installs the same
hook in every Python that inherits PYTHONPATH.
"""

from __future__ import annotations

import sys
from functools import cache
from ipaddress import ip_address


class OutsideLoopback(RuntimeError):
    """Something tried to leave the machine; no OSError, so no code under test takes it for a network fault."""


@cache
def install() -> None:
    """Refuses connections and datagrams to other machines, and questions about their names, from now on."""
    sys.addaudithook(_watch)


def is_loopback(host: object) -> bool:
    """Tells whether an address or name can only mean this machine."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if not isinstance(text, str):
        return False
    name = text.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _watch(event: str, args: tuple[object, ...]) -> None:
    if event in _DESTINATIONS:
        _check_destination(event, args[1])
    elif event in _QUESTIONS:
        _check_question(event, args[0])


_DESTINATIONS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_QUESTIONS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})


def _check_destination(event: str, address: object) -> None:
    # A pair or longer is an Internet address; text or bytes name a UNIX socket; None: already connected.
    if isinstance(address, tuple) and address and not is_loopback(address[0]):
        raise OutsideLoopback(f"{event} to {address[0]!r}: tests speak to loopback only")


def _check_question(event: str, host: object) -> None:
    if host is None or host in ("", b"") or is_loopback(host) or _is_address(host):
        return
    raise OutsideLoopback(f"{event} of {host!r}: tests ask no name server")


def _is_address(host: object) -> bool:
    # Reading a written address sends nothing; connecting to it is refused above.
    try:
        ip_address(host.partition("%")[0] if isinstance(host, str) else "")
    except ValueError:
        return False
    return True
