"""``threatshare feed``: the sources that this node pulls, one file each in ``feeds/``."""

from __future__ import annotations

from pathlib import Path

import click

from threatshare.amendments import set_value
from threatshare.cli.feed_add import add, preview_data, show_preview
from threatshare.cli.feed_history import acknowledge, show_history
from threatshare.cli.output import emit, safe, say, table, when
from threatshare.feed_settings import FEEDS_DIR, load_feed
from threatshare.feeds.list_presets import presets
from threatshare.node import opened
from threatshare.store.runs import FeedState, feed_states, forget_cursor, forgive


@click.group()
def feed() -> None:
    """Sources that this node pulls: one file each in ``feeds/``."""


feed.add_command(add)
feed.add_command(show_history)
feed.add_command(acknowledge)


@feed.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, as_json: bool) -> None:
    """List the feeds and their last runs."""
    headings = ("feed", "kind", "address", "reliability", "last_success", "failures", "state")
    with opened(directory) as node:
        states = feed_states(node.store.conn)
        rows: list[tuple[object, ...]] = []
        for name, one in node.feeds.items():
            rows.append((name, one.kind, one.url or one.path, one.reliability, *_record(states.get(name))))
            rows[-1] += ("pulled" if one.enabled else "paused",)
        faults = node.feed_files.faults
        rows += [(name, None, None, None, *_record(states.get(name)), "wrong") for name in faults]
    if as_json:
        for row in rows:
            emit(dict(zip(headings, row, strict=True)) | {"fault": faults.get(str(row[0]))})
        return
    table(headings, [["-" if one is None else one for one in row] for row in rows])
    for name, text in faults.items():
        click.echo(f"wrong     feed {name}: {safe(text)}")


def _record(state: FeedState | None) -> tuple[str, int]:
    return when(state.last_success if state else None), state.failures if state else 0


@feed.command()
@click.argument("name")
@click.pass_obj
def remove(directory: Path, name: str) -> None:
    """Stop pulling a feed; what it said stays, and decays."""
    with opened(directory) as node:
        if name not in node.feed_files.faults:
            node.feed(name)
        _file(node.directory, name).unlink()
    say(f"feed {name} is no longer pulled; its claims stay until they have decayed")


@feed.command("test")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def probe(directory: Path, name: str, as_json: bool) -> None:
    """Show what a feed would bring: its first page or rows, and nothing is kept. Exit code 1: nothing would come in."""
    from threatshare.feeds.preview import preview

    with opened(directory) as node:
        found = preview(node.client_of(name, node.feed(name)), node.now())
    if as_json:
        emit({"feed": name, **preview_data(found)})
    else:
        show_preview(name, found)
    if not found.types:
        raise click.exceptions.Exit(1)


@feed.command("presets")
@click.option("--json", "as_json", is_flag=True)
def show_presets(as_json: bool) -> None:
    """List the published lists that need no settings of their own."""
    if as_json:
        for name, one in presets().items():
            emit({"preset": name, "title": one.title, "url": one.url, "verified": one.verified, "note": one.note})
    else:
        rows = [
            (name, one.title, one.every, "" if one.verified else "form unverified") for name, one in presets().items()
        ]
        table(("preset", "what", "every", ""), rows)


@feed.command()
@click.argument("name")
@click.pass_obj
def pause(directory: Path, name: str) -> None:
    """Stop pulling a feed until `feed resume`; `pull NAME` still does."""
    _enable(directory, name, False)
    say(f"feed {name} is paused; `threatshare feed resume {name}` ends that")


@feed.command()
@click.argument("name")
@click.pass_obj
def resume(directory: Path, name: str) -> None:
    """Pull a feed by schedule again, at once, also where it rests after too many failures."""
    _enable(directory, name, True)
    with opened(directory) as node, node.store.writing() as conn:
        forgive(conn, name, node.now())
    say(f"feed {name} is pulled by schedule again")


@feed.command()
@click.argument("name")
@click.pass_obj
def reset(directory: Path, name: str) -> None:
    """Read a feed from its beginning at the next pull; what it said stays, and what comes again changes nothing."""
    with opened(directory) as node:
        node.feed(name)
        with node.store.writing() as conn:
            forget_cursor(conn, name)
    say(f"feed {name} is read from its beginning at the next pull")


def _enable(directory: Path, name: str, enabled: bool) -> None:
    with opened(directory) as node:
        node.feed(name)
        set_value(_file(node.directory, name), "enabled", enabled)
        load_feed(_file(node.directory, name))


def _file(directory: Path, name: str) -> Path:
    return directory / FEEDS_DIR / f"{name}.toml"
