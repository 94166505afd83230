"""Which roles each command needs where ``people.toml`` says who has which; and which commands are kept as acts.

A command that the table does not name needs an operator, and is kept: what is new is closed until somebody has said
whom it is for. The keys are commands as they are typed; ``VERB --dry-run`` is for that option of a verb.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from threatshare.policy.people import ROLES


@dataclass(frozen=True, slots=True)
class Right:
    """What a command needs."""

    roles: frozenset[str] | None
    """One of these; None: nothing, so that logins which nobody knows may run it as well."""
    kept: bool = False
    """Whether it is recorded as an act: it changes what leaves, or who may do what."""
    by_owner: bool = False
    """Whether the account that the node's files belong to may run it, without being a person: it is no person's act."""


def _reads(*roles: str) -> Right:
    return Right(frozenset(roles or ROLES))


def _acts(*roles: str) -> Right:
    return Right(frozenset(roles), kept=True)


_ANYBODY = Right(None)
_SERVICE = Right(frozenset({"operator"}), by_owner=True)
UNKNOWN = _acts("operator")
"""For a command that the table does not name."""

RIGHTS: Mapping[str, Right] = {
    "init": _ANYBODY,
    "demo": _ANYBODY,
    "ingest": _reads("analyst"),
    "review": _reads(),
    "review assign": _acts("analyst"),
    "review reject": _acts("analyst", "releaser"),
    "review own": _acts("analyst"),
    "review never-share": _acts("analyst"),
    "review end": _acts("analyst"),
    "review walk": _acts("analyst", "releaser"),
    "review approve": _acts("releaser"),
    "review decisions": _reads(),
    "publish": _acts("releaser"),
    "publish --dry-run": _reads(),
    "push": _acts("releaser"),
    "push --dry-run": _reads(),
    "pull": _reads("analyst", "operator"),
    "lookup": _reads(),
    "scan": _reads(),
    "why": _reads(),
    "export": _reads("analyst", "releaser", "operator"),
    "serve": _SERVICE,
    "daemon": _SERVICE,
    "status": _reads(),
    "doctor": _reads(),
    "report": _reads(),
    "sighting": _acts("analyst"),
    "false-positive": _acts("analyst"),
    "withdraw": _acts("releaser"),
    "incident write": _acts("analyst"),
    "incident revise": _acts("analyst"),
    "incident withdraw": _acts("releaser"),
    "incident list": _reads(),
    "incident show": _reads(),
    "account add": _acts("operator"),
    "account rotate": _acts("operator"),
    "account revoke": _acts("operator"),
    "account grant": _acts("operator"),
    "account withdraw": _acts("operator"),
    "account certificate": _acts("operator"),
    "account expire": _acts("operator"),
    "account limit": _acts("operator"),
    "account tie": _acts("operator"),
    "account pause": _acts("operator"),
    "account resume": _acts("operator"),
    "account list": _reads(),
    "collection add": _acts("operator"),
    "collection set": _acts("operator"),
    "collection root": _acts("operator"),
    "collection list": _reads(),
    "agreement add": _acts("operator"),
    "agreement import": _acts("operator"),
    "agreement confirm": _acts("operator", "releaser"),
    "agreement check": _reads(),
    "agreement list": _reads(),
    "agreement show": _reads(),
    "agreement history": _reads(),
    "agreement diff": _reads(),
    "agreement iep": _reads(),
    "agreement schema": _ANYBODY,
    "partner list": _reads(),
    "partner show": _reads(),
    "partner verify": _acts("analyst", "releaser", "operator"),
    "partner checkin": _acts("releaser", "operator"),
    "partner ourselves": _reads(),
    "exercise start": _acts("operator"),
    "exercise inject": _acts("analyst", "operator"),
    "exercise detect": _acts("analyst"),
    "exercise share": _acts("releaser"),
    "exercise invite": _acts("operator"),
    "exercise report": _reads(),
    "exercise end": _acts("operator"),
    "exercise list": _reads(),
    "profile list": _ANYBODY,
    "profile show": _ANYBODY,
    "profile check": _ANYBODY,
    "feed add": _acts("operator"),
    "feed remove": _acts("operator"),
    "feed pause": _acts("operator"),
    "feed resume": _acts("operator"),
    "feed reset": _acts("operator"),
    "feed acknowledge": _acts("analyst", "operator"),
    "feed history": _reads(),
    "feed test": _reads("analyst", "operator"),
    "feed presets": _reads(),
    "feed list": _reads(),
    "target add": _acts("operator"),
    "target remove": _acts("operator"),
    "target list": _reads(),
    "target refused": _reads(),
    "ledger show": _reads(),
    "ledger verify": _reads(),
    "ledger reach": _reads(),
    "ledger export": _reads("auditor", "operator"),
    "ledger anchor": _reads("auditor", "operator"),
    "person add": _acts("operator"),
    "person remove": _acts("operator"),
    "person restore": Right(frozenset({"operator"}), kept=True, by_owner=True),
    "person list": _reads(),
    "person acts": _reads("auditor", "operator"),
}


def right_to(command: str, dry_run: bool = False) -> Right:
    """Gives what a command needs; one that is not in the table needs an operator."""
    dry = RIGHTS.get(f"{command} --dry-run") if dry_run else None
    return dry or RIGHTS.get(command, UNKNOWN)
