"""What a tool pushes: taken once, and answered without a word of what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from io import BytesIO
from typing import Any

import msgspec

from threatshare.arrivals.intake import Intake, told
from threatshare.ingest import IngestReport
from threatshare.model import Finding, Micros, Reject
from threatshare.store.connection import Connection
from threatshare.store.posted import answer_to, keep_answer, keep_digest


def take_posted(intake: Intake, body: bytes, format: str | None, account: str) -> tuple[dict[str, Any], str | None]:
    """Takes what a tool has pushed; gives what came of it, and why nothing could be read, where that is so.

    That names the kind of fault and the line, and no value of the body: the full reason is in the local rejects.
    The same body from the same account changes nothing for a day, and has the same answer. Raises UsageError where
    there is no reader of the name given as ``format``.
    """
    digest = blake2b(body, digest_size=32, key=(format or "").encode()[:64]).digest()
    with intake.store.writing() as conn:
        before = answer_to(conn, account, digest)
    if before:
        answer: tuple[dict[str, Any], str | None] = msgspec.json.decode(before, type=tuple[dict[str, Any], str | None])
        return answer
    place = f"posted by {account}"
    passed = _Passed(intake.read(BytesIO(body), format, place))
    report = IngestReport()
    if before is None:
        with suppress(_AnsweredMeanwhile):
            report = intake.take(passed, partial(_first, account=account, digest=digest, now=intake.now()))
    for _ in passed:
        pass
    report.findings, report.rejected = passed.findings, passed.rejected
    answer = told(report), None if passed.first is None or report.findings else _kind_of(passed.first, place)
    with intake.store.writing() as conn:
        keep_answer(conn, account, digest, msgspec.json.encode(answer))
    return answer


def _first(conn: Connection, account: str, digest: bytes, now: Micros) -> None:
    if not keep_digest(conn, account, digest, now):
        raise _AnsweredMeanwhile


class _AnsweredMeanwhile(Exception):
    """The same was sent twice at once; the other one is being taken."""


_FAULTS = (
    ("no reader recognises this format", "no reader recognises its format; name one with ?format="),
    ("holds another compressed file", "it holds another compressed file or archive, and one layer is opened"),
    ("which is not opened", "it is an archive or compressed file of a kind that is not opened: unpack it first"),
    ("inflates to more than", "it inflates to more than the limit"),
    ("gzip data", "the gzip data is corrupt or cut off"),
    ("zstd data", "the zstd data is corrupt or cut off"),
    ("zip archive", "the zip archive is corrupt, cut off or too large"),
    ("encrypted", "it is encrypted: send it without a password"),
    ("PDF", "a PDF that cannot be read, or not as a whole: send its text"),
    ("no table with a column of indicators", "no table with a column of indicators: name the columns in a header line"),
    ("a quote in this row is not closed", "a quote in this row is not closed"),
    ("none that we share", "a type that is not shared"),
    ("is no ", "a value that is not what it should be: an address, name, URL or hash that cannot be read"),
    ("no JSON object", "no JSON object"),
    ("text between the records", "text between the records"),
    ("the record does not end", "the record does not end: a bracket or quote is not closed"),
    ("nested more than", "the record is nested too deep"),
    ("more than", "larger than the limit"),
    ("not readable", "a record that is not readable: broken, or a member is missing or of a wrong type"),
)
"""What an answer says of a reason, by words that it contains: reasons may quote values, the answer may not."""

_OTHER_FAULT = "a record that is not as its format demands"


def _kind_of(fault: Reject, place: str) -> str:
    """Tells the kind of a fault and its line, in words that are all ours."""
    kind = next((said for words, said in _FAULTS if words in fault.reason), _OTHER_FAULT)
    line = fault.place.removeprefix(f"{place}:")
    return f"{kind} (line {line})" if line.isdecimal() and len(line) < len("1000000000") else kind


class _Passed:
    """Counts results as they pass."""

    def __init__(self, results: Iterator[Finding | Reject]) -> None:
        self._results = results
        self.findings = 0
        self.rejected = 0
        self.first: Reject | None = None
        """The first record that could not be read."""

    def __iter__(self) -> Iterator[Finding | Reject]:
        for one in self._results:
            if isinstance(one, Reject):
                self.first = self.first or one
                self.rejected += 1
            else:
                self.findings += 1
            yield one
