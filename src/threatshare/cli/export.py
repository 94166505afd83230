"""``threatshare export``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import click

from threatshare.cli.output import say
from threatshare.errors import UsageError
from threatshare.exports.formats import FORMATS, ObjectFormat
from threatshare.exports.rows import ExportRow, select
from threatshare.model import Kind, Tlp, moment
from threatshare.node import Node, opened
from threatshare.stix.objects import IndicatorFacts, indicator, written
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.stix.tlp import tlp_named
from threatshare.store.connection import Connection
from threatshare.store.keys import KIND_CODE
from threatshare.store.lookups import claims_about, evidence_of, known_by_number, ranked
from threatshare.triage.merged import merge

_TYPES = sorted({kind.stix_type for kind in Kind if kind is not Kind.PATTERN})
_LABELS = [tlp.label for tlp in Tlp if tlp is not Tlp.RED]
_CHUNK = 2_000


@click.command()
@click.argument("format_name", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.option("--type", "types", multiple=True, type=click.Choice(_TYPES), help="STIX type; several times; else all.")
@click.option("--min-score", type=click.IntRange(0, 100), default=30, show_default=True, help="Our score today.")
@click.option(
    "--max-tlp", type=click.Choice(_LABELS), default="amber+strict", show_default=True, help="Most restrictive marking."
)
@click.option("--cap", type=click.IntRange(min=1), help="At most so many, the best first.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File; else stdout.")
@click.pass_obj
def export(
    directory: Path,
    format_name: str,
    types: tuple[str, ...],
    min_score: int,
    max_tlp: str,
    cap: int | None,
    output: Path | None,
) -> None:
    """Write what is known, for our own tools. FORMAT: csv, stix, blocklist.

    Only what stands today: nothing revoked, expired, known benign or ours, nothing marked above --max-tlp.
    Exit code 1: nothing stands.
    """
    chosen = FORMATS[format_name]
    kinds = [kind for kind in Kind if kind is not Kind.PATTERN and (not types or kind.stix_type in types)]
    if isinstance(chosen, ObjectFormat) and cap is not None:
        raise UsageError("--cap is for csv and blocklist")
    with opened(directory) as node, ExitStack() as stack:
        out: BinaryIO = stack.enter_context(output.open("wb")) if output else sys.stdout.buffer
        standing = _Counted(_standing(node, kinds, min_score, tlp_named(max_tlp)))
        if isinstance(chosen, ObjectFormat):
            bodies = (written(indicator(facts)) for _, facts in standing)
            out.writelines(chosen.write(bodies, f"bundle--{uuid4()}"))
        else:
            lines = chosen.write(select((row for row, _ in standing), None, cap))
            out.writelines(line.encode() for line in lines)
    say(f"{standing.count} observables stand at score {min_score} or more")
    if not standing.count:
        raise SystemExit(1)


Standing = tuple[ExportRow, IndicatorFacts]


class _Counted:
    """Counts what passes."""

    def __init__(self, found: Iterator[Standing]) -> None:
        self._found = found
        self.count = 0

    def __iter__(self) -> Iterator[Standing]:
        for one in self._found:
            self.count += 1
            yield one


def _standing(node: Node, kinds: Sequence[Kind], min_score: int, ceiling: Tlp) -> Iterator[Standing]:
    """Gives what stands of some kinds, as rows and as merged indicators, a chunk in memory at a time."""
    conn = node.open_reader()
    numbers: list[int] = []
    for number in ranked(conn, [KIND_CODE[kind] for kind in kinds], min_score):
        numbers.append(number)
        if len(numbers) == _CHUNK:
            yield from _chunk(conn, node, numbers, min_score, ceiling)
            numbers = []
    yield from _chunk(conn, node, numbers, min_score, ceiling)
    conn.close()


def _chunk(conn: Connection, node: Node, numbers: Sequence[int], min_score: int, ceiling: Tlp) -> Iterator[Standing]:
    claims, now = claims_about(conn, numbers), node.now()
    for known in known_by_number(conn, numbers):
        # A marking that we cannot read has no TLP here, and is left out.
        said = [
            one.claim
            for one in claims.get(known.number, ())
            if one.claim.marking.tlp is not None and one.claim.marking.tlp <= ceiling
        ]
        if known.cap or not said:
            continue
        floor, evidence = max(1, min_score), evidence_of(known.cap)
        one = merge(known.observable, said, evidence, node.settings.node.identity, floor, now)
        if one.facts is None:
            continue
        yield (
            ExportRow(
                known.observable,
                one.score,
                tuple(sorted({claim.source for claim in said})),
                moment(known.first_seen),
                moment(max(claim.observed for claim in said)),
                moment(one.facts.valid_until),
                one.facts.tlp,
            ),
            replace(one.facts, created=known.first_seen, modified=whole_milliseconds(max(known.first_seen, now))),
        )
