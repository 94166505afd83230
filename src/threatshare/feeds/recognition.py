"""Guesses from an address or path alone what kind of feed it is; nothing is asked or opened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

_TAXII_PATH = re.compile(r"/taxii2?(/|$)|/collections(/|$)", re.IGNORECASE).search
_FILE_PATH = re.compile(r"\.(json|stix2?)$", re.IGNORECASE).search
_LIST_PATH = re.compile(r"\.(txt|csv|tsv|intel|list|ipset|netset|jsonl|ndjson)$", re.IGNORECASE).search


def kind_of(url_or_path: str) -> Literal["taxii", "stix", "misp", "list"]:
    """Tells whether an address or path is pulled over TAXII, or read as STIX bundles, a MISP feed or a list.

    A manifest is that of a MISP feed. Names of text, CSV and JSON lines are lists. Paths and addresses of JSON files
    are STIX. TAXII are addresses that name it or a collection, and those that end in a slash, as every TAXII address
    does and a bare host by itself.
    """
    try:
        parts = urlsplit(url_or_path.strip())
    except ValueError:
        return "stix"
    if parts.path.endswith("/manifest.json") or Path(url_or_path, "manifest.json").is_file():
        return "misp"
    if _LIST_PATH(parts.path):
        return "list"
    if parts.scheme.lower() not in ("http", "https"):
        return "stix"
    if _FILE_PATH(parts.path):
        return "stix"
    return "taxii" if parts.path == "" or parts.path.endswith("/") or _TAXII_PATH(parts.path) else "stix"
