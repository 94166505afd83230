"""Lists that people keep, to which a decision adds: our own assets, and what never leaves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from threatshare.amendments import add_to_list
from threatshare.config import ASSETS_FILE, load_assets
from threatshare.errors import UsageError
from threatshare.model import Kind, Observable, host_of, moment
from threatshare.policy import never_share
from threatshare.store.decisions import ByWhom


def keep_as_own(directory: Path, values: Iterable[Observable], by: ByWhom, network: str | None = None) -> None:
    """Adds values to own-assets.toml, or ``network`` (a network or a domain) instead of them all.

    Raises UsageError for a mail address: its domain may be a public provider's.
    """
    if network is not None:
        entries = {"networks" if "/" in network else "domains": [network]}
    else:
        entries = {}
        for one in values:
            key, text = _asset(one)
            entries.setdefault(key, []).append(text)
    for key, texts in entries.items():
        add_to_list(directory / ASSETS_FILE, key, sorted(set(texts)), _signed(by))
    load_assets(directory)


def keep_unshared(directory: Path, values: Iterable[Observable], by: ByWhom) -> None:
    """Adds values to never-share.toml."""
    add_to_list(directory / never_share.FILE, "values", sorted({one.value for one in values}), _signed(by))
    never_share.load_never_share(directory)


def _signed(by: ByWhom) -> str:
    return f"{by.person}, {moment(by.at):%Y-%m-%d}: {by.reason}"


def _asset(observable: Observable) -> tuple[str, str]:
    kind, value = observable
    match kind:
        case Kind.IPV4 | Kind.IPV6:
            return "networks", value
        case Kind.DOMAIN:
            return "domains", value
        case Kind.URL:
            host = host_of(value)
            return ("networks" if ":" in host or host.replace(".", "").isdigit() else "domains"), host
        case Kind.MD5 | Kind.SHA1 | Kind.SHA256 | Kind.SHA512:
            return "file_hashes", value
        case _:
            raise UsageError(f"a {kind} is no asset by itself; add its domain to own-assets.toml by hand")
