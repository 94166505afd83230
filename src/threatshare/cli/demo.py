"""``threatshare demo``: a company and an ISAC exchange indicators, with the commands that a person would type.

Every step is a real process: two node directories, a TAXII server each, HTTP on loopback, a daemon that pulls.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import click

from threatshare.cli.output import written_to
from threatshare.errors import StoreError, UsageError
from threatshare.node import system_clock

_MARK = ".threatshare-demo"
_PATIENCE = 30
"""Seconds that a server or the daemon's first pull may take."""


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-nodes"),
    show_default=True,
    help="Where the two nodes are made; an earlier demo there is replaced.",
)
def demo(directory: Path) -> None:
    """Run the main job end to end before your eyes, on loopback, and stop.

    Values are from documentation ranges and reserved names, which only demo and exercise nodes let through.
    """
    started = time.monotonic()
    company, isac = _fresh(directory)
    with as_file(files("threatshare.cli.demo_data")) as data:
        _heading("1  A company's node: findings in")
        company.init("Demo Company", "energy", "--own-network", "192.0.2.0/24", "--own-domain", "company.example")
        company.show("ingest", *(str(data / one) for one in ("eve.json", "edr.ocsf.json", "analyst.csv")))
        company.show("ingest", str(data / "phishing-report.md"))
        company.show("ingest", "--tlp", "red", str(data / "confidential.csv"))
        _heading("2  What leaves for the ISAC, and what does not")
        isac_key = company.open_for("isac", "to-isac", "Demo Company to Demo ISAC", "green")
        company.show("review")
        _heading("3  The ISAC's node: its own knowledge, for its members")
        isac.init("Demo ISAC", "non-profit", "--no-own-assets")
        isac.show("ingest", str(data / "isac.csv"))
        company_key = isac.open_for("company", "members", "Demo ISAC to its members", "amber")
        with company.serving() as url:
            _exchange(company, isac, url, isac_key, company_key)
            _heading("5  What the company knows now, merged and scored, and why")
            company.show("lookup", "203.0.113.45", "198.51.100[.]77", "hxxps://login.phish[.]example/m365/index.php")
            _heading("6  The sensor's list hit is now a sighting of the ISAC's indicator, and goes back as feedback")
            company.show("ingest", str(data / "eve.json"))
            company.show("publish")
            _heading("7  What a SIEM gets")
            siem = company.show_siem(url)
    _heading(f"Done in {time.monotonic() - started:.1f} s. To go on by hand")
    click.echo(f"  .venv/bin/threatshare --node {company.directory} daemon       # server and schedule; Ctrl-C ends it")
    click.echo("  " + company.curl(f"http://127.0.0.1:{company.port}", siem))
    click.echo(f"  .venv/bin/threatshare --node {company.directory} why 203.0.113.66")


def _exchange(company: _Actor, isac: _Actor, url: str, isac_key: str, company_key: str) -> None:
    _heading("4  Real HTTP between them: the ISAC's daemon pulls the company, the company pulls the ISAC")
    isac.add_feed("from-company", url, "to-isac", company, "isac", isac_key)
    with isac.serving("daemon") as isac_url:
        seconds = isac.wait_for_pull("from-company")
        click.echo(f"the ISAC's daemon had pulled the company after {seconds:.1f} s")
        company.add_feed("from-isac", isac_url, "members", isac, "company", company_key)
        company.show("pull", "from-isac")
    isac.show("status")


class _Actor:
    """One of the two organisations: a node directory and what is typed on it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.key = ""
        self.secrets: dict[str, str] = {}

    def init(self, name: str, sector: str, *assets: str) -> None:
        """Makes the node; its SIEM key is kept for the demo's own requests."""
        where = ("--country", "US", "--area", "US-DC", "--purpose", "demo", "--port", str(self.port))
        arguments = ("init", str(self.directory), "--name", name, "--sector", sector, *where, *assets)
        self._say(arguments)
        made = json.loads(self._run((*arguments, "--json")).stdout)
        self.key = made["account"]["key"]
        click.echo(f"{made['identity']}, account {made['account']['name']}, its key shown once")

    def show(self, *arguments: str) -> None:
        """Runs a command and shows what a person would see."""
        self._say(arguments)
        done = self._run(arguments)
        for line in (done.stdout + done.stderr).splitlines():
            click.echo(f"  {line}")
        if done.returncode > 1:
            raise StoreError(f"the demo's command failed with exit code {done.returncode}")

    def data(self, *arguments: str) -> dict[str, Any]:
        """Runs a command for its one line of JSON."""
        return self.rows(*arguments)[0]

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Runs a command for its lines of JSON."""
        self._say(arguments)
        done = self._run((*arguments, "--json"))
        if done.returncode > 1:
            raise StoreError(f"the demo's command failed: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def open_for(self, partner: str, alias: str, title: str, max_tlp: str) -> str:
        """Makes agreement, collection and account for a partner, and publishes; gives the account's key."""
        until = str(system_clock().date() + timedelta(days=365))
        feed = f"from-{partner}"
        self.show("agreement", "add", partner, "--max-tlp", max_tlp, "--until", until, "--source", feed)
        self.show("collection", "add", alias, "--title", title, "--partner", partner)
        self.show("publish", "--dry-run")
        self.show("publish")
        return str(self.data("account", "add", partner, "--read", alias)["key"])

    def show_siem(self, url: str) -> str:
        """Asks as a SIEM would, over HTTP, and shows what comes; gives the collection's id."""
        collection = next(str(one["id"]) for one in self.rows("collection", "list") if one["alias"] == "siem")
        click.echo(f"$ {self.curl(url, collection).replace(self.key, '$KEY')}")
        basic = b64encode(f"siem:{self.key}".encode()).decode()
        headers = {"Accept": "application/taxii+json;version=2.1", "Authorization": f"Basic {basic}"}
        address = f"{url}/api/collections/{collection}/objects/?limit=100"
        request = urllib.request.Request(address, headers=headers)  # noqa: S310  our own server, on loopback
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310  the same
            objects = json.load(answer)["objects"]
        first: dict[str, Any] = next((one for one in objects if one["type"] == "indicator"), {})
        click.echo(f"  {len(objects)} objects, our Identity among them; an indicator: {json.dumps(first)[:300]} ...")
        return collection

    def add_feed(self, name: str, url: str, alias: str, peer: _Actor, user: str, key: str) -> None:
        """Adds the other's collection as a feed; the key comes from the environment, never from a file here."""
        env = f"{name.upper().replace('-', '_')}_KEY"
        self.secrets[env] = key
        listed = peer.rows("collection", "list")
        collection = next(one["id"] for one in listed if one["alias"] == alias)
        address = f"{url}/api/collections/{collection}/"
        self.show(
            *("feed", "add", name, address, "--user", user, "--password-env", env, "--reliability", "B"),
            *("--every", "1m", "--jitter", "0"),
        )

    @contextmanager
    def serving(self, verb: str = "serve") -> Iterator[str]:
        """Runs the TAXII server (or the daemon, which has one) until the end of the block."""
        arguments = (verb, "--port", "0")
        self._say(arguments)
        process = subprocess.Popen(  # noqa: S603  our own command
            self._command(arguments), env=self._env(), stderr=subprocess.PIPE, text=True
        )
        try:
            yield _listening(process)
        finally:
            process.terminate()
            try:
                _, talk = process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        if process.returncode != 0:
            raise StoreError(f"`{verb}` ended with exit code {process.returncode}: {talk[-2000:]}")

    def wait_for_pull(self, feed: str) -> float:
        """Waits until the daemon has pulled a feed; gives the seconds that took."""
        started = time.monotonic()
        while time.monotonic() - started < _PATIENCE:
            for one in json.loads(self._run(("status", "--json")).stdout)["feeds"]:
                if one["feed"] == feed and one["last_success"]:
                    return time.monotonic() - started
            time.sleep(0.2)
        raise StoreError(f"the daemon did not pull {feed} within {_PATIENCE} s")

    def curl(self, url: str, collection: str) -> str:
        """Gives the request that a SIEM would send."""
        accept = "Accept: application/taxii+json;version=2.1"
        return f"curl -s -u siem:{self.key} -H '{accept}' '{url}/api/collections/{collection}/objects/?limit=100'"

    def _say(self, arguments: tuple[str, ...]) -> None:
        shown = shlex.join(Path(one).name if Path(one).is_file() else one for one in arguments)
        click.secho(f"$ threatshare --node {self.directory} {shown}", bold=True)

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  our own command
            self._command(arguments), env=self._env(), capture_output=True, text=True, check=False
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "threatshare", "--node", str(self.directory), *arguments]

    def _env(self) -> dict[str, str]:
        return os.environ | self.secrets


def _listening(process: subprocess.Popen[str]) -> str:
    """Waits for the server's word that it accepts requests; gives its address."""
    assert process.stderr is not None
    heard = []
    for line in process.stderr:
        heard.append(line)
        found = re.search(r"listening on (http\S+?)/?$", line.strip())
        if found:
            return found[1]
    raise StoreError(f"the server did not start: {''.join(heard)[-2000:]}")


def _fresh(directory: Path) -> tuple[_Actor, _Actor]:
    """Makes the directory of the demo, replacing an earlier demo but nothing else."""
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARK).exists():
        raise UsageError(f"{directory} is not empty and no earlier demo; name another with --directory")
    shutil.rmtree(directory, ignore_errors=True)
    with written_to(directory):
        directory.mkdir(parents=True)
    (directory / _MARK).touch()
    return _Actor(directory / "company", 9100), _Actor(directory / "isac", 9200)


def _heading(text: str) -> None:
    click.secho(f"\n== {text} ==", bold=True)
