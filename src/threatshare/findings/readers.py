"""Finds the reader for a file and runs it. Built-in readers and plugins come by the same way: entry points.

A reader is asked in this order whether a file is its format: the built-in readers of structured formats, plugins by
name, the site's own field maps by name, then tables, then text, because a table is also text, and a plugin or a site
knows its format better than they do. Listing readers imports none of them; asking imports the reader, which imports
heavy libraries only when it reads. Compressed files are opened first, and read as what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import ConfigurationError, UsageError
from threatshare.findings.compression import Part, parts
from threatshare.model import Finding, Reject
from threatshare.ports import Reader

GROUP = "threatshare.readers"

Site = Mapping[str, Reader]
"""A site's own readers by name, as ``fieldmap.site_readers`` loads them."""

NO_SITE: Site = MappingProxyType({})

_FIRST = (
    "wazuh",  # before Suricata, whose alerts it may carry
    "suricata-eve",
    "ocsf",
    "guardduty",
    "asff",
    "scc",
    "defender",
    "crowdstrike",
    "ecs",
    "zeek",
    "misp",
    "stix",
    "stix1",
    "openioc",
    "email",
    "html",
    "pdf",
    "auth-log",
)
_LAST = ("csv", "text")


def reader_names(site: Site = NO_SITE) -> list[str]:
    """Lists the names of all readers in the order in which they are asked."""
    names = _registered()
    _refuse_taken(site)
    plugins = sorted(name for name in names if name not in _FIRST + _LAST)
    return [name for name in (*_FIRST, *plugins, *sorted(site), *_LAST) if name in names or name in site]


def reader_named(name: str, site: Site = NO_SITE) -> Reader:
    """Gives one reader; raises UsageError naming the nearest where there is none of that name."""
    known = reader_names(site)
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        raise UsageError(f"there is no reader named {name!r}; {hint}")
    return _one(name, site)


def recognise(head: bytes, filename: str, site: Site = NO_SITE) -> Reader | None:
    """Gives the first reader that takes a file for its format, by its first 64 KiB; None where none does.

    ``head`` is plain: of a compressed file, the first 64 KiB of what is in it.
    """
    readers = (_one(name, site) for name in reader_names(site))
    return next((reader for reader in readers if reader.recognises(head, filename)), None)


def read_file(
    source: Path | BinaryIO, format: str | None, own: OwnAssets, place: str | None = None, site: Site = NO_SITE
) -> Iterator[Finding | Reject]:
    """Yields what a file or stream holds, in constant memory; a file of no known format is one Reject.

    ``format`` names the reader; None: it is recognised from the content. ``place`` names the source in every result;
    None: the path, or ``-`` for a stream. A gzip, zstd or zip file is read as what it holds. Raises UsageError where
    there is no reader of that name, ConfigurationError where one of ``site`` bears the name of another.
    """
    _refuse_taken(site)
    reader = reader_named(format, site) if format is not None else None
    if isinstance(source, Path):
        return _read_path(source, reader, own, place or str(source), site)
    return _read(source, reader, own, place or "-", site)


def _read_path(path: Path, reader: Reader | None, own: OwnAssets, place: str, site: Site) -> Iterator[Finding | Reject]:
    try:
        stream = path.open("rb")
    except OSError as problem:
        yield Reject(place, f"cannot be read: {problem.strerror}")
        return
    with stream:
        yield from _read(stream, reader, own, place, site)


def _read(
    stream: BinaryIO, reader: Reader | None, own: OwnAssets, place: str, site: Site
) -> Iterator[Finding | Reject]:
    for part in parts(stream, place):
        if isinstance(part, Reject):
            yield part
            continue
        if part.head.strip():
            yield from _read_part(part, reader or recognise(part.head, part.filename, site), own, site)
        if (fault := part.fault()) is not None:
            yield Reject(part.place, fault)


def _read_part(part: Part, reader: Reader | None, own: OwnAssets, site: Site) -> Iterator[Finding | Reject]:
    if reader is not None:
        yield from reader.read(part.stream, part.place, own)
        return
    known = ", ".join(reader_names(site))
    yield Reject(part.place, f"no reader recognises this format; name one with --format: {known}")


@cache
def _registered() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ConfigurationError(
                f"two readers are named {entry.name!r}: {other.value} and {entry.value}. Uninstall one of them."
            )
    return found


@cache
def _loaded(name: str) -> Reader:
    entry = _registered()[name]
    try:
        reader: Reader = entry.load()()
    except (ImportError, AttributeError, TypeError) as problem:
        raise ConfigurationError(f"the reader {name!r} ({entry.value}) cannot be loaded: {problem}") from problem
    return reader


def _one(name: str, site: Site) -> Reader:
    return site[name] if name in site else _loaded(name)


def _refuse_taken(site: Site) -> None:
    """Raises ConfigurationError where a reader of the site bears a name that is one of ours, or of a plugin."""
    for name in site:
        if name in _registered() or name in _FIRST + _LAST:
            raise ConfigurationError(
                f"readers/{name}.toml: there is another reader named {name!r}, installed with the program. "
                "Rename the file."
            )
