"""``threatshare ledger``: what left, to whom, under which agreement; and whether that record still holds."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, BinaryIO

import click

from threatshare.cli.days import Day
from threatshare.cli.output import emit, safe, say, table, when, written_to
from threatshare.cli.progress import shown
from threatshare.errors import BadValue, UsageError
from threatshare.model import Micros, micros
from threatshare.node import Node, opened
from threatshare.share.anchors import append_anchor, read_anchors
from threatshare.share.views import ids_of
from threatshare.stix.observables import recognise
from threatshare.stix.timestamps import write_timestamp
from threatshare.store import ledger as records
from threatshare.store import reach as reaching
from threatshare.store.acts import check_acts
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.ledger_check import check

_DAY: Micros = 86_400_000_000
_STEP = 10_000


@click.group()
def ledger() -> None:
    """What left this node: a row for each object that the gate let into a collection, chained by hashes."""


@ledger.command()
@click.option("--partner", help="Only what went to this partner.")
@click.option("--object", "subject", help="Only this object: its id, or a value.")
@click.option("--from", "begin", type=Day(), help="Not before this day, YYYY-MM-DD, UTC.")
@click.option("--to", "end", type=Day(), help="Not after this day.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(
    directory: Path,
    partner: str | None,
    subject: str | None,
    begin: date | None,
    end: date | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what left, newest first. Exit code 1: nothing that was asked for."""
    with _reading(directory) as (node, conn):
        ids = None if subject is None else reaching.served_ids(conn, _ids_of(node, subject))
        until = None if end is None else _midnight(end) + _DAY
        found = records.chosen(conn, limit, ids, partner, None if begin is None else _midnight(begin), until)
    told = [_told(row) for row in found]
    if as_json:
        for one in told:
            emit(one)
    else:
        headings = ("number", "at", "what", "collection", "object", "modified", "agreement", "approved")
        table(headings, [_cells(row, one) for row, one in zip(found, told, strict=True)])
    if not found:
        say("the ledger has no such row")
        sys.exit(1)


@ledger.command()
@click.option(
    "--anchor",
    "anchors",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    multiple=True,
    help="File of heads that `ledger anchor` wrote, - for stdin; several times.",
)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def verify(directory: Path, anchors: tuple[Path, ...], as_json: bool) -> None:
    """Check that nothing was altered or dropped: rows, entries, releases, anchors, and the acts of people.

    The first problem names the first bad row. Exit code 1: the ledger is broken.
    """
    with _reading(directory) as (node, conn):
        witnessed: dict[int, list[str]] = {}
        for file in anchors:
            for number, hashes in read_anchors(file, node.settings.node.identity).items():
                witnessed.setdefault(number, []).extend(hashes)
        with shown("ledger") as advance:
            found = check(conn, witnessed, lambda done: advance(done, "rows verified"))
        people = check_acts(conn)
    problems = [*found.problems, *people.problems]
    if as_json:
        emit(
            {
                "holds": not problems,
                "rows": found.rows,
                "head": found.head._asdict(),
                "anchors": found.anchors,
                "acts": {"rows": people.rows, "head": people.head._asdict()},
                "problems": problems,
                "more_problems": found.untold + people.untold,
            }
        )
    else:
        for problem in problems:
            click.echo(safe(problem))
        if found.untold + people.untold:
            click.echo(f"... and {found.untold + people.untold} more")
        if not problems:
            click.echo(f"the ledger holds: {found.rows} rows, head {found.head.hash}, {found.anchors} anchors met")
            click.echo(f"the acts of people hold: {people.rows} rows, head {people.head.hash}")
    if problems:
        sys.exit(1)


@ledger.command()
@click.argument("subject", metavar="OBJECT|VALUE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a version and collection, one a line.")
@click.pass_obj
def reach(directory: Path, subject: str, as_json: bool) -> None:
    """Tell who was sent OBJECT (an id, or a value), when first, and who has been sent its withdrawal since.

    Exit code 1: it was never published.
    """
    with _reading(directory) as (node, conn):
        found = reaching.reach(conn, _ids_of(node, subject), node.now())
    for one in found:
        if as_json:
            emit(_reached(one))
        else:
            _show_reached(one)
    if not found:
        say("it was never published")
        sys.exit(1)


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True))
@click.option(
    "--with-verifier",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, writable=True),
    help="Write verify_ledger.py into this folder: it checks FILE with Python alone.",
)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def export(directory: Path, file: Path, folder: Path | None, as_json: bool) -> None:
    """Write the whole ledger to FILE (- for stdout): one JSON object a line, exactly the hashed fields and the hash."""
    count, last = 0, records.Head(0, records.GENESIS)
    to_stdout = str(file) == "-"
    with _reading(directory) as (_, conn), ExitStack() as stack, shown("ledger") as advance:
        out: BinaryIO = sys.stdout.buffer
        if not to_stdout:
            with written_to(file):
                out = stack.enter_context(file.open("wb"))
        for row in records.rows(conn):
            out.write(row.exported.encode() + b"\n")
            count, last = count + 1, records.Head(row.number, row.hash)
            if count % _STEP == 0:
                advance(count, "rows")
    verifier = None if folder is None else str(_write_verifier(folder))
    told = {"rows": count, "head": last._asdict(), "file": str(file), "verifier": verifier}
    if as_json and not to_stdout:
        emit(told)
    else:
        say(f"{count} rows, head {last.hash}" + (f"; check with: python {verifier} {file}" if verifier else ""))


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True))
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def anchor(directory: Path, file: Path, as_json: bool) -> None:
    """Append the ledger's head to FILE (- for stdout), to be kept where nobody who can change the ledger can change it.

    Exit code 1: the ledger is empty.
    """
    with _reading(directory) as (node, conn):
        head = records.head(conn)
        if head is None:
            say("the ledger is empty: nothing was published yet")
            sys.exit(1)
        with written_to(file):
            made = append_anchor(file, node.settings.node.identity, head, node.now())
    if str(file) == "-":
        return
    if as_json:
        emit({"number": made.number, "hash": made.hash, "node": made.node, "at": write_timestamp(made.at, 6)})
    else:
        click.echo(f"{made.number}  {made.hash}")


@contextmanager
def _reading(directory: Path) -> Iterator[tuple[Node, Connection]]:
    with opened(directory) as node:
        conn = node.open_reader()
        try:
            yield node, conn
        finally:
            conn.close()


def _ids_of(node: Node, subject: str) -> list[str]:
    """Gives the ids under which we publish something: an object by id, or what we say of a value."""
    if "--" in subject:
        return [subject]
    try:
        observable = recognise(subject)
    except BadValue as problem:
        raise UsageError(f"{subject!r} is neither an object id nor a value: {problem}") from problem
    return ids_of(collections(node.store.conn), node.settings.node.identity, observable)


def _midnight(day: date) -> Micros:
    return micros(datetime.combine(day, time(), UTC))


def _told(row: records.Row) -> dict[str, Any]:
    terms = row.told
    return {
        "number": row.number,
        "at": write_timestamp(row.at, 6),
        "what": terms["what"],
        "collection": terms["alias"],
        "partner": terms["partner"],
        "seq": row.seq,
        "object": row.object_id,
        "version": write_timestamp(row.version, 6) if row.version else None,
        "sha256": row.digest,
        "agreement": terms["agreement"],
        "rules": terms["rules"],
        "approved": [{"rule": rule, "person": person} for rule, person in terms["approved"]],
        "hash": row.hash,
    }


def _cells(row: records.Row, told: dict[str, Any]) -> tuple[object, ...]:
    agreed, approved = told["agreement"], told["approved"]
    return (
        row.number,
        when(row.at),
        told["what"],
        told["collection"] or "-",
        row.object_id,
        when(row.version) if row.version else "-",
        f"{agreed['partner']} v{agreed['version']} {agreed['sha256'][:12]}" if agreed else "-",
        ", ".join(f"{one['person']} ({one['rule']})" for one in approved) or "-",
    )


def _reached(one: reaching.Reached) -> dict[str, Any]:
    return {
        "object": one.object_id,
        "version": write_timestamp(one.version, 6) if one.version else None,
        "collection": one.alias,
        "partner": one.partner,
        "seq": one.seq,
        "what": one.what,
        "row": one.number,
        "published": write_timestamp(one.at, 6),
        "deleted": one.deleted,
        "withdrawn": None if one.withdrawn_at is None else write_timestamp(one.withdrawn_at, 6),
        "sent_to": [_recipient(got) for got in one.recipients],
        "not_sent_withdrawal": list(one.untold),
        "not_sent": list(one.waiting),
    }


def _recipient(got: reaching.Recipient) -> dict[str, Any]:
    return {
        "who": got.receipt.who,
        "partner": got.partner,
        "way": got.receipt.way,
        "first_sent_after": write_timestamp(got.receipt.first_at, 6),
        "first_sent_before": write_timestamp(got.receipt.last_at, 6),
        "sent": got.sent,
        "withdrawal_sent": None if got.told is None else write_timestamp(got.told.last_at, 6),
        "may_read": got.may_read,
    }


def _show_reached(one: reaching.Reached) -> None:
    state = f"withdrawn {when(one.withdrawn_at)}" if one.withdrawn_at is not None else "stands"
    if one.what == records.What.WITHDRAWAL:
        state = "is the withdrawal"
    row = f"row {one.number}" if one.number else "posted"
    gone = ", deleted" if one.deleted else ""
    click.echo(f"{one.alias}: {safe(one.object_id)} of {when(one.version)}, {row}, {when(one.at)}: {state}{gone}")
    for got in one.recipients:
        words = f"{got.receipt.way}, {got.sent} sent, first {_between(got.receipt)}"
        if one.withdrawn_at is not None:
            words += ", withdrawal " + ("NOT SENT" if got.told is None else f"sent, first {_between(got.told)}")
            words += "" if got.told is not None or got.may_read else ", and may not read the collection any more"
        click.echo(f"    {safe(got.receipt.who)}: {words}")
    for who in one.waiting:
        click.echo(f"    {safe(who)}: not sent")


def _between(got: reaching.Receipt) -> str:
    # Both, though they may read the same: the second may grow, and what is printed later holds what was printed before.
    return f"between {when(got.first_at)} and {when(got.last_at)}"


def _write_verifier(folder: Path) -> Path:
    made = folder / "verify_ledger.py"
    with as_file(files("threatshare.cli").joinpath("ledger_verifier.py")) as source, written_to(made):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, made)
    return made
