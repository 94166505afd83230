"""Reports, feedback and decisions on them, with defaults, for the tests of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from builders import NOW, make_agreement, make_own
from threatshare import incidents
from threatshare.incidents import Draft, Written
from threatshare.model import Micros
from threatshare.policy.agreement_terms import ObjectType
from threatshare.policy.agreements import Agreement, Outbound
from threatshare.review import decide_releases, gate_groups
from threatshare.store.connection import Connection
from threatshare.store.decisions import Action, ByWhom
from threatshare.store.embedded import Store

KEY = b"a secret of the node"
TYPES: tuple[ObjectType, ...] = ("indicator", "sighting", "report", "grouping", "opinion")
TEXT = "Mails with a link to a page that asks for passwords."


def make_wide_agreement(partner: str = "north", max_tlp: str = "amber", **changed: Any) -> Agreement:
    """An agreement in force that takes every type that we make."""
    return make_agreement(partner, **({"outbound": Outbound(max_tlp, TYPES)} | changed))  # type: ignore[arg-type]


def by(person: str = "Releaser One", at: Micros = NOW, reason: str = "read it") -> ByWhom:
    """Who decides, and why."""
    return ByWhom(person, reason, at)


def draft(*values: str, **said: Any) -> Draft:
    """What a person wants a report to say: a title, a text, and the values it names."""
    return Draft(**({"title": "A wave of mails", "description": TEXT, "values": values or None} | said))


def write(store: Store, *values: str, now: Micros = NOW, token: str = "token", **said: Any) -> Written:
    """Writes a report of ours; the values have been found before."""
    return incidents.write(store, make_own(), draft(*values, **said), token, KEY, now)


def revise(store: Store, name: str, now: Micros, **said: Any) -> Written:
    """Writes a new version of a report."""
    return incidents.revise(store, make_own(), name, Draft(**said), KEY, now)


def held_rules(store: Store, object_id: str) -> dict[str, set[str]]:
    """Gives by collection alias the rules that hold an object, as the review shows them, without digests."""
    return {
        group.alias: {"report-text" if one.startswith("report-text-") else one for one in group.rules}
        for group in gate_groups(store.conn)
        if object_id in group.objects
    }


def release_text(store: Store, object_id: str, at: Micros = NOW, *, alias: str | None = None, persons: int = 2) -> int:
    """Has persons release what holds an object, for one collection or all that hold it; gives how many that are."""
    found = [one for one in gate_groups(store.conn) if object_id in one.objects and alias in (None, one.alias)]
    for group in found:
        for person in ("Releaser One", "Releaser Two")[:persons]:
            decide_releases(store, group, [object_id], Action.APPROVE, by(person, at))
    return len(found)


class Killed(Exception):
    """Stands for the end of the process between two transactions."""


class Mortal(Store):
    """A store whose process ends before its n-th transaction from now."""

    left: int | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Holds the store for one transaction, or ends."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed
        with super().writing() as conn:
            yield conn
