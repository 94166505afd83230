"""How much an account may post a day, and how much it has: one row an account, whatever it posts.

A day is one of UTC. Counted is what is posted, taken or not, since what is refused is kept aside with its reason.
Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from threatshare.errors import UsageError
from threatshare.model import Micros
from threatshare.store.connection import Connection

DAY: Micros = 24 * 3_600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Amount:
    """Of what is posted."""

    objects: int
    bytes: int

    def holds(self, other: Amount) -> bool:
        """Whether another amount is no larger than this."""
        return other.objects <= self.objects and other.bytes <= self.bytes

    def times(self, factor: int) -> Amount:
        """So many times as much."""
        return Amount(factor * self.objects, factor * self.bytes)


def quota_of(conn: Connection, account: str, default: Amount) -> Amount:
    """Gives what an account may post a day: its own quota, or the default for all."""
    row = conn.execute("SELECT daily_objects, daily_bytes FROM account WHERE name = ?", (account,)).fetchone()
    objects, size = row or (None, None)
    return Amount(default.objects if objects is None else objects, default.bytes if size is None else size)


def posted_today(conn: Connection, account: str, now: Micros) -> Amount:
    """Gives what an account has posted since midnight; or on the next day, where that has begun for another request."""
    row = conn.execute(
        "SELECT objects, bytes FROM account_posted WHERE account = ?1 AND day BETWEEN ?2 AND ?2 + 1",
        (account, now // DAY),
    ).fetchone()
    return Amount(*row) if row else Amount(0, 0)


def charge(conn: Connection, account: str, amount: Amount, quota: Amount, now: Micros) -> bool:
    """Counts what an account posts; False, and nothing is counted, where its quota of the day does not hold it."""
    posted = posted_today(conn, account, now)
    total = Amount(posted.objects + amount.objects, posted.bytes + amount.bytes)
    if not quota.holds(total):
        return False
    _keep(conn, account, total, now)
    return True


def add_objects(conn: Connection, account: str, objects: int, now: Micros) -> None:
    """Counts objects of which nobody could tell how many they are before they were taken, whatever the quota."""
    posted = posted_today(conn, account, now)
    _keep(conn, account, Amount(posted.objects + objects, posted.bytes), now)


def until_midnight(now: Micros) -> int:
    """Gives the seconds after which a new day has begun."""
    return (DAY - now % DAY) // 1_000_000 + 1


def set_quota(conn: Connection, account: str, objects: int | None, size: int | None) -> None:
    """Sets what an account may post a day; None: what all may. Raises UsageError where there is no such account."""
    changed = conn.execute(
        "UPDATE account SET daily_objects = ?, daily_bytes = ? WHERE name = ? AND revoked IS NULL",
        (objects, size, account),
    )
    if not changed.rowcount:
        raise UsageError(f"there is no account {account!r}; `threatshare account list` shows those there are")


def _keep(conn: Connection, account: str, total: Amount, now: Micros) -> None:
    # A request that came before midnight may be counted after one that came later: the new day stays. Not more than
    # one day, lest a clock that once was far ahead shut an account out until then.
    conn.execute(
        "INSERT INTO account_posted (account, day, objects, bytes) VALUES (?, ?, ?, ?) ON CONFLICT (account)"
        " DO UPDATE SET day = CASE day WHEN excluded.day + 1 THEN day ELSE excluded.day END,"
        " objects = excluded.objects, bytes = excluded.bytes",
        (account, now // DAY, total.objects, total.bytes),
    )
