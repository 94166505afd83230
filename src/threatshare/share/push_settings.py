"""Push targets: ``push/NAME.toml`` in the node directory, closed and typed; where a partner takes what we deliver."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from threatshare.config import Positive, load_toml
from threatshare.errors import ConfigurationError, UsageError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.access import checked_url
from threatshare.feeds.schedule import CronNext, next_run
from threatshare.model import Collection, CollectionKind, moment
from threatshare.store.collections import collection_by_alias
from threatshare.store.connection import Connection
from threatshare.store.targets import TargetState

PUSH_DIR = "push"


class PushSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """``push/NAME.toml``: a partner's server that we deliver to."""

    collection: str
    """Alias of the collection here whose entries are delivered; it must be a partner's."""
    url: str
    """Address of the partner's TAXII server, API root or collection."""
    remote: str | None = None
    """Id, alias or title of the collection there; None: the only one that this account may write to."""
    user: str | None = None
    """Name for Basic authentication."""
    password_env: str | None = None
    """Environment variable that holds the password."""
    password_file: str | None = None
    """File that holds the password."""
    token_env: str | None = None
    """Environment variable that holds a Bearer token."""
    client_cert: str | None = None
    """Our TLS certificate, a PEM file."""
    client_key: str | None = None
    """The certificate's key, a PEM file."""
    ca_file: str | None = None
    """Authorities that may vouch for the server, a PEM file; None: the public ones."""
    allow_private_address: bool = False
    """Whether the partner's host may be a private, link-local or loopback address."""
    max_objects: Annotated[int, Meta(gt=0, le=50_000)] = 1_000
    """Objects of one envelope at most."""
    max_content_length: Positive | None = None
    """Bytes of one envelope at most; what the partner's API root states, and 32 MiB, count where they are less."""
    every: Annotated[str, Meta(pattern="^[1-9][0-9]*[smhd]$")] = "1m"
    """Interval in seconds, minutes, hours or days; where there is nothing to deliver, nobody is called."""
    cron: str | None = None
    """Five fields; replaces ``every``."""
    jitter_seconds: Annotated[int, Meta(ge=0)] = 10
    """Runs start up to so much later, so that not all begin at once."""
    status_deadline_seconds: Annotated[int, Meta(ge=0)] = 60
    """How long a run waits for the partner to finish with what it took; later runs ask again."""
    post_deadline_seconds: Positive = 120
    """An envelope that takes longer ends the run."""
    run_deadline_seconds: Positive = 3_600
    """A run that takes longer ends; the next goes on from there."""
    enabled: bool = True
    """False: delivered to only when named on the command line."""


def load_targets(node_dir: Path) -> dict[str, PushSettings]:
    """Reads every ``push/NAME.toml``, by name."""
    return {file.stem: load_target(file) for file in sorted((node_dir / PUSH_DIR).glob("*.toml"))}


def load_target(file: Path) -> PushSettings:
    """Reads one target's file; raises ConfigurationError with file, key and what was wanted."""
    settings = load_toml(file, PushSettings)
    place = str(file)
    parts = checked_url(settings.url, place, with_query=False)
    if parts.scheme == "http" and not settings.allow_private_address:
        raise ConfigurationError(f"{place}: url is not https; indicators and credentials would go in clear text")
    if settings.user is not None and settings.token_env is not None:
        raise ConfigurationError(f"{place}: both user and token_env are given; one of them says who we are")
    return settings


def source_collection(conn: Connection, name: str, settings: PushSettings) -> Collection:
    """Gives the collection that a target delivers; raises ConfigurationError where it is not a partner's."""
    found = collection_by_alias(conn, settings.collection)
    place = f"{PUSH_DIR}/{name}.toml: collection"
    if found is None:
        raise ConfigurationError(f"{place}: there is no collection {settings.collection!r} here; see `collection list`")
    if found.kind is not CollectionKind.PARTNER:
        raise ConfigurationError(
            f"{place}: {settings.collection!r} is of kind {found.kind.value}; only what was cleared for a partner"
            " is delivered. Make one with `collection add ALIAS --partner PARTNER`"
        )
    return found


def destination_of(collection: Collection, settings: PushSettings) -> bytes:
    """Gives the digest of what is delivered where: with another one, delivery starts from the beginning."""
    text = "\n".join((collection.id, settings.url, settings.remote or ""))
    return blake2b(text.encode(), digest_size=16).digest()


def fingerprint(settings: PushSettings, node_dir: Path) -> bytes:
    """Gives the digest of a target's settings and of when its files were written: changes end being parked."""
    digest = blake2b(msgspec.json.encode(settings), digest_size=16)
    for text in (settings.password_file, settings.client_cert, settings.client_key, settings.ca_file):
        if text is not None:
            file = node_dir / text
            digest.update(b"%d " % (file.stat().st_mtime_ns if file.exists() else 0))
    return digest.digest()


def next_push(
    settings: PushSettings, state: TargetState | None, print_now: bytes, cron_next: CronNext | None = None
) -> datetime | None:
    """Gives since when a target is due, by the rules of feeds; None where it is switched off or parked as it is.

    A function of its arguments alone, jitter too, so that it may be asked at every tick and needs no saving.
    ``print_now`` is the fingerprint of the target's settings. A target that never ran has always been due.
    """
    if not settings.enabled or (state is not None and state.parked == print_now):
        return None
    if state is None or state.last_run is None or state.parked is not None:
        return moment(0)
    last_run = moment(state.last_run)
    # A target never rests longer than its back-off: what waits there is withdrawals too.
    timing = FeedSettings(
        "taxii", every=settings.every, cron=settings.cron, jitter_seconds=settings.jitter_seconds, rest="1h"
    )
    rng = Random(f"{state.name} {state.last_run}")  # noqa: S311  spreads load, keeps no secret
    due = next_run(timing, last_run, state.failures, None, last_run, rng, cron_next)
    return due if state.not_before is None else max(due, moment(state.not_before))


def chosen(known: dict[str, PushSettings], names: tuple[str, ...]) -> dict[str, PushSettings]:
    """Gives the targets that are named, else all that are enabled; raises UsageError that names those there are."""
    for name in names:
        if name not in known:
            raise UsageError(f"there is no target {name!r}; known: {', '.join(known) or 'none (see target add)'}")
    return {name: one for name, one in known.items() if (name in names if names else one.enabled)}
