"""``threatshare incident``: reports on incidents, written, revised, listed, shown and withdrawn."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

import click
from msgspec import Struct

from threatshare import incidents
from threatshare.cli.authority import tell
from threatshare.cli.days import Moment
from threatshare.cli.output import defanged, emit, safe, say, table, when
from threatshare.cli.signature import by_whom, signed
from threatshare.config import TlpLabel, load_toml
from threatshare.errors import UsageError
from threatshare.incidents import Draft, Incident, Written
from threatshare.model import Micros, Verdict, micros
from threatshare.node import opened
from threatshare.policy.report_rules import edition_of
from threatshare.stix.reports import VOCABULARIES, ReportKind
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP_IDS, tlp_named
from threatshare.store.daemons import daemon_runs
from threatshare.store.releases import Release

_ABOUT = sorted({word for words in VOCABULARIES.values() for word in words})
_LEVELS = ("clear", "green", "amber", "amber+strict", "red")
_LARGEST_FILE = 1_048_576
"""Bytes of a description file."""


class DraftFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file for ``--from-toml``: what the options say, which go before it."""

    title: str | None = None
    description: str | None = None
    kind: Literal["report", "grouping"] | None = None
    type: str | None = None
    values: list[str] | None = None
    objects: list[str] | None = None
    techniques: list[str] | None = None
    tlp: TlpLabel | None = None
    published: date | None = None


def _drafted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say what a report says."""
    for option in (
        click.option("--json", "as_json", is_flag=True),
        click.option("--from-toml", type=click.Path(path_type=Path), help="Take what no option says from this file."),
        click.option("--tlp", type=click.Choice(_LEVELS), help="Marking.  [default: as strict as what it names]"),
        click.option("--published", type=Moment(), help="When it was first given out, UTC; reports only."),
        click.option("--technique", "techniques", multiple=True, help="ATT&CK technique, e.g. T1566.002."),
        click.option(
            "--object", "objects", multiple=True, help="Id of an indicator or sighting of ours that it names."
        ),
        click.option("--value", "values", multiple=True, help="Value of an indicator of ours that it names."),
        click.option("--type", "about", type=click.Choice(_ABOUT), help="What it is about, a word of STIX's lists."),
        click.option(
            "--description-file", type=click.Path(path_type=Path), help="Read the description from a file, - for stdin."
        ),
        click.option("--description", help="What happened; several paragraphs if need be."),
        click.option("--title", help="One line."),
    ):
        command = option(command)
    return command


@click.group()
def incident() -> None:
    """Reports on incidents: a title, a description, and the indicators of ours that they name.

    A report goes the way of every object of ours, but its text leaves our organisation only once two persons have
    released that very version.
    """


@incident.command()
@click.option("--kind", type=click.Choice([one.value for one in ReportKind]), help="STIX type.  [default: report]")
@_drafted
@click.pass_obj
def write(directory: Path, /, kind: str | None, as_json: bool, **said: Any) -> None:
    """Write a report."""
    draft = _draft(kind, **said)
    with opened(directory) as node:
        done = incidents.write(node.store, node.own, draft, token_hex(16), node.privacy_key, node.now())
    _tell(done, as_json)


@incident.command()
@click.argument("subject", metavar="NUMBER|ID")
@_drafted
@click.pass_obj
def revise(directory: Path, /, subject: str, as_json: bool, **said: Any) -> None:
    """Write a new version of a report; what no option says stays.

    --value and --object say all that it names from now on, --technique all techniques. Other organisations keep the
    version they have until the new one is released as well: then they get that.
    """
    draft = _draft(None, **said)
    with opened(directory) as node:
        done = incidents.revise(node.store, node.own, subject, draft, node.privacy_key, node.now())
    _tell(done, as_json)


@incident.command()
@click.argument("subject", metavar="NUMBER|ID")
@click.option("--undo", is_flag=True, help="Take it back.")
@signed
@click.pass_obj
def withdraw(directory: Path, subject: str, undo: bool, reason: str, person: str | None, as_json: bool) -> None:
    """Withdraw a report from every collection; its indicators stay."""
    with opened(directory) as node:
        by = by_whom(directory, node, person, reason)
        object_id = incidents.withdraw(node.store, node.own, subject, by, undo)
    tell("objects", object_id)
    if as_json:
        emit({"incident": object_id, "withdrawn": not undo, "by": by.person})
    else:
        back = "comes back" if undo else "leaves every collection"
        soon = "by the daemon, at once" if daemon_runs(directory) else "with the next `threatshare publish`"
        say(f"{object_id} {back}, {soon}")


@incident.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def list_reports(directory: Path, as_json: bool) -> None:
    """List the reports, the latest first; exit code 1: there is none."""
    with opened(directory) as node:
        found = incidents.listed(node.store, node.own)
    if as_json:
        for one in found:
            emit(_summary(one))
    else:
        rows = [
            (one.number, _changed(one), _tlp(one), _state(one), len(one.content["object_refs"]), one.content["name"])
            for one in found
        ]
        if rows:
            table(("number", "changed", "tlp", "state", "names", "title"), rows)
    if not found:
        say("no report has been written; `threatshare incident write` writes one")
        sys.exit(1)


@incident.command()
@click.argument("subject", metavar="NUMBER|ID")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, subject: str, as_json: bool) -> None:
    """Show a report: its text, what it names, and for each collection whether it is there, and what it waits for."""
    with opened(directory) as node:
        one = incidents.shown(node.store, node.own, subject)
    if as_json:
        emit(_summary(one) | {"object": one.content, "names": one.names, "missing": one.missing})
        return
    content = one.content
    click.echo(f"{one.number}  {content['id']}  version of {_changed(one)} UTC  {_tlp(one)}")
    click.echo(safe(content["name"]))
    for line in content.get("description", "").split("\n"):
        click.echo(f"    {safe(line)}".rstrip())
    for key, name in one.names.items():
        click.echo(f"names {defanged(name)}  {key}")
    for alias, release in one.decisions:
        click.echo(f"{alias}: {_word(one, alias, release)}, {when(release.at)}")
        for reason in one.waiting.get(alias, release.reasons):
            if reason.verdict is not Verdict.RELEASE:
                click.echo(f"    {reason.verdict:<8} {reason.rule}: {safe(reason.text)}")
        for missing in one.missing.get(alias, ()):
            click.echo(f"    not there yet: {defanged(one.names.get(missing, missing))}")
    if not one.decisions:
        say("the gate has not been asked about it yet; run `threatshare publish`")


def _draft(
    kind: str | None,
    title: str | None,
    description: str | None,
    description_file: Path | None,
    about: str | None,
    values: tuple[str, ...],
    objects: tuple[str, ...],
    techniques: tuple[str, ...],
    published: Micros | None,
    tlp: str | None,
    from_toml: Path | None,
) -> Draft:
    """Puts options and file together; an option goes before what the file says."""
    file = load_toml(from_toml, DraftFile) if from_toml is not None else DraftFile()
    if description is not None and description_file is not None:
        raise click.UsageError("--description or --description-file, not both")
    if description_file is not None:
        description = _read(description_file)
    wanted = kind or file.kind
    marked = tlp or file.tlp
    if published is None and file.published is not None:
        published = micros(datetime.combine(file.published, datetime.min.time(), UTC))
    return Draft(
        title if title is not None else file.title,
        description if description is not None else file.description,
        ReportKind(wanted) if wanted is not None else None,
        about or file.type,
        list(values) or file.values,
        list(objects) or file.objects,
        list(techniques) or file.techniques,
        tlp_named(marked) if marked is not None else None,
        published,
    )


def _read(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read(_LARGEST_FILE + 1) if str(file) == "-" else file.read_bytes()
        text = raw[: _LARGEST_FILE + 1].decode("utf-8-sig")
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"{file} is no text in UTF-8: {problem.reason} at byte {problem.start}") from problem
    if len(raw) > _LARGEST_FILE:
        raise UsageError(f"{file} is larger than {_LARGEST_FILE} bytes, and no description")
    return text


def _tell(done: Written, as_json: bool) -> None:
    tell("objects", done.id)
    if as_json:
        emit(
            {"incident": done.id, "number": done.number, "outcome": done.outcome, "edition": done.edition}
            | {"tlp": done.tlp.label, "references": done.references, "look_at": done.private}
        )
        return
    say(f"{done.outcome}: report {done.number}, {done.id}, TLP:{done.tlp.label.upper()}, names {done.references}")
    for text in done.private:
        say(f"    look at this before you release it: {text}")
    if done.outcome != "unchanged":
        say("    `threatshare publish` asks the gate; it goes outside once two persons have released this version")


def _summary(one: Incident) -> dict[str, object]:
    return {
        "number": one.number,
        "incident": one.content["id"],
        "title": one.content["name"],
        "edition": edition_of(one.content),
        "changed": one.content["modified"],
        "tlp": TLP_IDS[one.content["object_marking_refs"][0]].label,
        "references": len(one.content["object_refs"]),
        "withdrawn": one.withdrawn,
        "collections": {
            alias: {
                "state": _word(one, alias, release),
                "reasons": [
                    {"rule": reason.rule, "verdict": reason.verdict, "text": reason.text}
                    for reason in one.waiting.get(alias, release.reasons)
                    if reason.verdict is not Verdict.RELEASE
                ],
            }
            for alias, release in one.decisions
        },
    }


def _changed(one: Incident) -> str:
    return when(read_timestamp(one.content["modified"]))


def _tlp(one: Incident) -> str:
    return f"TLP:{TLP_IDS[one.content['object_marking_refs'][0]].label.upper()}"


def _state(one: Incident) -> str:
    if one.withdrawn:
        return "withdrawn"
    return (
        ", ".join(f"{alias}: {_word(one, alias, release)}" for alias, release in one.decisions) or "not published yet"
    )


def _word(one: Incident, alias: str, release: Release) -> str:
    if alias in one.waiting:
        return "hold, and the version before stands"
    return "withdrawn" if release.withdrawn else str(release.verdict.value)
