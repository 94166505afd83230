"""Until when we can show who we are to partners' servers: the dates of push targets' client certificates."""

from __future__ import annotations

from pathlib import Path

from threatshare.errors import ConfigurationError
from threatshare.model import moment
from threatshare.policy.profile_bundles import Record
from threatshare.share.certificates import validity
from threatshare.share.push_settings import PUSH_DIR, load_target
from threatshare.store.collections import collection_by_alias
from threatshare.store.connection import Connection


def delivery_certificates(node_dir: Path, conn: Connection) -> dict[str, tuple[Record, ...]]:
    """Gives by partner the dates of the certificates with which it is delivered to.

    A target without one, or whose file or certificate cannot be read, says nothing: ``push`` and ``doctor`` tell of it.
    """
    found: dict[str, list[Record]] = {}
    for file in sorted((node_dir / PUSH_DIR).glob("*.toml")):
        try:
            settings = load_target(file)
            to = collection_by_alias(conn, settings.collection)
            if settings.client_cert is None or to is None or to.partner is None:
                continue
            holds = validity(node_dir / settings.client_cert)
        except ConfigurationError:
            continue
        record = Record(f"certificate of target {file.stem}", moment(holds.begins).date(), moment(holds.ends).date())
        found.setdefault(to.partner, []).append(record)
    return {partner: tuple(records) for partner, records in found.items()}
