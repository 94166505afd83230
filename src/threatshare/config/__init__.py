"""The node directory's own files, read closed and typed: an unknown key is an error that names the nearest known one.

    node.toml          who we are, how we share, how we serve
    own-assets.toml    our networks, domains and mail domains, which never leave

Secrets are never in these files: where one is needed, an environment variable or a file that holds it is named.
"""

from __future__ import annotations

from threatshare.config.assets import ASSETS_FILE, Address, AssetsFile, Network, OwnAssets, load_assets, parse_assets
from threatshare.config.contact import OwnContact
from threatshare.config.node_file import (
    AGREEMENTS_DIR,
    NODE_FILE,
    STORE_FILE,
    Daemon,
    FindingsSource,
    Identity,
    Serve,
    Settings,
    Sharing,
    load_settings,
)
from threatshare.config.secrets import secret
from threatshare.config.toml_files import (
    MOST_BYTES_OF_VALUES,
    at_line,
    load_toml,
    parse_toml,
    settings_bytes,
    toml_text,
    was_given,
)
from threatshare.config.values import LanguageTag, Percent, Positive, Purpose, Reliability, TlpLabel, Uri

__all__ = [
    "AGREEMENTS_DIR",
    "ASSETS_FILE",
    "MOST_BYTES_OF_VALUES",
    "NODE_FILE",
    "STORE_FILE",
    "Address",
    "AssetsFile",
    "Daemon",
    "FindingsSource",
    "Identity",
    "LanguageTag",
    "Network",
    "OwnAssets",
    "OwnContact",
    "Percent",
    "Positive",
    "Purpose",
    "Reliability",
    "Serve",
    "Settings",
    "Sharing",
    "TlpLabel",
    "Uri",
    "at_line",
    "load_assets",
    "load_settings",
    "load_toml",
    "parse_assets",
    "parse_toml",
    "secret",
    "settings_bytes",
    "toml_text",
    "was_given",
]
