"""``threatshare export``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import click

from threatshare.cli.output import say, written_to
from threatshare.errors import UsageError
from threatshare.exports.formats import FORMATS, ObjectFormat
from threatshare.exports.rows import ExportRow, select
from threatshare.model import Claim, Kind, Micros, Tlp, moment
from threatshare.node import Node, opened
from threatshare.policy.gate import Facts
from threatshare.policy.marking_rules import why_not_blocked
from threatshare.stix.objects import IndicatorFacts, indicator, written
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.stix.tlp import tlp_named
from threatshare.store.connection import Connection
from threatshare.store.keys import KIND_CODE
from threatshare.store.lookups import Known, claims_about, known_by_number, ranked
from threatshare.store.rights import ties
from threatshare.triage.merged import Merged, merge

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
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False, writable=True), help="File; else stdout.")
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
    A blocklist holds only what its sources' markings and agreements let us block.
    Exit code 1: nothing stands.
    """
    chosen = FORMATS[format_name]
    kinds = [kind for kind in Kind if kind is not Kind.PATTERN and (not types or kind.stix_type in types)]
    if isinstance(chosen, ObjectFormat) and cap is not None:
        raise UsageError("--cap is for csv and blocklist")
    with opened(directory) as node, ExitStack() as stack:
        out: BinaryIO = sys.stdout.buffer
        if output is not None:
            with written_to(output):
                out = stack.enter_context(output.open("wb"))
        wanted = _Wanted(max(1, min_score), tlp_named(max_tlp), _facts(node) if chosen.blocking else None)
        standing = _Counted(_standing(node, kinds, wanted))
        if isinstance(chosen, ObjectFormat):
            bodies = (written(indicator(facts)) for _, facts in standing)
            out.writelines(chosen.write(bodies, f"bundle--{uuid4()}"))
        else:
            lines = chosen.write(select((row for row, _ in standing), None, cap))
            out.writelines(line.encode() for line in lines)
    say(f"{standing.count} observables stand at score {min_score} or more")
    for reason, count in sorted(wanted.left_out.items()):
        say(f"left out {count} that {reason} does not let us block")
    if not standing.count:
        raise SystemExit(1)


Standing = tuple[ExportRow, IndicatorFacts]


@dataclass(frozen=True)
class _Wanted:
    """What may stand in the file."""

    min_score: int
    ceiling: Tlp
    facts: Facts | None
    """Where the file is for devices that block: by what it is told whether they may."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What would stand if it were not for those who forbid to block it, by who forbids it."""


def _facts(node: Node) -> Facts:
    """Gives what is needed to tell what may be blocked."""
    settings = node.settings.node
    by_hand = ties(node.store.conn)
    return Facts(node.assets, settings.purpose, settings.identity, node.today(), node.agreements, ties=by_hand)


class _Counted:
    """Counts what passes."""

    def __init__(self, found: Iterator[Standing]) -> None:
        self._found = found
        self.count = 0

    def __iter__(self) -> Iterator[Standing]:
        for one in self._found:
            self.count += 1
            yield one


def _standing(node: Node, kinds: Sequence[Kind], wanted: _Wanted) -> Iterator[Standing]:
    """Gives what stands of some kinds, as rows and as merged indicators, a chunk in memory at a time."""
    conn = node.open_reader()
    numbers: list[int] = []
    for number in ranked(conn, [KIND_CODE[kind] for kind in kinds], wanted.min_score):
        numbers.append(number)
        if len(numbers) == _CHUNK:
            yield from _chunk(conn, node, numbers, wanted)
            numbers = []
    yield from _chunk(conn, node, numbers, wanted)
    conn.close()


def _chunk(conn: Connection, node: Node, numbers: Sequence[int], wanted: _Wanted) -> Iterator[Standing]:
    claims, now = claims_about(conn, numbers), node.now()
    for known in known_by_number(conn, numbers):
        # A marking that we cannot read has no TLP here, and is left out.
        said = [
            one.claim
            for one in claims.get(known.number, ())
            if one.claim.marking.tlp is not None and one.claim.marking.tlp <= wanted.ceiling
        ]
        if known.cap or not said:
            continue
        one = _merged(known, said, wanted, node, now)
        if one.facts is not None and wanted.facts is not None:
            said, one = _blockable(known, said, one, wanted, wanted.facts, node, now)
        if one.facts is None:
            continue
        yield _row(known, said, one, one.facts, now)


def _merged(known: Known, said: Sequence[Claim], wanted: _Wanted, node: Node, now: Micros) -> Merged:
    identity = node.settings.node.identity
    return merge(known.observable, said, known.evidence, identity, wanted.min_score, now)


def _blockable(
    known: Known, said: list[Claim], one: Merged, wanted: _Wanted, facts: Facts, node: Node, now: Micros
) -> tuple[list[Claim], Merged]:
    """Merges anew without those who forbid to block; notes who they were, where nothing stands then."""
    reasons = [why_not_blocked(claim, facts, now) for claim in said]
    allowing = [claim for claim, reason in zip(said, reasons, strict=True) if reason is None]
    if len(allowing) == len(said):
        return said, one
    left = _merged(known, allowing, wanted, node, now)
    if left.facts is None:
        wanted.left_out.update({reason for reason in reasons if reason is not None})
    return allowing, left


def _row(known: Known, said: Sequence[Claim], one: Merged, facts: IndicatorFacts, now: Micros) -> Standing:
    return (
        ExportRow(
            known.observable,
            one.score,
            tuple(sorted({claim.source for claim in said})),
            moment(known.first_seen),
            moment(max(claim.observed for claim in said)),
            moment(facts.valid_until),
            facts.tlp,
        ),
        replace(facts, created=known.first_seen, modified=whole_milliseconds(max(known.first_seen, now))),
    )
