"""``threatshare init``: a working node directory."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from threatshare.cli.output import emit, say, written_to
from threatshare.cli.templates import filled
from threatshare.config import AGREEMENTS_DIR, ASSETS_FILE, NODE_FILE, AssetsFile, Identity, parse_assets
from threatshare.errors import ConfigurationError, UsageError
from threatshare.feed_settings import FEEDS_DIR
from threatshare.model import CollectionKind, micros
from threatshare.node import build_node, system_clock
from threatshare.stix.objects import new_identity_id, sectors
from threatshare.stix.timestamps import write_timestamp
from threatshare.store.accounts import add_account
from threatshare.store.collections import add_collection

SIEM = "siem"
"""Alias of the collection that every node has for its own tools, and name of the account that reads it."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--name", help="Our name.")
@click.option("--sector", help="STIX 2.1 industry sector, e.g. energy.")
@click.option("--country", help="ISO 3166-1 alpha-2, e.g. US.")
@click.option("--area", help="ISO 3166-2, e.g. US-DC.")
@click.option("--own-network", "networks", multiple=True, help="A network of ours, CIDR; several times.")
@click.option("--own-domain", "domains", multiple=True, help="A domain of ours; several times.")
@click.option("--own-mail-domain", "mail_domains", multiple=True, help="A mail domain of ours; several times.")
@click.option("--no-own-assets", is_flag=True, help="State that there is nothing of ours to protect.")
@click.option(
    "--purpose",
    type=click.Choice(["live", "demo", "exercise"]),
    default="live",
    show_default=True,
    help="Only demo and exercise nodes let documentation values through.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="Of the TAXII server.")
@click.option("--json", "as_json", is_flag=True)
def init(directory: Path, as_json: bool, **answers: object) -> None:
    """Make a working node in DIRECTORY.

    Asks for what is missing where a person sits at the terminal. The key of the first account is shown once.
    """
    if (directory / NODE_FILE).exists():
        raise ConfigurationError(f"{directory} is a node already; nothing was changed")
    given = _complete(answers)
    created = write_timestamp(micros(system_clock()))
    identity = _checked_identity(given, created)
    assets = _checked_assets(given)
    _write_files(directory, given, identity, assets)
    node = build_node(directory)
    with node.store.writing() as conn:
        add_collection(conn, SIEM, "SIEM", CollectionKind.SIEM, None, node.now())
        key = add_account(conn, SIEM, [SIEM], [], node.now())
    node.close()
    if as_json:
        emit({"node": str(directory), "identity": identity.identity, "account": {"name": SIEM, "key": key}})
        return
    click.echo(f"node        {directory}\nidentity    {identity.identity}\naccount     {SIEM}\nkey         {key}")
    say("The key is shown this once; it lets a SIEM read the collection `siem`.")
    if not node.assets.filled_in:
        say(f"Nothing can be published yet: fill in {directory / ASSETS_FILE}, or declare it empty.")
    say(f"Next: threatshare --node {directory} ingest FINDINGS, then publish, then serve.")


def _complete(answers: dict[str, object]) -> dict[str, object]:
    """Asks for what was not given, but only a person at a terminal."""
    given = dict(answers)
    missing = [key for key in ("name", "sector", "country", "area") if not given[key]]
    if missing and not sys.stdin.isatty():
        raise UsageError("init needs " + ", ".join(f"--{key}" for key in missing))
    for key in missing:
        given[key] = click.prompt(key.capitalize(), err=True)
    return given


def _checked_identity(given: dict[str, object], created: str) -> Identity:
    sector = str(given["sector"])
    if sector not in sectors():
        raise UsageError(f"{sector!r} is no STIX industry sector; one of: {', '.join(sorted(sectors()))}")
    name = str(given["name"])
    fields = {
        "name": name,
        "sector": sector,
        "country": given["country"],
        "administrative_area": given["area"],
        "identity": new_identity_id(name, created),
        "created": created,
        "purpose": given["purpose"],
    }
    try:
        identity = msgspec.convert(fields, Identity)
    except msgspec.ValidationError as problem:
        raise UsageError(f"init: {problem}; wanted e.g. --country US --area US-DC") from problem
    if not identity.administrative_area.startswith(identity.country + "-"):
        raise UsageError(f"--area {identity.administrative_area} does not begin with {identity.country}-")
    return identity


def _checked_assets(given: dict[str, object]) -> AssetsFile:
    listed = {key: list(given[key]) for key in ("networks", "domains", "mail_domains")}  # type: ignore[call-overload]
    if given["no_own_assets"] and any(listed.values()):
        raise UsageError("--no-own-assets contradicts the own assets that were given")
    assets = AssetsFile(**listed, declared_empty=bool(given["no_own_assets"]))
    try:
        parse_assets(assets, "init")
    except ConfigurationError as problem:
        raise UsageError(str(problem)) from problem
    return assets


def _write_files(directory: Path, given: dict[str, object], identity: Identity, assets: AssetsFile) -> None:
    with written_to(directory):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in (AGREEMENTS_DIR, FEEDS_DIR):
        (directory / folder).mkdir(exist_ok=True)
    told = msgspec.structs.asdict(identity)
    told["area"] = told.pop("administrative_area")
    assets_text = filled("own-assets.toml", msgspec.structs.asdict(assets))
    (directory / ASSETS_FILE).write_text(assets_text, encoding="utf-8")
    node_text = filled("node.toml", told | {"port": given["port"]})
    # Last, so that a directory is a node only once all else is there.
    (directory / NODE_FILE).write_text(node_text, encoding="utf-8")
