"""``threatshare exercise``: joint exercises with partners, apart from all that is live."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from threatshare import exercises
from threatshare.cli.authority import presence
from threatshare.cli.days import Day
from threatshare.cli.output import defanged, emit, safe, safe_lines, say, table, when
from threatshare.errors import BadValue, UsageError
from threatshare.exercises import Refused, Start
from threatshare.findings.injects import MOST, Planned, read_injects
from threatshare.model import Reject, Tlp
from threatshare.node import Node, opened
from threatshare.report.exercise import markdown
from threatshare.stix.observables import recognise
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import tlp_named
from threatshare.store.exercises import ExerciseRecord, Inject, injects_of
from threatshare.store.exercises import exercises as all_exercises

_LABELS = [tlp.label for tlp in Tlp if tlp is not Tlp.RED]
_MOST_BYTES = 4 * 1024 * 1024


@click.group()
def exercise() -> None:
    """Exercises: a collection apart, values that are nobody's, and a report of who saw what when."""


@exercise.command()
@click.argument("name")
@click.option("--partners", required=True, help="Who takes part: names of agreements, with commas between.")
@click.option("--until", type=Day(), required=True, help="Last day, YYYY-MM-DD, UTC.")
@click.option("--tlp", type=click.Choice(_LABELS), default="green", show_default=True, help="Of all that is in it.")
@click.option("--account", "accounts", multiple=True, help="A partner's account that gets the rights; several times.")
@click.option("--share-at-once", is_flag=True, help="The daemon shares what is detected, within a minute.")
@click.option("--by", help="Who starts it; or THREATSHARE_PERSON; else the system's user.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def start(
    directory: Path,
    name: str,
    partners: str,
    until: date,
    tlp: str,
    accounts: tuple[str, ...],
    share_at_once: bool,
    by: str | None,
    as_json: bool,
) -> None:
    """Open an exercise with its collection. Exit code 1: an agreement does not allow it."""
    who = tuple(dict.fromkeys(one.strip() for one in partners.split(",") if one.strip()))
    plan = Start(name, who, until, tlp_named(tlp), presence(directory).signature(by)[0], accounts, share_at_once)
    with opened(directory) as node:
        made = exercises.start(node.store, plan, node.facts(), node.now())
        if isinstance(made, tuple):
            for reason in made:
                say(f"{reason.rule}: {safe(reason.text)}")
            sys.exit(1)
        told = _told(node, made)
    if as_json:
        emit(told)
        return
    click.echo(f"exercise    {made.name}\ncollection  {told['collection']}\nlabel       {made.label}")
    click.echo(f"marking     {made.marking}")
    if not accounts:
        say("Nobody may read it yet. For each partner:")
        say(f"  threatshare account grant ACCOUNT --read {told['collection']} --write {told['collection']}")


@exercise.command()
@click.argument("name")
@click.option("--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="What to inject.")
@click.option("--generate", type=click.IntRange(1, MOST), help="Generate so many.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same values.")
@click.option("--json", "as_json", is_flag=True, help="A line an inject, and one for each that was refused.")
@click.pass_obj
def inject(directory: Path, name: str, file: Path | None, generate: int | None, seed: int, as_json: bool) -> None:
    """Put values before everybody's sensors: from a file, or generated.

    A file is a list of values, a CSV table with the heading value,offset,techniques, or JSON lines with these
    properties. Only documentation ranges, reserved names, and hashes made of the exercise's name are taken.
    Exit code 1: some were refused.
    """
    if (file is None) == (generate is None):
        raise UsageError("give --file FILE or --generate N")
    with opened(directory) as node:
        if file is not None:
            planned, refused = _planned(file)
            taken, unfit = exercises.inject(node.store, name, planned, node.facts(), node.now())
            refused += unfit
        else:
            taken = exercises.inject_generated(node.store, name, generate or 0, seed, node.facts(), node.now())
            refused = []
    if as_json:
        for one in taken:
            emit(_told_inject(one))
        for no in refused:
            emit({"refused": no.value, "place": no.place, "reason": no.reason})
    else:
        table(
            ("inject", "at", "type", "value"),
            [(one.number, when(one.at), one.observable.kind, defanged(one.observable.value)) for one in taken],
        )
        for no in refused:
            say(f"{safe(no.place)}: {defanged(no.value)}: {safe(no.reason)}")
    if refused:
        sys.exit(1)


def _planned(file: Path) -> tuple[list[Planned], list[Refused]]:
    raw = file.read_bytes()[: _MOST_BYTES + 1]
    if len(raw) > _MOST_BYTES:
        raise UsageError(f"{file} is larger than {_MOST_BYTES} bytes: too much for one exercise")
    planned: list[Planned] = []
    refused: list[Refused] = []
    for one in read_injects(raw.decode(errors="replace"), str(file)):
        if isinstance(one, Reject):
            refused.append(Refused(one.text, one.place, one.reason))
        else:
            planned.append(one)
    return planned, refused


@exercise.command()
@click.argument("name")
@click.argument("values", nargs=-1, required=True)
@click.option("--sensor", default="by hand", show_default=True, help="What saw it.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def detect(directory: Path, name: str, values: tuple[str, ...], sensor: str, as_json: bool) -> None:
    """Note by hand that VALUE was detected; `ingest` notes by itself what a finding names.

    Exit code 1: one is no inject, or not yet.
    """
    try:
        asked = [recognise(value) for value in values]
    except BadValue as problem:
        raise UsageError(str(problem)) from problem
    with opened(directory) as node:
        outcomes = exercises.detect(node.store, name, asked, sensor, node.facts(), node.now())
    words = {"detected": "detected", "before": "was detected before", "none": "is no inject, or not yet"}
    for one, outcome in zip(asked, outcomes, strict=True):
        if as_json:
            emit({"value": one.value, "outcome": outcome})
        else:
            click.echo(f"{defanged(one.value)}  {words[outcome]}")
    if "none" in outcomes:
        sys.exit(1)


@exercise.command()
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="What was not detected, too.")
@click.option("--by", help="Who approves it, where an agreement wants a person's approval.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def share(directory: Path, name: str, everything: bool, by: str | None, as_json: bool) -> None:
    """Publish the indicators of detected injects to the exercise's collection. Exit code 1: the gate kept some."""
    by = None if by is None else presence(directory).signature(by)[0]
    with opened(directory) as node:
        done = exercises.share(node.store, name, node.facts(), node.identity_object, node.now(), everything, by)
    if as_json:
        reasons = [
            {"id": object_id, "rule": reason.rule, "verdict": reason.verdict, "text": reason.text}
            for _, object_id, decision in done.decisions
            for reason in decision.reasons
            if reason.verdict != "release"
        ]
        emit({"released": sum(done.released.values()), "held": done.held, "refused": done.refused, "reasons": reasons})
    else:
        click.echo(f"shared {sum(done.released.values())}, held {done.held}, refused {done.refused}")
        texts = (x for _, _, decision in done.decisions for x in decision.reasons if x.verdict != "release")
        for text in dict.fromkeys(f"{reason.rule}: {reason.text}" for reason in texts):
            say(safe(text))
    if done.held or done.refused:
        sys.exit(1)


@exercise.command()
@click.argument("name")
@click.argument("partner")
@click.option("--by", help="Who invites it; or THREATSHARE_PERSON; else the system's user.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def invite(directory: Path, name: str, partner: str, by: str | None, as_json: bool) -> None:
    """Let PARTNER take part again, which lost the exercise as its agreement allowed it no longer.

    It gets back the rights that it lost. Exit code 1: its agreement still does not allow it, or not all that stands in
    the exercise.
    """
    who = presence(directory).signature(by)[0]
    with opened(directory) as node:
        reasons = exercises.invite(node.store, name, partner, who, node.facts(), node.now())
        left = exercises.named(node.store.conn, name).present
    if as_json:
        told = [{"rule": one.rule, "verdict": one.verdict, "text": one.text} for one in reasons]
        emit({"exercise": name, "present": list(left), "reasons": told})
    else:
        for reason in reasons:
            say(f"{reason.rule}: {safe(reason.text)}")
        if not reasons:
            click.echo(f"{partner} takes part in exercise {name} again")
    if reasons:
        sys.exit(1)


@exercise.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@click.option("--markdown", "as_markdown", is_flag=True, help="The page for people; what is printed without --json.")
@click.pass_obj
def report(directory: Path, name: str, as_json: bool, as_markdown: bool) -> None:
    """Show who saw what when: detected, shared, received and answered, with medians and what was missed."""
    if as_json and as_markdown:
        raise UsageError("--json contradicts --markdown")
    with opened(directory) as node:
        told = exercises.report(node.store.conn, name, node.facts(), node.now())
    if as_json:
        emit(told)
    else:
        click.echo(safe_lines(markdown(told)), nl=False)


@exercise.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--by", help="Who ends it; or THREATSHARE_PERSON; else the system's user.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def end(directory: Path, name: str, reason: str, by: str | None, as_json: bool) -> None:
    """End an exercise: its collection is emptied and closed; figures, report and the ledger's record stay."""
    with opened(directory) as node:
        who = presence(directory).signature(by)[0]
        told = exercises.end(node.store, name, who, reason, node.facts(), node.now())
    if as_json:
        emit({"exercise": name, "ended": told["ended"], "purged": told["purged"]})
    else:
        click.echo(f"exercise {name} has ended; {told['purged']} entries were deleted")


@exercise.command("list")
@click.option("--partner", help="Only those with this partner.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def listed(directory: Path, partner: str | None, as_json: bool) -> None:
    """List exercises, the latest first."""
    with opened(directory) as node:
        found = [one for one in all_exercises(node.store.conn) if partner is None or partner in one.partners]
        told = [_told(node, one) for one in found]
    if as_json:
        for row in told:
            emit(row)
    else:
        table(
            ("name", "state", "until", "partners", "injects"),
            [_cells(one, row) for one, row in zip(found, told, strict=True)],
        )


def _cells(one: ExerciseRecord, told: dict[str, object]) -> Sequence[object]:
    return one.name, told["state"], one.until, ", ".join(one.partners), told["injects"]


def _told(node: Node, one: ExerciseRecord) -> dict[str, object]:
    state = "running" if one.running else "ended"
    if one.running and not one.present:
        state = "no partner remains"
    if one.running and one.until < node.today():
        state = "over"
    return {
        "name": one.name,
        "state": state,
        "collection": f"exercise-{one.name}",
        "label": one.label,
        "marking": one.marking,
        "tlp": one.tlp.label,
        "until": str(one.until),
        "partners": list(one.partners),
        "present": list(one.present),
        "injects": len(injects_of(node.store.conn, one.name)),
        "started": write_timestamp(one.started),
        "ended": None if one.ended is None else write_timestamp(one.ended),
    }


def _told_inject(one: Inject) -> dict[str, object]:
    return {
        "number": one.number,
        "at": write_timestamp(one.at),
        "type": one.observable.kind.stix_type,
        "hash": one.observable.kind.algorithm,
        "value": one.observable.value,
        "techniques": list(one.techniques),
        "indicator": one.object_id,
    }
