"""``threatshare pull`` and ``threatshare feed``."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import click

from threatshare.cli.output import emit, safe, say, table, when
from threatshare.cli.progress import Advance, shown
from threatshare.cli.templates import toml
from threatshare.config import FEEDS_DIR, load_feed
from threatshare.errors import PartnerError, UsageError
from threatshare.feeds.recognition import kind_of
from threatshare.model import FeedReport, Tally, Tlp
from threatshare.node import opened
from threatshare.store.runs import feed_states

_LABELS = [tlp.label for tlp in Tlp]


@click.command()
@click.argument("feeds", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a feed, one a line.")
@click.pass_obj
def pull(directory: Path, feeds: tuple[str, ...], as_json: bool) -> None:
    """Bring FEEDS in, or all that are enabled.

    Each goes on where its last run stopped. One failing feed never stops the others; exit code 4 tells.
    """
    failed: list[FeedReport] = []
    with opened(directory) as node:
        names = feeds or tuple(name for name, one in node.feeds.items() if one.enabled)
        if not names:
            raise UsageError("there is no feed yet; see `threatshare feed add --help`")
        for name in names:
            node.feed(name)
        for name in names:
            with shown(name) as advance:
                report = node.pull_feed(name, partial(_go_on, advance))
            if report.status != "ok":
                failed.append(report)
            if as_json:
                emit(asdict(report))
            else:
                _show(report)
        node.store.checkpoint()
    if failed:
        raise PartnerError("; ".join(f"{one.feed}: {safe(one.error or '')}" for one in failed))


def _go_on(advance: Advance, tally: Tally) -> bool:
    advance(tally.objects, f"{tally.new} new, {tally.rejected} rejected")
    return True


def _show(report: FeedReport) -> None:
    click.echo(
        f"{report.feed}: {report.status}, {report.objects} objects: {report.new} new, {report.changed} changed,"
        f" {report.unchanged} unchanged, {report.withdrawn} withdrawn, {report.rejected} rejected"
        f" in {report.seconds} s"
    )


@click.group()
def feed() -> None:
    """Sources that this node pulls: one file each in ``feeds/``."""


@feed.command()
@click.argument("name")
@click.argument("address")
@click.option("--kind", type=click.Choice(["taxii", "stix"]), help="Else recognised from the address.")
@click.option("--collection", help="TAXII: id or title of the collection, where the address does not name it.")
@click.option("--user", help="User name.")
@click.option("--password-env", help="Environment variable that holds the password.")
@click.option("--password-file", help="File that holds the password.")
@click.option("--token-env", help="Environment variable that holds a Bearer token.")
@click.option("--client-cert", help="Client certificate, PEM file.")
@click.option("--client-key", help="Its key, PEM file.")
@click.option("--ca-file", help="Certificates to trust instead of the system's.")
@click.option("--reliability", type=click.Choice(list("ABCDEF")), default="C", show_default=True, help="Admiralty.")
@click.option(
    "--default-tlp", type=click.Choice(_LABELS), default="amber+strict", show_default=True, help="Of the unmarked."
)
@click.option("--lineage", help="The aggregate that this feed copies; one lineage counts once.")
@click.option("--every", default="15m", show_default=True, help="Interval, e.g. 30s, 15m, 6h, 1d.")
@click.option("--jitter", "jitter_seconds", type=click.IntRange(0), default=30, show_default=True, help="Seconds.")
@click.option("--cron", help="Five fields; replaces --every.")
@click.option("--allow-private-address", is_flag=True, help="The feed's host may be a private or loopback address.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(directory: Path, /, name: str, address: str, kind: str | None, as_json: bool, **said: object) -> None:
    """Add a source: ADDRESS is a TAXII server, API root or collection, a bundle's URL, or a path."""
    if not name.replace("-", "").replace("_", "").isalnum() or name == "own":
        raise UsageError(f"feed name {name!r}: letters, digits, - and _ are wanted, and not 'own'")
    local = "://" not in address
    settings: dict[str, object] = {"kind": kind or kind_of(address)}
    settings["path" if local else "url"] = str(Path(address).absolute()) if local else address
    if not local and not said["allow_private_address"] and _names_private_address(address):
        said["allow_private_address"] = True
        say(f"{urlsplit(address).hostname} is a private address: allow_private_address was set for this feed.")
    settings |= {key: value for key, value in said.items() if value is not None and value is not False}
    with opened(directory) as node:
        file = node.directory / FEEDS_DIR / f"{name}.toml"
        if file.exists():
            raise UsageError(f"{file} exists; change it there")
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"{key} = {toml(value)}\n" for key, value in settings.items()), encoding="utf-8")
        try:
            load_feed(file)
        except BaseException:
            file.unlink()
            raise
    if as_json:
        emit({"feed": name, "file": str(file), **settings})
    else:
        click.echo(f"feed  {name} ({settings['kind']})  {file}")
        say(f"Next: threatshare pull {name}")


def _names_private_address(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost"


@feed.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, as_json: bool) -> None:
    """List the feeds and their last runs."""
    headings = ("feed", "kind", "address", "reliability", "last_success", "failures")
    with opened(directory) as node:
        states = feed_states(node.store.conn)
        rows = []
        for name, one in node.feeds.items():
            state = states.get(name)
            rows.append(
                (name, one.kind, one.url or one.path, one.reliability)
                + (when(state.last_success if state else None), state.failures if state else 0)
            )
    if as_json:
        for row in rows:
            emit(dict(zip(headings, row, strict=True)))
    else:
        table(headings, rows)


@feed.command()
@click.argument("name")
@click.pass_obj
def remove(directory: Path, name: str) -> None:
    """Stop pulling a feed; what it said stays, and decays."""
    with opened(directory) as node:
        node.feed(name)
        (node.directory / FEEDS_DIR / f"{name}.toml").unlink()
    say(f"feed {name} is no longer pulled; its claims stay until they have decayed")
