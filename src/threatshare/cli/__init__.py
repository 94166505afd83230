"""The command line: ``threatshare [--node DIR] VERB``.

stdout is data, stderr is talk. Each verb lives in a module that is imported only when it is called, so
that `lookup` and `--help` stay fast. Exit codes: 0 fine, 1 nothing found or held or refused, 2 usage,
3 configuration, 4 partner or network, 5 store.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import click

from threatshare.errors import ThreatshareError


class Verb(NamedTuple):
    """Where a verb lives, and its line in the help."""

    module: str
    help: str


VERBS: Mapping[str, Verb] = {
    "init": Verb("node", "Make a working node: configuration, identity, store, first account."),
    "ingest": Verb("ingest", "Take findings in: files, directories, - for stdin."),
    "review": Verb("review", "Show what is held, and decide about it."),
    "incident": Verb("incident", "Reports on incidents, with the indicators they name."),
    "publish": Verb("publish", "Release to collections what the gate lets out."),
    "push": Verb("push", "Deliver to partners' servers."),
    "pull": Verb("pull", "Bring feeds in."),
    "lookup": Verb("lookup", "Known? Score, who says so, and why."),
    "sighting": Verb("feedback", "Say that a value was seen in an attack here."),
    "false-positive": Verb("feedback", "Say that a value is no evidence of an attack."),
    "withdraw": Verb("feedback", "Withdraw an indicator of ours everywhere."),
    "why": Verb("publish", "Why this left, or did not."),
    "export": Verb("export", "Write files for other tools: csv, stix, blocklist."),
    "serve": Verb("serve", "Run the TAXII server."),
    "daemon": Verb("serve", "Run server and schedule together."),
    "status": Verb("status", "Health: runs, collections, what was rejected."),
    "doctor": Verb("status", "Show what is misconfigured, and how to mend it."),
    "account": Verb("account", "Accounts of the TAXII server."),
    "collection": Verb("collection", "TAXII collections of this node."),
    "agreement": Verb("agreement", "Agreements with partners."),
    "partner": Verb("partner", "Partners: register, contacts, check-ins."),
    "profile": Verb("profile", "What exchanges want of a submission; hold files against it."),
    "feed": Verb("feed", "Sources that this node pulls."),
    "target": Verb("push", "Partners' servers that this node delivers to."),
    "exercise": Verb("exercise", "Joint exercises with partners, apart from all that is live."),
    "ledger": Verb("ledger", "What left, to whom, under which agreement; and whether that record holds."),
    "person": Verb("person", "Who may do what here, and who did what."),
    "demo": Verb("demo", "Two nodes exchange indicators before your eyes."),
}


class Verbs(click.Group):
    """A group whose verbs are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Gives the verbs in the order of a working day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a verb's module."""
        if cmd_name not in VERBS:
            return None
        found = getattr(import_module(f"threatshare.cli.{VERBS[cmd_name].module}"), cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        # Here, since help needs nobody's roles.
        from threatshare.cli.authority import guarded

        return guarded(found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest verb where one is misspelt."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], VERBS, 1)
            raise click.UsageError(f"no such verb: {args[0]}" + (f"; did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--node",
    "directories",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Node directory; or THREATSHARE_NODE; or here.",
)
@click.version_option(package_name="threatshare")
@click.pass_context
def cli(ctx: click.Context, directories: tuple[Path, ...]) -> None:
    """Share cyber threat indicators under agreements."""
    if len(directories) > 1:
        # A line for sudo that names the node would else be overruled by what is typed behind it.
        raise click.UsageError("--node is given twice")
    ctx.obj = directories[0] if directories else Path(os.environ.get("THREATSHARE_NODE", "."))


def main() -> None:
    """Runs the command line; an error that a person can act on is one message and its exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        code = 130
    except click.ClickException as problem:
        problem.show()
        code = problem.exit_code
    except ThreatshareError as problem:
        click.echo(f"threatshare: {problem}", err=True)
        code = problem.exit_code
    except BrokenPipeError:
        # The reader of our output has gone (e.g. `head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code or 0)
