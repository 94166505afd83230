"""``threatshare partner``: the register, contacts that were tried, and the page of a check-in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import click

from threatshare.cli.agreement_views import safe_lines
from threatshare.cli.authority import presence
from threatshare.cli.days import Day
from threatshare.cli.output import emit, safe, say, table, written_to
from threatshare.errors import UsageError
from threatshare.model import Tlp
from threatshare.node import Node, opened
from threatshare.partners.checkin import Parties, digest, period
from threatshare.partners.register import register
from threatshare.policy.agreements import Agreement, Contact
from threatshare.report import checkin as checkins
from threatshare.report.ourselves import description, unsaid
from threatshare.report.register import COLUMNS, Entry, line, sheet, told
from threatshare.report.sheet import Sheet, markdown, page
from threatshare.store.partners import Checkin, Verification, last_checkins, record_checkin, record_verification

_WRITERS: dict[str, Callable[[Sheet], str]] = {"markdown": markdown, "html": page}
_ROLES = ("operational", "duty24x7", "legal", "privacy", "technical", "exercise")


@click.group()
def partner() -> None:
    """Partners: who they are, whom to call, and how the exchange goes."""


@partner.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def listed(directory: Path, as_json: bool) -> None:
    """List every partner: agreement, contacts, what came in, what went out, what is owed and what is next."""
    entries = _entries(directory)
    if as_json:
        for one in entries:
            emit(told(one))
        return
    table(COLUMNS, [line(one) for one in entries])
    if not entries:
        say("There is no partner yet: `agreement add PARTNER` writes an agreement with one.")


@partner.command()
@click.argument("name", metavar="PARTNER")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, name: str, as_json: bool) -> None:
    """Show all that the register knows of PARTNER."""
    entries = {one.partner: one for one in _entries(directory)}
    if name not in entries:
        raise UsageError(f"there is no partner {name!r}; known: {', '.join(entries) or 'none'}")
    if as_json:
        emit(told(entries[name]))
    else:
        click.echo(_outline(sheet(entries[name])), nl=False)


@partner.command()
@click.argument("name", metavar="PARTNER")
@click.argument("role", type=click.Choice(_ROLES), required=False)
@click.option("--name", "who", help="The contact's name as the agreement has it, where the role has several.")
@click.option("--on", "day", type=Day(), help="Day on which it was reached; today if not given.")
@click.option("--by", "person", help="Who reached it; or THREATSHARE_PERSON; else the system's user.")
@click.option("--note", default="", help="What was said, e.g. a new number.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def verify(
    directory: Path,
    name: str,
    role: str | None,
    who: str | None,
    day: date | None,
    person: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Record that a contact of PARTNER was reached, in the ROLE or with the name that the agreement gives it."""
    by = presence(directory).signature(person)[0]
    with opened(directory) as node:
        contact = _contact(_agreement(node, name), role, who)
        on = day or node.today()
        if on > node.today():
            raise UsageError(f"--on {on} lies ahead: what is recorded is that somebody was reached")
        made = Verification(contact.role, contact.name, contact.channel, on, by, _plain(note), node.now())
        with node.store.writing() as conn:
            record_verification(conn, name, made)
    if as_json:
        emit({"partner": name, "role": made.role, "name": made.name, "channel": made.channel, "on": str(on), "by": by})
    else:
        click.echo(f"verified  {safe(f'{name}: {made.role} {made.name}, {made.channel}')} on {on} by {safe(by)}")


@partner.command()
@click.argument("name", metavar="PARTNER")
@click.option("--from", "first", type=Day(), help="First day; without it from the last check-in that was recorded on.")
@click.option("--to", "final", type=Day(), help="Last day; without it until now.")
@click.option(
    "--format", "form", type=click.Choice(list(_WRITERS)), default="markdown", show_default=True, help="Of the page."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="File to write; without it to stdout.",
)
@click.option("--internal", is_flag=True, help="The fuller page, which is not for the partner.")
@click.option("--tlp", type=click.Choice([one.label for one in Tlp]), help="Marking of the page; else the ceiling.")
@click.option("--record", is_flag=True, help="Record that the check-in was held; the next page begins where it ends.")
@click.option("--by", "person", help="Who held it; or THREATSHARE_PERSON; else the system's user.")
@click.option("--note", default="", help="What was agreed; shown on the next internal page.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def checkin(
    directory: Path,
    name: str,
    first: date | None,
    final: date | None,
    form: str,
    out: Path | None,
    internal: bool,
    tlp: str | None,
    record: bool,
    person: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Write the page of a check-in with PARTNER: shared, received, confirmed, disputed, withdrawn, whom to call.

    Exit code 1: the agreement is not in force, so that no page may be handed over.
    """
    by = presence(directory).signature(person)[0] if record else ""
    note = _plain(note)
    with opened(directory) as node:
        agreed = _agreement(node, name)
        when = period(agreed, last_checkins(node.store.conn).get(name), first, final, node.now())
        if not when:
            raise UsageError("the period ends before it begins; name its days with --from and --to")
        parties = Parties(node.settings.node.name, node.settings.contact, agreed)
        found = digest(node.store, parties, when, node.today())
        if found.problems and not internal:
            for text in found.problems:
                say(safe(text))
            say("No page is handed over without an agreement in force; --internal writes the one for ourselves.")
            sys.exit(1)
        made = checkins.internal(found) if internal else checkins.handover(_marked(found, tlp))
        _write(made, form, out, name, as_json)
        if record:
            _record(node, name, when, by, note)


@partner.command()
@click.option(
    "--format", "form", type=click.Choice(list(_WRITERS)), default="markdown", show_default=True, help="Of the page."
)
@click.pass_obj
def ourselves(directory: Path, form: str) -> None:
    """Print how others reach us in the form of RFC 2350, from [contact] in the node file."""
    with opened(directory) as node:
        contact, name = node.settings.contact, node.settings.node.name
    click.echo(_WRITERS[form](description(contact, name)), nl=False)
    missing = unsaid(contact)
    if missing:
        say(f"not stated, since [contact] in node.toml does not say: {', '.join(missing)}")


def _entries(directory: Path) -> list[Entry]:
    with opened(directory) as node:
        return register(node.store, node.agreements, node.today(), node.now())


def _agreement(node: Node, name: str) -> Agreement:
    """Gives the agreement with a partner as it acts; raises UsageError that names the partners there are."""
    if name not in node.agreements:
        raise UsageError(f"there is no agreement with {name!r}; known: {', '.join(node.agreements) or 'none'}")
    return node.agreements[name]


def _contact(agreed: Agreement, role: str | None, who: str | None) -> Contact:
    """Finds the one contact that is meant; raises UsageError that names those there are."""
    if role is None and who is None:
        raise UsageError("say which contact was reached: a ROLE, or --name NAME")
    meant = [one for one in agreed.contacts if role in (None, one.role) and who in (None, one.name)]
    if len(meant) == 1:
        return meant[0]
    known = "; ".join(f"{one.role} {one.name}, {one.channel}" for one in meant or agreed.contacts) or "none"
    fault = "several contacts are meant, name one" if meant else "there is no such contact"
    raise UsageError(f"{agreed.partner}: {fault}; known: {safe(known)}")


def _marked(found: checkins.Digest, tlp: str | None) -> checkins.Digest:
    """Marks the page less restrictively than the ceiling; raises UsageError above it."""
    labels = [one.label for one in Tlp]
    if tlp is not None and labels.index(tlp) > labels.index(found.tlp):
        raise UsageError(f"--tlp {tlp} is above the ceiling of the agreement, {found.tlp}")
    return found if tlp is None else replace(found, tlp=tlp)


def _write(made: Sheet, form: str, out: Path | None, name: str, as_json: bool) -> None:
    """Writes a page to its file or to stdout; with --json stdout has its content whatever the file has."""
    text = _WRITERS[form](made)
    if out is not None:
        with written_to(out):
            out.write_text(text, encoding="utf-8")
        say(f"written to {out}, {made.marking}")
    if as_json:
        blocks = [
            {"heading": one.heading, "facts": dict(one.facts), "lines": list(one.lines)}
            | {"rows": [dict(zip(one.columns, row, strict=True)) for row in one.rows]}
            for one in made.blocks
        ]
        emit({"partner": name, "marking": made.marking, "title": made.title, "lead": made.lead, "blocks": blocks})
    elif out is None:
        click.echo(safe_lines(text), nl=False)


def _record(node: Node, name: str, when: range, by: str, note: str) -> None:
    with node.store.writing() as conn:
        record_checkin(conn, Checkin(name, when.start, when.stop, node.now(), by, note))
    say(f"recorded: check-in with {safe(name)} held by {safe(by)}; the next page begins where this one ends")


def _plain(note: str) -> str:
    if not note.isprintable():
        raise UsageError("--note holds characters that cannot be printed; write it on one line")
    return note.strip()


def _outline(made: Sheet) -> str:
    """Writes a page as plain lines for a terminal."""
    lines = [f"{made.title}  {made.lead}"]
    for block in made.blocks:
        lines.append(block.heading)
        lines += [f"    {what}: {said}" for what, said in block.facts]
        lines += [f"    {text}" for text in block.lines]
        lines += [f"    {'  '.join(row)}" for row in block.rows]
    return safe_lines("\n".join(lines))
