"""``threatshare agreement show, history, iep, import``: one agreement in words, in time, and in others' form."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import click
import msgspec

from threatshare.cli.days import Day
from threatshare.cli.output import emit, safe, say, table, when
from threatshare.config import AGREEMENTS_DIR
from threatshare.errors import ConfigurationError, UsageError
from threatshare.node import Node, opened
from threatshare.policy import agreements
from threatshare.policy.agreement_words import Section, in_words
from threatshare.policy.agreements import Agreement
from threatshare.policy.appointments import as_reached
from threatshare.store import agreements as versions
from threatshare.store.partners import reached


def agreement_with(node: Node, partner: str) -> Agreement:
    """Reads the agreement with a partner; raises UsageError that names the partners there are."""
    folder = node.directory / AGREEMENTS_DIR
    names = sorted(file.stem for file in folder.glob("*.toml"))
    if partner not in names:
        raise UsageError(f"there is no agreement with {partner!r}; known: {', '.join(names) or 'none'}")
    return agreements.load_agreement(folder / f"{partner}.toml")


@click.command()
@click.argument("partner")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, partner: str, as_json: bool) -> None:
    """Say in plain words what may leave for PARTNER and what may not, until when, who signed, whom to call."""
    with opened(directory) as node:
        one, today = agreement_with(node, partner), node.today()
        known = as_reached(one, reached(node.store.conn, partner))
        acts = versions.acting(node.store.conn, {partner: one})[partner]
    sections = in_words(one, today, known)
    if acts.waiting is not None:
        first = f"Version {acts.waiting.base_version} acts, with what version {acts.waiting.version} tightens"
        lines = (f"{acts.waiting.words}.", f"What follows are the terms of version {acts.waiting.version}, as filed.")
        sections.insert(0, Section(first, lines))
    if as_json:
        problems = [reason.text for reason in agreements.standing(acts.agreement, today)]
        told = {"partner": partner, "version": one.version, "in_force": not problems, "problems": problems}
        told |= {"warnings": agreements.warnings(known, today), "digest": agreements.digest_of(one)}
        words = [{"heading": section.heading, "lines": list(section.lines)} for section in sections]
        emit(told | {"words": words, "terms": msgspec.to_builtins(one)})
        return
    for section in sections:
        click.echo(section.heading)
        for line in section.lines:
            click.echo(f"    {safe(line)}")


@click.command()
@click.argument("partner")
@click.option("--text", "version", type=click.IntRange(1), help="Print the file of this version as it was.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def history(directory: Path, partner: str, version: int | None, as_json: bool) -> None:
    """List every version of the agreement with PARTNER that was ever in force here."""
    with opened(directory) as node:
        found = versions.history(node.store.conn, partner)
    if version is not None:
        click.echo(safe_lines(_numbered(found, partner, version).text), nl=False)
        return
    if as_json:
        for one in found:
            told = {"partner": partner, "version": one.version, "digest": one.digest, "unnumbered": one.unnumbered}
            told |= {"interim": one.interim}
            emit(told | {"since": when(one.since), "until": when(one.until) if one.until else None, "text": one.text})
        return
    rows = [(one.version, when(one.since), when(one.until), one.digest[:16], _note(one)) for one in found]
    table(("version", "first_seen_in_force", "until", "digest", "note"), rows)
    if not found:
        say("nothing was in force when `publish` or `agreement check` looked")


def _note(one: versions.AgreementVersion) -> str:
    if one.interim:
        return "with what a later version tightened, while that waited for two persons"
    return "changed without a new version number" if one.unnumbered else ""


def version_of(node: Node, partner: str, version: int, unlike: str) -> Agreement:
    """Reads a version that was in force; raises UsageError where there was none.

    Of several with that number the last one, but where it can be none with the digest ``unlike``.
    """
    found = versions.history(node.store.conn, partner)
    others = [one for one in found if one.version == version and one.digest != unlike]
    one = _numbered(others or found, partner, version)
    return agreements.parse_agreement(one.text, f"version {version} of the agreement with {partner}")


def _numbered(found: list[versions.AgreementVersion], partner: str, version: int) -> versions.AgreementVersion:
    for one in reversed(found):
        if one.version == version and not one.interim:
            return one
    numbers = ", ".join(str(one) for one in sorted({one.version for one in found})) or "none"
    raise UsageError(f"version {version} of the agreement with {partner} was never in force here; known: {numbers}")


def safe_lines(text: str) -> str:
    """Strips what acts on a terminal from a text of several lines."""
    return "".join(f"{safe(line)}\n" for line in text.splitlines())


@click.command()
@click.argument("partner")
@click.pass_obj
def iep(directory: Path, partner: str) -> None:
    """Print what PARTNER lets us do as a policy of FIRST's IEP 2.0, in JSON; what that cannot say, on stderr."""
    from threatshare.policy.iep import iep_of, lost_in

    with opened(directory) as node:
        one = agreement_with(node, partner)
    click.echo(json.dumps(iep_of(one), indent=2))
    for text in lost_in(one):
        say(text)


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--partner", required=True, help="Whose policy it is; the file is named after it.")
@click.option("--until", type=Day(), help="Last day, within the policy's own; without it that.")
@click.option("--from", "begins", type=Day(), help="First day, within the policy's own; without it that, or today.")
@click.option("--policy", "policy_id", help="Id of the policy, where the file has several.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def import_(
    directory: Path,
    file: Path,
    partner: str,
    until: date | None,
    begins: date | None,
    policy_id: str | None,
    as_json: bool,
) -> None:
    """Write a draft of an agreement from an IEP 2.0 FILE: unsigned, and safest where the policy is silent."""
    from threatshare.policy.iep import LIMIT, draft_of, read_policies

    with file.open("rb") as stream:
        policies = read_policies(stream.read(LIMIT + 1), str(file))
    named = [one for one in policies if policy_id is None or one.get("id") == policy_id]
    if len(named) != 1:
        ids = ", ".join(safe(str(one.get("id"))) for one in policies)
        raise UsageError(f"{file} has {len(policies)} policies; name one with --policy: {ids}")
    with opened(directory) as node:
        try:
            draft, unsaid = draft_of(named[0], partner, until, begins, node.today())
        except ConfigurationError as problem:
            raise UsageError(f"{file}: {problem}") from problem
        target = node.directory / AGREEMENTS_DIR / f"{partner}.toml"
        if target.exists():
            raise UsageError(f"{target} exists; change it there, then run `agreement check`")
        notes = [
            f"A draft made of the IEP 2.0 policy {named[0].get('id')}. Not signed: nothing leaves under it.",
            "The policy does not say the following; hold each against the signed paper:",
            *(f"  - {text}" for text in unsaid),
        ]
        target.parent.mkdir(exist_ok=True)
        target.write_text(agreements.agreement_toml(draft, notes), encoding="utf-8")
    if as_json:
        emit({"partner": partner, "file": str(target), "signed": None, "unsaid": unsaid})
        return
    click.echo(f"agreement  {target}")
    say("A draft: nothing leaves before signed_on is filled in. The policy does not say, and the draft has the safest:")
    for text in unsaid:
        say(f"  - {safe(text)}")
