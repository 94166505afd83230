"""What has to be remembered of partners: when a contact was reached, and which check-ins were held.

Rows are only added: a wrong one is followed by a right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from threatshare.model import Micros
from threatshare.store.connection import Connection


@dataclass(frozen=True, slots=True)
class Verification:
    """That a contact was reached."""

    role: str
    name: str
    channel: str
    """What was tried; a contact with another channel is not verified by it."""
    on: date
    person: str
    """Who reached it."""
    note: str
    at: Micros
    """When this was recorded."""


@dataclass(frozen=True, slots=True)
class Checkin:
    """That a check-in was held."""

    partner: str
    begins: Micros
    """Of the period that it was about."""
    ends: Micros
    """Where the next period begins."""
    at: Micros
    person: str
    note: str


def record_verification(conn: Connection, partner: str, one: Verification) -> None:
    """Records that a contact was reached, inside the caller's transaction."""
    conn.execute(
        "INSERT INTO contact_verification (partner, role, name, channel, verified_on, at, person, note)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (partner, one.role, one.name, one.channel, one.on.isoformat(), one.at, one.person, one.note),
    )


def verifications(conn: Connection, partner: str) -> list[Verification]:
    """Gives every verification of a partner's contacts, as they were recorded."""
    return [
        Verification(role, name, channel, date.fromisoformat(on), person, note, at)
        for role, name, channel, on, person, note, at in conn.execute(
            "SELECT role, name, channel, verified_on, person, note, at FROM contact_verification"
            " WHERE partner = ? ORDER BY number",
            (partner,),
        )
    ]


def reached(conn: Connection, partner: str) -> dict[tuple[str, str, str], date]:
    """Gives the last day on which each contact of a partner was reached, by role, name and channel."""
    latest: dict[tuple[str, str, str], date] = {}
    for one in verifications(conn, partner):
        key = (one.role, one.name, one.channel)
        latest[key] = max(one.on, latest.get(key, one.on))
    return latest


def record_checkin(conn: Connection, one: Checkin) -> None:
    """Records that a check-in was held, inside the caller's transaction."""
    conn.execute(
        "INSERT INTO partner_checkin (partner, begins, ends, at, person, note) VALUES (?, ?, ?, ?, ?, ?)",
        (one.partner, one.begins, one.ends, one.at, one.person, one.note),
    )


def checkins(conn: Connection, partner: str) -> list[Checkin]:
    """Gives the check-ins that were held with a partner, oldest first."""
    return [
        Checkin(*row)
        for row in conn.execute(
            "SELECT partner, begins, ends, at, person, note FROM partner_checkin WHERE partner = ? ORDER BY number",
            (partner,),
        )
    ]


@dataclass(frozen=True, slots=True)
class Exercised:
    """A joint exercise that a partner took part in."""

    name: str
    started: Micros


def last_exercises(conn: Connection) -> dict[str, Exercised]:
    """Gives the last joint exercise that was begun with each partner, whether it has ended or not."""
    return {
        partner: Exercised(name, started)
        for partner, name, started in conn.execute(
            # Of several columns beside max(), SQLite gives those of the row that holds it.
            "SELECT partner, name, max(started) FROM exercise_partner JOIN exercise ON exercise.name = exercise"
            " GROUP BY partner"
        )
    }


def last_checkins(conn: Connection) -> Mapping[str, Checkin]:
    """Gives the last check-in that was recorded with each partner."""
    return {
        row[0]: Checkin(*row)
        for row in conn.execute(
            "SELECT partner, begins, ends, at, person, note FROM partner_checkin WHERE number IN"
            " (SELECT max(number) FROM partner_checkin GROUP BY partner)"
        )
    }
