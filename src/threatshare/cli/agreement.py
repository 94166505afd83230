"""``threatshare agreement``: MOUs with partners, as files in ``agreements/``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from threatshare.cli.agreement_changes import confirmed, diff, told_waiting
from threatshare.cli.agreement_views import history, iep, import_, show
from threatshare.cli.days import Day
from threatshare.cli.output import emit, safe, say, table
from threatshare.config import AGREEMENTS_DIR
from threatshare.errors import ConfigurationError, UsageError
from threatshare.model import Tlp
from threatshare.node import opened
from threatshare.partners.ground import to_see_to
from threatshare.policy import agreements
from threatshare.policy.introduction import problems
from threatshare.policy.profiles import read_profiles
from threatshare.store.agreements import acting, keep_versions, unnumbered_changes

_LABELS = [tlp.label for tlp in Tlp]


@click.group()
def agreement() -> None:
    """Agreements with partners: without one that is signed and in force, nothing leaves."""


@agreement.command()
@click.argument("partner")
@click.option("--max-tlp", type=click.Choice(_LABELS), required=True, help="Nothing marked above it leaves.")
@click.option("--until", type=Day(), required=True, help="Last day, YYYY-MM-DD.")
@click.option("--from", "begins", type=Day(), help="First day; today if not given.")
@click.option("--signed", type=Day(), help="Day of signature; today if not given.")
@click.option("--unsigned", is_flag=True, help="Only a draft: nothing leaves under it.")
@click.option(
    "--object-type",
    "object_types",
    multiple=True,
    type=click.Choice(["indicator", "sighting", "report", "grouping", "opinion"]),
    default=["indicator", "sighting"],
    show_default=True,
    help="What may leave; several times.",
)
@click.option("--min-score", type=click.IntRange(0, 100), default=0, show_default=True, help="Lower scores wait.")
@click.option("--reliability", type=click.Choice(list("ABCDEF")), default="C", show_default=True, help="Of its word.")
@click.option("--source", "sources", multiple=True, help="A feed or account that it sends by; several times.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(directory: Path, /, partner: str, as_json: bool, unsigned: bool, **said: object) -> None:
    """Write the agreement with PARTNER to a file that both sides can read."""
    if unsigned and said["signed"]:
        raise UsageError("--unsigned contradicts --signed")
    with opened(directory) as node:
        today = node.today()
        signed = None if unsigned else (said["signed"] or today)
        text = agreements.new_agreement_text(
            partner,
            said["max_tlp"],  # type: ignore[arg-type]
            said["until"],  # type: ignore[arg-type]
            said["begins"] or today,  # type: ignore[arg-type]
            signed,  # type: ignore[arg-type]
            said["object_types"],  # type: ignore[arg-type]
            said["min_score"],  # type: ignore[arg-type]
            said["reliability"],  # type: ignore[arg-type]
            said["sources"],  # type: ignore[arg-type]
        )
        file = node.directory / AGREEMENTS_DIR / f"{partner}.toml"
        if file.exists():
            raise UsageError(f"{file} exists; change it there, then run `agreement check`")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        waiting = acting(node.store.conn, {partner: agreements.load_agreement(file)})[partner].waiting
    if waiting is not None:
        say(safe(waiting.words))
    if as_json:
        emit({"partner": partner, "file": str(file), "signed": str(signed) if signed else None})
        return
    click.echo(f"agreement  {file}")
    if signed is None:
        say("A draft: fill in signed_on once it is signed; until then nothing leaves.")
    elif not said["signed"]:
        say(f"Recorded as signed on {signed}. If it is not, delete signed_on in that file: nothing leaves then.")


@agreement.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def check(directory: Path, as_json: bool) -> None:
    """Check every agreement: files, standing, what is due. Exit code 1: nothing leaves under one; 3: a file is wrong.

    What is in force is kept with its digest: see `agreement history`. A file that lets more leave than what was in
    force waits for two persons: see `agreement confirm`.
    """
    with opened(directory) as node:
        today = node.today()
        read, wrong = agreements.read_agreements(node.directory)
        unnumbered: dict[str, str] = {}
        if not wrong:
            keep_versions(node.store, node.directory, read, today, node.now())
            unnumbered = unnumbered_changes(node.store.conn)
        profiles, _ = read_profiles(node.directory)
        unfit = {partner: problems(one, node.settings.node, profiles) for partner, one in read.items()}
        see_to = {partner: to_see_to(node.store.conn, one, today) for partner, one in read.items()}
        as_it_acts = acting(node.store.conn, read)
    due = False
    for partner, one in read.items():
        acts, waiting = as_it_acts[partner].agreement, as_it_acts[partner].waiting
        refusals = [reason.text for reason in agreements.standing(acts, today)]
        warned = [*see_to[partner], *([unnumbered[partner]] if partner in unnumbered else [])]
        warned += [waiting.words] if waiting is not None else []
        due = due or bool(refusals) or bool(unfit[partner])
        if as_json:
            told = {"partner": partner, "in_force": not refusals, "problems": [*refusals, *unfit[partner]]}
            told |= {"warnings": warned}
            told |= {"version": one.version, "digest": agreements.digest_of(one), "waiting": told_waiting(waiting)}
            emit(told)
        else:
            until = agreements.in_force_until(acts, today)
            click.echo(f"{partner}: {'not in force' if until is None else f'in force until {until}'}")
            for text in [*refusals, *unfit[partner], *warned]:
                click.echo(f"    {safe(text)}")
    if wrong:
        for message in wrong:
            say(safe(message))
        raise ConfigurationError(f"{len(wrong)} agreement file(s) cannot be used; nothing is published until they can")
    if due:
        sys.exit(1)


@agreement.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def listed(directory: Path, as_json: bool) -> None:
    """List the agreements."""
    headings = ("partner", "kind", "max_tlp", "from", "until", "signed", "in_force")
    with opened(directory) as node:
        rows = [
            (partner, one.kind, one.outbound.max_tlp, str(one.effective_from), str(one.expires_on))
            + (str(one.signed_on or "-"), not agreements.standing(one, node.today()))
            for partner, one in node.agreements.items()
        ]
    if as_json:
        for row in rows:
            emit(dict(zip(headings, row, strict=True)))
    else:
        table(headings, rows)


@agreement.command()
def schema() -> None:
    """Print the JSON Schema of agreement files, for editors."""
    from threatshare.policy.agreement_schema import schema_text

    click.echo(schema_text(), nl=False)


for command in (show, history, iep, import_, diff, confirmed):
    agreement.add_command(command)
