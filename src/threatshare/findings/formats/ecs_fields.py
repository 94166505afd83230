"""What documents out of Elasticsearch have in common: search responses around them, and keys nested or dotted.

The same field comes as ``{"source": {"ip": "..."}}``, as ``{"source.ip": "..."}``, and from the ``fields`` option of a
search as ``{"source.ip": ["..."]}``; one document may mix all three (alerts do: ``kibana.alert.*`` is dotted).
After that come the field sets of the Elastic Common Schema that several others contain: hashes and threats.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, inners, text, texts
from threatshare.findings.records import HEAD, replay
from threatshare.model import Kind

HITS = frozenset({"hits"})
"""The array that holds the records of a search response once ``hits_opened`` has cut to it."""

_MOST_STEPS = 16
"""Steps of a dotted key; ECS and the alert schema need nine."""

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = rb"\{(?:[^{}\"]|" + _TEXT + rb")*+\}"
_TWO_DEEP = rb"\{(?:[^{}\"]|" + _TEXT + rb"|" + _FLAT + rb")*+\}"
_BEFORE = rb'(?:\s*(?!"hits")' + _TEXT + rb"\s*:\s*(?:" + _TEXT + rb"|[-+.\w]++|" + _TWO_DEEP + rb")\s*,)*+"
_RESPONSE = rb"\{" + _BEFORE + rb'\s*"hits"\s*:\s*\{' + _BEFORE + rb'\s*"hits"\s*:\s*(?=\[)'
"""A search response up to its hits: ``took``, ``timed_out``, ``_shards``, ``_clusters`` and ``total`` stand before."""
_FIRST = re.compile(rb"(?s)\s*+" + _RESPONSE).match
_FURTHER = re.compile(rb"(?s)(?<=\})\s*+" + _RESPONSE).sub
_CHUNK = 256 * 1024

_HASHES: Mapping[str, Kind] = {"md5": Kind.MD5, "sha1": Kind.SHA1, "sha256": Kind.SHA256, "sha512": Kind.SHA512}
_ATOMS = (("ip",), ("url", "full"), ("domain",), ("email", "address"))
"""Where an indicator's own value stands; ``domain`` is what version 7 had."""
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?").fullmatch


def hits_opened(stream: BinaryIO) -> BinaryIO:
    """Gives a stream whose records are the hits, where it holds search responses; any other stream as it is.

    What stands before the hits of each response, at most 64 KiB, is replaced by ``{"hits":`` and as many line ends as
    it had, so that ``json_records`` with the member ``hits`` takes each hit for a record with its own limit and line,
    however long the response is. What stands behind the hits (aggregations) is passed over.
    """
    head = stream.read(HEAD).removeprefix(codecs.BOM_UTF8)
    found = _FIRST(head)
    if found is None:
        return replay(head, stream)
    return cast(BinaryIO, io.BufferedReader(_Opened(_cut(found) + head[found.end() :], stream), _CHUNK))


def _cut(found: re.Match[bytes]) -> bytes:
    return b"\n" * found[0].count(b"\n") + b'{"hits":'


class _Opened(io.RawIOBase):
    """Cuts what stands before the hits of every further response, as written by a script that appends page to page."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._held = head
        """Bytes in which a response may begin that does not end in them."""
        self._ready = b""
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        more = b"."
        while not self._ready and more:
            more = self._stream.read(_CHUNK)
            self._held = _FURTHER(_cut, self._held + more)
            ready = max(0, len(self._held) - HEAD) if more else len(self._held)
            self._ready, self._held = self._held[:ready], self._held[ready:]
        data = self._ready[: len(buffer)]
        self._ready = self._ready[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def source_of(doc: Doc) -> Doc:
    """Gives the document inside a hit or a dumped line: its ``_source``, else its ``fields``; any other as it is.

    Raises BadValue for a response whose hits could not be opened, so that they are not passed over in silence.
    """
    for key in ("_source", "fields"):
        held = doc.get(key)
        if isinstance(held, dict) and held and ("_id" in doc or "_index" in doc):
            return held
    if isinstance(inner(doc, "hits").get("hits"), list) or isinstance(doc.get("responses"), list):
        raise BadValue("a search response whose hits do not stand near its beginning: extract them, one a line")
    return doc


def nested(doc: Doc, wanted: Collection[str]) -> Doc:
    """Gives the wanted top-level fields of a document as nested objects, lists of one plain value as that value.

    Where a key is both a plain value and an object, the object stays; of two plain values the first.
    """
    made: Doc = {}
    for key, value in doc.items():
        if key.partition(".")[0] in wanted:
            _place(made, key, value)
    return made


def _place(into: Doc, key: str, value: Any) -> None:
    *steps, last = key.split(".", _MOST_STEPS)
    for step in steps:
        held = into.get(step)
        if not isinstance(held, dict):
            held = into[step] = {}
        into = held
    held = into.get(last)
    if isinstance(value, dict):
        if not isinstance(held, dict):
            held = into[last] = {}
        for inner_key, one in value.items():
            _place(held, inner_key, one)
    elif held is None:
        into[last] = _plain(value)


def _plain(value: Any) -> Any:
    """Gives a list with its objects nested too, and a list of one plain value as that value."""
    if not isinstance(value, list):
        return value
    if len(value) == 1 and not isinstance(value[0], dict | list):
        return value[0]
    return [_whole(one) if isinstance(one, dict) else one for one in value]


def _whole(doc: Doc) -> Doc:
    made: Doc = {}
    for key, value in doc.items():
        _place(made, key, value)
    return made


# --- field sets ---------------------------------------------------------------------------------------------------


def hashes(holder: Doc) -> Iterator[tuple[Kind, str]]:
    """Yields the hashes of a file, process or indicator, each with its kind."""
    return ((kind, digits) for name, kind in _HASHES.items() if (digits := text(holder, "hash", name)))


def matched(threat: Doc) -> Iterator[tuple[Kind | None, str]]:
    """Yields what matched a threat feed: ``enrichments[]``, before version 8 ``indicator[].matched``.

    That is the matched value, else the indicator's own; and all hashes of the indicator, which are those of one file.
    """
    legacy = [one for one in inners(threat, "indicator") if inner(one, "matched")]
    for one in (*inners(threat, "enrichments"), *legacy):
        indicator = inner(one, "indicator") or one
        atoms = texts(one, "matched", "atomic") or [found for path in _ATOMS for found in texts(indicator, *path)]
        yield from ((None, found) for found in atoms)
        yield from hashes(inner(indicator, "file"))


def techniques(threats: Iterable[Doc]) -> Iterator[str]:
    """Yields the ATT&CK ids of ``threat.technique``, a sub-technique in place of its technique."""
    for technique in (one for threat in threats for one in inners(threat, "technique")):
        finer = [uid for sub in inners(technique, "subtechnique") for uid in texts(sub, "id")]
        coarse = [uid for uid in texts(technique, "id") if not any(one.startswith(f"{uid}.") for one in finer)]
        yield from (uid for uid in (*coarse, *finer) if _TECHNIQUE(uid))
