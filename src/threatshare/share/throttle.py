"""Limits failed logins, per account and address, and per address.

A key has 256 bits and cannot be guessed; what is limited is the noise and the work. One address with
one account that keeps failing is refused outright; one address that tries many accounts is told to
slow down, while a right key from there still works, since a whole network may share an address.
Each worker counts for itself.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from threatshare.model import Micros

_WINDOW: Micros = 60 * 1_000_000
_MOST_PER_ACCOUNT = 10
"""Failures of one account from one address within the window."""
_MOST_PER_ADDRESS = 100
_MOST_REMEMBERED = 10_000
"""Addresses and pairs counted at once; the oldest are forgotten."""


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
            return self._wait((address, account), _MOST_PER_ACCOUNT, now)

    def failed(self, address: str, account: str, now: Micros) -> int:
        """Counts a failure; gives the seconds to wait where there were too many, else 0."""
        with self._lock:
            pair = self._add((address, account), now)
            whole = self._add((address,), now)
            if pair > _MOST_PER_ACCOUNT:
                return self._wait((address, account), _MOST_PER_ACCOUNT, now)
            return self._wait((address,), _MOST_PER_ADDRESS, now) if whole > _MOST_PER_ADDRESS else 0

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
