"""Limits failed logins, per account and address, and per address.

A key has 256 bits and cannot be guessed; what is limited is the noise and the work of answering. Whoever keeps failing
is told to slow down and is counted no more, while a right key from there still works, since a whole network may share
an address: nobody can lock an account out, from its own address or from another. To tell a right key from a wrong one
takes one look-up and one hash, as long for a name that is no account's as for one that is.

An IPv6 customer has 2^64 addresses at least, so these count as one (RFC 6177). Each worker counts for itself: with
four workers four times as many failures are borne.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from threading import Lock

from threatshare.model import Micros

_WINDOW: Micros = 60 * 1_000_000
_MOST_PER_ACCOUNT = 10
"""Failures of one account from one address within the window."""
_MOST_PER_ADDRESS = 100
_MOST_REMEMBERED = 10_000
"""Addresses and pairs counted at once; those that failed longest ago are forgotten."""
_CUSTOMER_BITS = 64


@dataclass(slots=True)
class _Count:
    began: Micros
    failures: int


class Throttle:
    """Counts failures in windows of a minute; safe to use from several threads."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, ...], _Count] = OrderedDict()
        self._lock = Lock()

    def must_wait(self, address: str, account: str, now: Micros) -> int:
        """Gives the seconds after which this account may try again from this address; 0: at once."""
        with self._lock:
            return self._wait((_network(address), account), _MOST_PER_ACCOUNT, now)

    def failed(self, address: str, account: str, now: Micros) -> int:
        """Counts a failure; gives the seconds to wait where there were too many, else 0."""
        network = _network(address)
        with self._lock:
            whole = self._add((network,), now)
            if whole > _MOST_PER_ADDRESS:
                # Not counted by account any more: one address must not make us forget what others did.
                return self._wait((network,), _MOST_PER_ADDRESS, now)
            pair = self._add((network, account), now)
            return self._wait((network, account), _MOST_PER_ACCOUNT, now) if pair > _MOST_PER_ACCOUNT else 0

    def _add(self, key: tuple[str, ...], now: Micros) -> int:
        count = self._counts.get(key)
        if count is None or not 0 <= now - count.began < _WINDOW:
            count = self._counts[key] = _Count(now, 0)
        self._counts.move_to_end(key)
        count.failures += 1
        while len(self._counts) > _MOST_REMEMBERED:
            self._counts.popitem(last=False)
        return count.failures

    def _wait(self, key: tuple[str, ...], most: int, now: Micros) -> int:
        count = self._counts.get(key)
        if count is None or count.failures < most or not 0 <= now - count.began < _WINDOW:
            return 0
        return max(1, (count.began + _WINDOW - now) // 1_000_000)


@lru_cache(maxsize=1_024)
def _network(address: str) -> str:
    """Gives what stands for everybody whom one customer's line connects."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{int(found) >> (128 - _CUSTOMER_BITS):x}/64"
