"""Whom a push delivers to, and how one run of it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic as system_monotonic

from threatshare.errors import ConfigurationError, PartnerError, ThreatshareError
from threatshare.feeds.access import access_of
from threatshare.feeds.egress import Limits, Resolver, system_resolver
from threatshare.feeds.session import PartnerSession
from threatshare.model import Collection
from threatshare.ports import Clock
from threatshare.share.outlets import Outlet
from threatshare.share.push_settings import (
    PUSH_DIR,
    PushSettings,
    destination_of,
    fingerprint,
    source_collection,
)
from threatshare.share.submissions import Submission, submission_of
from threatshare.store.connection import Connection

_MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of what the server answers, on the wire and after inflating."""


class Parked(PartnerError):
    """The partner refused us for a reason that waiting does not mend."""


class Held(ThreatshareError):
    """What was cleared for the partner was cleared under other rules than the present, or its profile blocks it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A partner's server, ready to be delivered to."""

    name: str
    settings: PushSettings
    collection: Collection
    """Ours, whose entries are delivered."""
    destination: bytes
    """Of what, where: see ``push_settings.destination_of``."""
    policy: bytes
    """Digest of all that decisions for this partner depend on now; what was decided under another one waits."""
    fingerprint: bytes
    """Of its settings, by which a parked target is known to have been changed."""
    open_session: Callable[[], PartnerSession]
    submission: Submission | None = None
    """What the partner's profile wants of each envelope."""


@dataclass(frozen=True, slots=True)
class PushReport:
    """What one run of one target did; the fields that scripts rely on (`push --json`)."""

    target: str
    status: str
    """``ok``; ``waiting``: the partner asked to be called later; ``failed``: tried again later; ``parked``: not.

    ``held``: the rules have changed, and what was cleared under others is examined first (`publish`); or the profile
    of the agreement blocks what would be sent.
    """
    sent: int = 0
    """Objects in envelopes that were answered in this run."""
    accepted: int = 0
    """Objects that the partner told in this run it has taken, also of earlier envelopes."""
    pending: int = 0
    """Objects that the partner has and has not finished with."""
    failed: int = 0
    """Objects that the partner told in this run it would not take."""
    withheld: int = 0
    """Entries passed over in this run: withdrawn before they were sent, overtaken, or too large."""
    waiting: int = 0
    """Entries that are still to be delivered."""
    seconds: float = 0.0
    error: str | None = None
    retry_after: float | None = None
    """Seconds after which the partner asked to be called again."""


def target_of(
    name: str,
    settings: PushSettings,
    node_dir: Path,
    conn: Connection,
    outlets: Sequence[Outlet],
    clock: Clock,
    *,
    monotonic: Callable[[], float] = system_monotonic,
    resolve: Resolver = system_resolver,
) -> Target:
    """Makes a target of its settings; relative paths in them are taken from the node directory.

    ``outlets`` are the node's collections with their audiences, as they are now. Secrets are read here, connections
    are made when something is sent. Raises ConfigurationError for a missing secret and for a collection that is
    not a partner's.
    """
    place = f"{PUSH_DIR}/{name}.toml"
    access = access_of(settings, node_dir, place)
    limits = Limits(settings.post_deadline_seconds, settings.run_deadline_seconds, _MAX_ANSWER)

    def open_session() -> PartnerSession:
        return PartnerSession(settings.url, access, limits, clock=clock, monotonic=monotonic, resolve=resolve)

    collection = source_collection(conn, name, settings)
    outlet = next((one for one in outlets if one.collection.number == collection.number), None)
    if outlet is None:
        raise ConfigurationError(f"{place}: nothing is published into {collection.alias!r}, so nothing is delivered")
    return Target(
        name,
        settings,
        collection,
        destination_of(collection, settings),
        outlet.policy,
        fingerprint(settings, node_dir),
        open_session,
        submission_of(outlet),
    )
