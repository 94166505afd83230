"""``threatshare lookup``: imports as little as it can, since an answer should be there at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from threatshare.cli.output import defanged, emit, safe, say, when
from threatshare.errors import ConfigurationError, StoreError
from threatshare.lookup import Answer
from threatshare.lookup import lookup as ask
from threatshare.model import moment
from threatshare.stix.timestamps import write_timestamp
from threatshare.store.connection import DatabaseError, open_reader

if TYPE_CHECKING:
    from threatshare.config import OwnAssets

STORE_FILE = "store.db"


@click.command()
@click.argument("values", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a value, one a line.")
@click.pass_obj
def lookup(directory: Path, values: tuple[str, ...], as_json: bool) -> None:
    """Tell what is known of addresses, domains, URLs, mail addresses and hashes.

    VALUE may be defanged; - reads a list from stdin, a value a line. Exit code 1: none of them is known.
    """
    some_known = False
    try:
        if not (directory / STORE_FILE).is_file():
            # The same words and exit code as other verbs; only then, since it takes time to import.
            from threatshare.config import load_settings

            load_settings(directory)
        conn = open_reader(directory / STORE_FILE)
        for chunk in _chunks(_asked(values)):
            for answer in ask(conn, chunk, time.time_ns() // 1000):
                some_known |= answer.known
                if as_json:
                    emit(_as_json(answer) | {"never": _never(directory, answer)})
                else:
                    _show(answer, _never(directory, answer))
    except DatabaseError as problem:
        raise StoreError(f"{directory / STORE_FILE}: {problem}") from problem
    if not some_known:
        sys.exit(1)


def _asked(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        if value == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield value


def _chunks(values: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(values, 1000)):
        yield chunk


def _as_json(answer: Answer) -> dict[str, object]:
    told: dict[str, object] = {
        "value": answer.value,
        "canonical": answer.observable.value if answer.observable else None,
        "type": answer.observable.kind.stix_type if answer.observable else None,
        "hash": answer.observable.kind.algorithm if answer.observable else None,
        "known": answer.known,
        "exercise_only": bool(answer.exercises) and not answer.known,
        "exercises": list(answer.exercises),
        "score": answer.score.value if answer.score else None,
        "band": answer.score.band if answer.score else None,
        "sources": sorted({one.source for one in answer.claims}),
        "explanation": list(answer.score.terms) if answer.score else [],
        "claims": [
            {
                "source": one.source,
                "indicator": one.indicator_id or None,
                "origin": one.origin,
                "reliability": one.reliability,
                "confidence": one.confidence,
                "observed": write_timestamp(one.observed),
                "valid_from": write_timestamp(one.valid_from),
                "valid_until": None if one.valid_until is None else write_timestamp(one.valid_until),
                "revoked": one.revoked,
                "tlp": one.marking.tlp.label if one.marking.tlp is not None else "unknown",
            }
            for one in answer.claims
        ],
        "context": [one._asdict() for one in answer.context],
        "lists": [{"feed": feed, "row": row} for feed, row in answer.lists],
        "seen": [
            {
                "sensor": one.sensor,
                "role": one.role,
                "first_seen": write_timestamp(one.first_seen),
                "last_seen": write_timestamp(one.last_seen),
                "count": one.count,
                "why": one.why,
            }
            for one in answer.seen
        ],
        "feedback": [
            {
                "told": one.told,
                "by": one.by.person,
                "at": write_timestamp(one.by.at),
                "reason": one.by.reason,
                "taken_back": None if one.undone is None else one.undone.person,
            }
            for one in answer.feedback
        ],
        "related": [
            {
                "relation": one.relation,
                "type": one.observable.kind.stix_type,
                "value": one.observable.value,
                "score": one.score,
            }
            for one in answer.related
        ],
    }
    if answer.problem:
        told["problem"] = answer.problem
    return told


def _never(directory: Path, answer: Answer) -> str | None:
    """Says of a value that nobody says anything of why no indicator of it is ever made; None where one may be."""
    if answer.known or answer.observable is None:
        return None
    # Here, since what is known needs none of it.
    from threatshare.findings.third_parties import never_told

    if _assets(directory).owns(answer.observable):
        return "ours"
    return never_told(answer.observable)


@cache
def _assets(directory: Path) -> OwnAssets:
    from threatshare.config import OwnAssets, load_assets

    try:
        return load_assets(directory)
    except (ConfigurationError, OSError):
        # What is wrong with the file, or that this person may not read it, is nothing that a question fails of.
        return OwnAssets()


def _show(answer: Answer, never: str | None) -> None:
    if answer.observable is None:
        say(f"{safe(answer.value)}: not recognised: {safe(answer.problem or '')}")
        return
    name = f"{answer.observable.kind}  {defanged(answer.observable.value)}"
    if not answer.known:
        only = f"exercise data only: {safe('; '.join(answer.exercises))}" if answer.exercises else "unknown"
        only = safe(never) if never and not answer.exercises else only
        click.echo(f"{name}  {only}")
        return
    if answer.score is None:
        click.echo(f"{name}  no claim about the value itself")
    else:
        sources = ", ".join(sorted({one.source for one in answer.claims}))
        click.echo(f"{name}  score {answer.score.value} ({answer.score.band})  sources: {safe(sources)}")
        for term in answer.score.terms:
            click.echo(f"    {safe(term)}")
        if answer.score.next_change is not None:
            click.echo(f"    leaves its band by time alone on {moment(answer.score.next_change):%Y-%m-%d}")
    for what in answer.context:
        names = " ".join(filter(None, (what.name or what.id, *(f"({one})" for one in what.techniques))))
        tied = " ".join(filter(None, (what.of, what.relation, what.type)))
        click.echo(f"    {safe(tied)}: {safe(names)}, says {safe(what.source)}")
    for feed, row in answer.lists:
        click.echo(f"    listed by {safe(feed)}" + (f": {defanged(row)}" if row else ""))
    for text in answer.exercises:
        click.echo(f"    beside that, {safe(text)}")
    for one in answer.seen:
        click.echo(
            f"    seen by {safe(one.sensor)} as {one.role}, {one.count} times,"
            f" {when(one.first_seen)} to {when(one.last_seen)}: {safe(one.why)}"
        )
    for said in answer.feedback:
        back = f" (taken back by {said.undone.person}: {said.undone.reason})" if said.undone is not None else ""
        click.echo(f"    {said.told} by {safe(said.by.person)}, {when(said.by.at)}: {safe(said.by.reason + back)}")
    for related in answer.related:
        click.echo(
            f"    {related.relation}: {related.observable.kind} {defanged(related.observable.value)}"
            f"  score {related.score}"
        )
