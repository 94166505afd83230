"""``threatshare push`` and ``threatshare target``."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from threatshare.cli.connection_options import connecting, private_allowed
from threatshare.cli.output import emit, safe, say, table, when
from threatshare.cli.progress import Advance, shown
from threatshare.cli.templates import toml
from threatshare.errors import PartnerError, ThreatshareError, UsageError
from threatshare.node import opened
from threatshare.share.push import preview
from threatshare.share.push import push as deliver
from threatshare.share.push_settings import PUSH_DIR, chosen, load_target, load_targets, source_collection
from threatshare.share.push_target import PushReport, target_of
from threatshare.store.deliveries import REFUSED, TOO_LARGE, counts, undelivered
from threatshare.store.targets import left, target_states

_DELIVERED = ("ok", "dry-run")


@click.command()
@click.argument("targets", nargs=-1)
@click.option("--retry-failed", is_flag=True, help="Send once more what a partner refused before.")
@click.option("--dry-run", is_flag=True, help="Only count what would be sent; nobody is called.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a target, one a line.")
@click.pass_obj
def push(directory: Path, targets: tuple[str, ...], retry_failed: bool, dry_run: bool, as_json: bool) -> None:
    """Deliver what is new to TARGETS, or to all that are enabled.

    Each goes on where its last run stopped, and asks what became of what was pending. One failing
    target never stops the others; exit code 4 tells, and 1 where the rules have changed since `publish`.
    """
    failed: list[PushReport] = []
    with opened(directory) as node:
        names = chosen(load_targets(directory), targets)
        if not names:
            raise UsageError("there is no target yet; see `threatshare target add --help`")
        outlets = node.outlets()
        ready = [target_of(name, one, directory, node.store.conn, outlets, node.clock) for name, one in names.items()]
        for target in ready:
            if dry_run:
                report = preview(node.store, target)
            else:
                with shown(target.name) as advance:
                    report = deliver(
                        node.store,
                        target,
                        node.now,
                        retry_failed=retry_failed,
                        eager=True,
                        progress=partial(_go_on, advance),
                    )
            if report.status not in _DELIVERED:
                failed.append(report)
            if as_json:
                emit(asdict(report))
            else:
                _show(report)
        if not dry_run:
            node.store.checkpoint()
    if failed:
        # What only publishing can mend is held, and no fault of a partner's.
        fault = ThreatshareError if all(one.status == "held" for one in failed) else PartnerError
        raise fault("; ".join(f"{one.target}: {one.status}: {safe(one.error or '')}" for one in failed))


def _go_on(advance: Advance, sent: int) -> bool:
    advance(sent, "sent")
    return True


def _show(report: PushReport) -> None:
    click.echo(
        f"{report.target}: {report.status}, {report.sent} sent: {report.accepted} accepted, {report.pending} pending,"
        f" {report.failed} refused, {report.withheld} withheld; {report.waiting} still to deliver"
        f" in {report.seconds} s"
    )
    if report.failed:
        say(f"See: threatshare target refused {report.target}")


@click.group()
def target() -> None:
    """Partners' servers that this node delivers to: one file each in ``push/``."""


@target.command()
@click.argument("name")
@click.argument("collection")
@click.argument("url")
@click.option("--remote", help="Id or title of the collection there; else the only one that we may write to.")
@connecting
@click.option("--max-objects", type=click.IntRange(1, 50_000), help="Objects of one envelope at most.")
@click.option("--max-content-length", type=click.IntRange(1), help="Bytes of one envelope at most.")
@click.option("--every", help="Interval, e.g. 30s, 15m, 6h, 1d.")
@click.option("--cron", help="Five fields; replaces --every.")
@click.option("--allow-private-address", is_flag=True, help="The partner's host may be a private or loopback address.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(
    directory: Path, /, name: str, collection: str, url: str, as_json: bool, allow_private_address: bool, **said: object
) -> None:
    """Add a target: what lies in COLLECTION here, a partner's, is delivered to the TAXII server at URL."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"target name {name!r}: letters, digits, - and _ are wanted")
    settings: dict[str, object] = {"collection": collection, "url": url}
    settings |= {key: value for key, value in said.items() if value is not None}
    settings |= {"allow_private_address": True} if private_allowed(url, allow_private_address, "target") else {}
    with opened(directory) as node:
        file = node.directory / PUSH_DIR / f"{name}.toml"
        if file.exists():
            raise UsageError(f"{file} exists; change it there")
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"{key} = {toml(value)}\n" for key, value in settings.items()), encoding="utf-8")
        try:
            source_collection(node.store.conn, name, load_target(file))
        except BaseException:
            file.unlink()
            raise
    if as_json:
        emit({"target": name, "file": str(file), **settings})
    else:
        click.echo(f"target  {name}  {collection} -> {safe(url)}  {file}")
        say(f"Next: threatshare push {name} --dry-run")


@target.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, as_json: bool) -> None:
    """List the targets, how far each has got, and their last runs."""
    headings = ("target", "collection", "address", "waiting", "refused", "last_success", "failures", "parked")
    with opened(directory) as node:
        states = target_states(node.store.conn)
        rows = []
        for name, one in load_targets(directory).items():
            state, count = states.get(name), counts(node.store.conn, name)
            waiting = left(node.store.conn, name) if state else None
            rows.append(
                (name, one.collection, one.url, waiting, count.get(REFUSED, 0) + count.get(TOO_LARGE, 0))
                + (when(state.last_success if state else None), state.failures if state else 0)
                + (state is not None and state.parked is not None,)
            )
    if as_json:
        for row in rows:
            emit(dict(zip(headings, row, strict=True)))
    else:
        table(headings, rows)


@target.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def refused(directory: Path, name: str, as_json: bool) -> None:
    """Show every entry that was not delivered to a target, and why."""
    with opened(directory) as node:
        chosen(load_targets(directory), (name,))
        rows = undelivered(node.store.conn, name)
    if as_json:
        for row in rows:
            emit(asdict(row))
    else:
        table(
            ("seq", "object", "version", "kind", "tries", "message"),
            [(one.seq, one.object_id, when(one.version), one.kind, one.tries, one.message) for one in rows],
        )


@target.command()
@click.argument("name")
@click.pass_obj
def remove(directory: Path, name: str) -> None:
    """Stop delivering to a target; what is known of past deliveries stays."""
    chosen(load_targets(directory), (name,))
    (directory / PUSH_DIR / f"{name}.toml").unlink()
    say(f"nothing more is delivered to {name}; should it be added again with the same address, it goes on from here")
