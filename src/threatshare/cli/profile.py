"""``threatshare profile``: what exchanges want of a submission, and files held against it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from threatshare.cli.output import emit, safe, say, table
from threatshare.config import NODE_FILE, STORE_FILE, load_assets, load_settings
from threatshare.errors import UsageError
from threatshare.policy.agreements import Agreement, load_agreements
from threatshare.policy.disguise import consent_of
from threatshare.policy.profile_bundles import MAX_FILE, NodeFacts, Record, read_bundle
from threatshare.policy.profile_checks import CHECKS
from threatshare.policy.profile_rules import records_of
from threatshare.policy.profile_terms import SEVERITY, Profile, Rule
from threatshare.policy.profiles import Report, check, chosen, load_profiles
from threatshare.share.delivery_certificates import delivery_certificates
from threatshare.store.connection import open_reader


@click.group()
def profile() -> None:
    """What exchanges want of a submission; works without a node too."""


@profile.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def listed(directory: Path, as_json: bool) -> None:
    """List the profiles: those that come with the program, and the node's own in profiles/."""
    headings = ("name", "version", "from", "rules", "verified", "title")
    rows = [
        (one.name, one.version, _origin(one), len(one.rules), sum(rule.verified for rule in one.rules), one.title)
        for one in load_profiles(_node(directory)).values()
    ]
    if as_json:
        for row in rows:
            emit(dict(zip(headings, row, strict=True)))
    else:
        table(headings, rows)


@profile.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, name: str, as_json: bool) -> None:
    """Show what a profile wants, rule by rule, and what of it is verified."""
    one = chosen(name, load_profiles(_node(directory)))
    if as_json:
        told = {"name": one.name, "version": one.version, "from": _origin(one), "title": one.title}
        emit(told | {"source": one.source, "rules": [_rule(rule) for rule in one.rules]})
        return
    click.echo(f"{one.name}, version {safe(one.version)}: {safe(one.title)}")
    click.echo(f"source: {safe(one.source)}")
    for rule in one.rules:
        click.echo(f"\n{rule.id}  {safe(rule.title)}")
        click.echo(f"    checked: {CHECKS[rule.check].says} ({rule.check})")
        click.echo(f"    if not: {_MEANS[rule.on_fail]}")
        click.echo(f"    {'verified' if rule.verified else 'not verified'}: {safe(rule.source)}")
        for key, value in _rule(rule)["parameters"].items():
            click.echo(f"    {key}: {safe(_written(value))}")
    click.echo(f"\n{_caution(one)}")


@profile.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--profile", "name", required=True, help="Name of the profile; see `profile list`.")
@click.option("--partner", help="Whose agreement gives the dated records and the consent; needs a node.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def check_(directory: Path, paths: tuple[str, ...], name: str, partner: str | None, as_json: bool) -> None:
    """Hold files against a profile. Exit code 1: something blocks or queues.

    A file is a STIX bundle, a TAXII envelope, an array of objects, one object, or one object a line; - is stdin.
    """
    node = _node(directory)
    one = chosen(name, load_profiles(node))
    facts = _facts(node, partner)
    failed = False
    for path in paths:
        report = check(one, read_bundle(_read(path)), facts)
        failed = failed or not report.passes
        if as_json:
            emit(_told(path, report))
        else:
            for line in _lines(path, report):
                click.echo(safe(line))
    say(_caution(one))
    if failed:
        sys.exit(1)


_MEANS = {
    "block": "it does not go",
    "queue": "a person looks at it first",
    "alert": "it goes, and somebody is told",
}


def _node(directory: Path) -> Path | None:
    """Gives the node directory; None where none was named and this is none. A wrong one is said to be wrong."""
    if (directory / NODE_FILE).is_file():
        return directory
    if directory != Path():
        load_settings(directory)
    return None


def _facts(node: Path | None, partner: str | None) -> NodeFacts:
    if node is None:
        if partner is not None:
            raise UsageError("--partner names an agreement of a node: name the node with --node or THREATSHARE_NODE")
        return NodeFacts()
    us = load_settings(node).node
    agreement = _agreement(node, partner) if partner is not None else None
    consent = consent_of(agreement.outbound) if agreement is not None else None
    records = records_of(agreement, _certificates(node, partner))
    return NodeFacts(load_assets(node), us.identity, us.name, consent or "", datetime.now(UTC).date(), records)


def _certificates(node: Path, partner: str | None) -> tuple[Record, ...] | None:
    """Gives the dates of the certificates with which a partner is delivered to, as far as they are known."""
    if partner is None or not (node / STORE_FILE).exists():
        return None
    conn = open_reader(node / STORE_FILE)
    try:
        return delivery_certificates(node, conn).get(partner)
    finally:
        conn.close()


def _agreement(node: Path, partner: str) -> Agreement:
    agreements = load_agreements(node)
    if partner not in agreements:
        raise UsageError(f"there is no agreement with {partner}; there are {', '.join(sorted(agreements)) or 'none'}")
    return agreements[partner]


def _read(path: str) -> bytes:
    # One byte more than is taken shows that there is more.
    if path == "-":
        return sys.stdin.buffer.read(MAX_FILE + 1)
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}") from problem


def _told(path: str, report: Report) -> dict[str, Any]:
    counts = {name: report.count(name) for name in SEVERITY}
    return {"file": path, "passes": report.passes, **counts, **msgspec.to_builtins(report)}


def _lines(path: str, report: Report) -> Iterator[str]:
    counts = ", ".join(f"{report.count(name)} {name}" for name in SEVERITY)
    outcome = "nothing blocks or queues" if report.passes else "does not pass"
    yield f"{path}: {report.profile} version {report.version}: {outcome} (objects: {report.objects}; {counts})"
    for one in report.faults:
        where = " ".join(filter(None, (one.object or "the file", one.place and f"({one.place})", one.pointer)))
        yield f"  {one.on_fail}  {one.rule}  {where}: {one.found}; to mend it: {one.mend}"
    if report.left_off:
        yield f"  and {report.left_off} more of the same rules"
    for missed in report.not_checked:
        yield f"  not checked  {missed.rule}  {missed.why}"


def _rule(rule: Rule) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": rule.id,
        "title": rule.title,
        "check": rule.check,
        "says": CHECKS[rule.check].says,
        "on_fail": rule.on_fail,
    }
    parameters: Mapping[str, Any] = msgspec.to_builtins(rule.parameters)
    return told | {"verified": rule.verified, "source": rule.source, "parameters": parameters}


def _written(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_written(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _origin(one: Profile) -> str:
    return "program" if one.shipped else "site"


def _caution(one: Profile) -> str:
    unverified = sum(not rule.verified for rule in one.rules)
    return (
        f"{unverified} of the {len(one.rules)} rules of {one.name} are not verified (`profile show {one.name}`). "
        "That nothing is found does not mean that anybody accepts the file."
    )
