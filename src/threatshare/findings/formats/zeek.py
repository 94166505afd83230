"""Zeek's notices and matches of its intelligence framework, with what the logs around a notice say of it.

A notice points at a connection (``uid``) and a file (``fuid``). Where one stream mixes the logs, as JSON streaming
logs do, records of conn, files, http and ssl near a notice give it names, URLs, hashes and which side is ours. On
their own those logs are telemetry and yield nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, number, text, texts
from threatshare.findings.events import Event, LookUp, finding_of, refused
from threatshare.findings.formats.zeek_logs import LogRecord, is_zeek_log, member, zeek_records
from threatshare.findings.formats.zeek_notices import (
    NO_TRACES,
    Meaning,
    Traces,
    intel_event,
    local_ends,
    meaning_of,
    notice_event,
)
from threatshare.findings.roles import sides
from threatshare.model import Finding, Reject

_BEHIND = 8_192
"""Connections and files that are remembered, the latest ones."""
_AHEAD = 2_048
"""Records that a notice waits for what follows it: conn.log is written when a connection ends."""
_LONGEST = 2_048
"""Characters of a URL that is remembered."""
_SHORTER = 255
"""Characters of a name, an id, an address or a hash that is remembered."""
_LARGEST = 8_192
"""Characters of a notice that may wait: with ``_AHEAD`` it bounds the memory."""
_FILES = 8
"""Files of one HTTP request that are remembered."""


class ZeekReader:
    """Reads notice.log and intel.log, alone or in a stream with others."""

    name = "zeek"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells any of Zeek's logs, so that no other reader takes one; an Intel framework file is none."""
        return is_zeek_log(head)

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each notice and match that names a value with a part in an attack.

        A notice that waits for the records after it comes up to 2,048 records late.
        """
        look_up = sides(own)
        window = _Window()
        for record in zeek_records(stream, place):
            if isinstance(record, Reject):
                yield record
                continue
            for ready in window.ready(record):
                yield from _read(ready, window, look_up, own)
        for ready in window.rest():
            yield from _read(ready, window, look_up, own)


def _read(record: LogRecord, window: _Window, look_up: LookUp, own: OwnAssets) -> Iterator[Finding | Reject]:
    try:
        event = _event(record, window, look_up)
        found = None if event is None else finding_of(event, ZeekReader.name, record.where, own)
    except BadValue as problem:
        yield refused(record.where, str(problem), str(record.doc))
    else:
        if found is not None:
            yield found


def _event(record: LogRecord, window: _Window, look_up: LookUp) -> Event | None:
    if record.log == "intel":
        return intel_event(record.doc)
    return notice_event(record.doc, window.traces_of(record.doc), look_up)


class _Waiting(NamedTuple):
    until: int
    record: LogRecord


class _Window:
    """Remembers the latest connections and files, and keeps notices back until what follows them was seen."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Traces] = OrderedDict()
        """By ``uid`` and ``fuid``, which are never alike: the first begins with C, the second with F."""
        self._waiting: deque[_Waiting] = deque()
        self._count = 0

    def ready(self, record: LogRecord) -> Iterator[LogRecord]:
        """Takes one record, and gives those that are to be read now."""
        self._count += 1
        if record.log == "intel" or (record.log == "notice" and not self._may_gain(record.doc)):
            yield record
        elif record.log == "notice":
            self._waiting.append(_Waiting(self._count + _AHEAD, record))
        else:
            self._remember(record)
        while self._waiting and self._waiting[0].until <= self._count:
            yield self._waiting.popleft().record

    def rest(self) -> Iterator[LogRecord]:
        """Gives the notices that still wait."""
        while self._waiting:
            yield self._waiting.popleft().record

    def traces_of(self, notice: Doc) -> Traces:
        """Gives all that is known of a notice's connection and file."""
        of_connection = self._known.get(text(notice, "uid"), NO_TRACES)
        of_file = self._known.get(text(notice, "fuid"), NO_TRACES)
        return of_file._replace(ours=of_connection.ours, hosts=of_connection.hosts)

    def _may_gain(self, notice: Doc) -> bool:
        """Whether other logs are in the stream, and the notice points at something in them."""
        if not self._known or not (text(notice, "uid") or text(notice, "fuid")):
            return False
        return meaning_of(text(notice, "note")) is not Meaning.NOTHING and len(str(notice)) <= _LARGEST

    def _remember(self, record: LogRecord) -> None:
        doc = record.doc
        match record.log:
            case "conn":
                self._add(text(doc, "uid"), Traces(ours=frozenset(end for end in local_ends(doc) if _short(end))))
            case "ssl":
                self._add(text(doc, "uid"), Traces(hosts=_short(text(doc, "server_name"))))
            case "http":
                self._remember_request(doc)
            case "files":
                digests = tuple(said for key in ("sha256", "sha1", "md5") for said in _short(text(doc, key)))
                whole = number(doc, "missing_bytes") in (0, None)
                sent = member(doc, "is_orig")
                from_client = sent if isinstance(sent, bool) else None
                self._add(text(doc, "fuid"), Traces(from_client=from_client, hashes=digests if whole else ()))

    def _remember_request(self, doc: Doc) -> None:
        host, path = text(doc, "host"), text(doc, "uri")
        self._add(text(doc, "uid"), Traces(hosts=_short(_without_port(host))))
        port = str(member(doc, "id.resp_p") or "80")
        if host and path.startswith("/") and text(doc, "method") != "CONNECT":
            where = host if _without_port(host) != host or port == "80" else f"{host}:{port}"
            for url in _short(f"http://{where}{path}", _LONGEST):
                for fuid in (*texts(doc, "resp_fuids"), *texts(doc, "orig_fuids"))[:_FILES]:
                    self._add(fuid, Traces(url=url))

    def _add(self, key: str, new: Traces) -> None:
        if not _short(key) or new == NO_TRACES:
            return
        old = self._known.pop(key, NO_TRACES)
        self._known[key] = Traces(
            old.ours | new.ours,
            new.hosts or old.hosts,
            new.url or old.url,
            old.from_client if new.from_client is None else new.from_client,
            new.hashes or old.hashes,
        )
        while len(self._known) > _BEHIND:
            self._known.popitem(last=False)


def _short(said: str, longest: int = _SHORTER) -> tuple[str, ...]:
    return (said,) if 0 < len(said) <= longest else ()


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and not host.endswith("]") else host
