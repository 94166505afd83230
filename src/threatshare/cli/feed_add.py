"""``threatshare feed add``: a new source, recognised by asking it, with a look at what it would bring."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import msgspec

from threatshare.cli.connection_options import connecting, names_private_address, private_allowed
from threatshare.cli.output import defanged, emit, safe, say
from threatshare.cli.templates import toml
from threatshare.errors import ConfigurationError, PartnerError, UsageError
from threatshare.feed_settings import DAYS, FEEDS_DIR, FeedSettings, check_feed, load_feed
from threatshare.feeds.list_presets import presets
from threatshare.feeds.recognition import kind_of
from threatshare.model import Tlp
from threatshare.node import Node, opened

if TYPE_CHECKING:
    from threatshare.feeds.looks import Look
    from threatshare.feeds.preview import Preview

_LABELS = [tlp.label for tlp in Tlp]
_KINDS = ["taxii", "taxii20", "stix", "misp", "list"]


@click.command()
@click.argument("name")
@click.argument("address", required=False)
@click.option("--kind", type=click.Choice(_KINDS), help="Else it is recognised by asking, or from the address.")
@click.option("--preset", help="How a list is read, as `feed presets` shows; sets --every too.")
@click.option("--look/--no-look", default=True, help="Ask the address what it is, and show what would come in.")
@click.option("--collection", help="TAXII: id or title of the collection, where the address does not name it.")
@connecting
@click.option("--reliability", type=click.Choice(list("ABCDEF")), default="C", show_default=True, help="Admiralty.")
@click.option(
    "--default-tlp", type=click.Choice(_LABELS), default="amber+strict", show_default=True, help="Of the unmarked."
)
@click.option("--lineage", help="The aggregate that this feed copies; one lineage counts once.")
@click.option("--every", help="Interval, e.g. 30s, 15m, 6h, 1d.  [default: 15m, or the preset's]")
@click.option("--jitter", "jitter_seconds", type=click.IntRange(0), default=30, show_default=True, help="Seconds.")
@click.option("--cron", help="Five fields, UTC, Monday is 0 or mon; replaces --every.")
@click.option("--window", multiple=True, help="Begin a run only then, UTC, e.g. 22:00-06:00; several times.")
@click.option("--days", type=click.Choice(DAYS), multiple=True, help="Begin windows on these days only; several times.")
@click.option("--allow-private-address", is_flag=True, help="The feed's host may be a private or loopback address.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(
    directory: Path,
    /,
    name: str,
    address: str | None,
    kind: str | None,
    preset: str | None,
    look: bool,
    as_json: bool,
    **said: object,
) -> None:
    """Add a source: ADDRESS is a TAXII server, API root or collection, the URL of a bundle or a list, or a path.

    It is asked what it is, and the beginning of what it would bring is shown; nothing of that is kept. An address that
    cannot be asked is added all the same, by what it looks like. Refused is a web page, and what answers that it is not
    there, is on another server, or wants a password that was not given: --no-look adds it all the same. With --preset,
    ADDRESS is where the list is published, unless it is given.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or name == "own":
        raise UsageError(f"feed name {name!r}: letters, digits, - and _ are wanted, and not 'own'")
    if preset is not None:
        if preset not in presets():
            raise UsageError(f"there is no preset {preset!r}; there are {', '.join(presets())}")
        address, kind = address or presets()[preset].url, "list"
        said["every"] = said["every"] or presets()[preset].every
    if address is None:
        raise UsageError("ADDRESS is missing: what is to be pulled")
    if "://" in address and not address.lower().startswith(("http://", "https://")):
        raise UsageError(f"ADDRESS {address!r} is neither an http:// or https:// address nor a path")
    allowed = bool(said["allow_private_address"])
    settings = _settings(address, kind or kind_of(address), said)
    _check(settings)
    new = _New(name, settings, {"preset": preset} if preset else {})
    with opened(directory) as node:
        file = node.directory / FEEDS_DIR / f"{name}.toml"
        if file.exists():
            raise UsageError(f"{file} exists; change it there")
        missing = _missing_secrets(new.settings, node.directory)
        if missing:
            say(f"{missing} is not to be had here, so it was not asked; the daemon and `pull` need it")
        elif look and preset is None:
            new.look(node, kind)
        _write(node, file, new)
        # Said once it is so, and not of a feed that was refused.
        private_allowed(address, allowed, "feed")
        new.preview(node, load_feed(file))
    new.tell(file, as_json)


def _settings(address: str, kind: str, said: dict[str, object]) -> dict[str, object]:
    """Gives what the feed's file is to say."""
    local = "://" not in address
    settings: dict[str, object] = {"kind": kind}
    settings["path" if local else "url"] = str(Path(address).absolute()) if local else address
    if not local:
        said["allow_private_address"] = bool(said["allow_private_address"]) or names_private_address(address)
    return settings | {
        key: value for key, value in said.items() if value is not None and value is not False and value != ()
    }


def _check(settings: Mapping[str, object]) -> None:
    """Raises UsageError for an option whose value a feed's file could not have."""
    try:
        check_feed(msgspec.convert(settings, FeedSettings), "feed add")
    except msgspec.ValidationError as problem:
        reason, _, where = str(problem).partition(" - at `$.")
        key = where.rstrip("`").partition("[")[0]
        if key == "window":
            reason = "hours of the day, UTC, are wanted, from 00:00 to 24:00, as 22:00-06:00"
        raise UsageError(f"--{key.replace('_', '-')} {settings.get(key, '')!r}: {reason}") from problem
    except ConfigurationError as problem:
        raise UsageError(str(problem)) from problem


@dataclass(slots=True)
class _New:
    """A feed on its way into its file."""

    name: str
    settings: dict[str, object]
    rows: dict[str, object]
    """Its table ``[list]``."""
    seen: Look | None = None
    found: Preview | None = None

    def look(self, node: Node, kind: str | None) -> None:
        """Asks what it is; what is not to be asked stays as it was guessed. ``kind``: what a person says that it is."""
        # Here, since requests takes longer to import than most commands take.
        from threatshare.feeds.clients import client_for
        from threatshare.feeds.list_forms import said
        from threatshare.feeds.looks import WebPage, look_at_path, look_at_url

        as_is = msgspec.convert(self.settings, FeedSettings)
        # What cannot be used at all is no question for the server.
        client_for(self.name, as_is, node.directory, clock=node.clock)
        try:
            if as_is.path is not None:
                seen = look_at_path(Path(as_is.path), node.now())
            else:
                seen = look_at_url(as_is, node.directory, node.clock)
        except WebPage:
            raise
        except PartnerError as problem:
            told = _refusal(problem, as_is)
            if told is not None:
                raise PartnerError(f"{problem}. {told}; --no-look adds it all the same") from problem
            say(f"it could not be looked at, so it is taken for {as_is.kind}: {safe(str(problem))}")
            return
        if kind is not None and kind != seen.kind:
            say(f"it looks like {seen.kind} ({safe(seen.words)}); --kind {kind} is kept")
            return
        self.seen = seen
        self.settings["kind"] = seen.kind
        if seen.url is not None:
            self.settings["url"] = seen.url
        if seen.list is not None:
            self.rows = dict(said(seen.list))

    def preview(self, node: Node, settings: FeedSettings) -> None:
        """Reads its beginning, from what the look brought where that was all of it."""
        from threatshare.feeds.preview import preview
        from threatshare.feeds.session import shown

        if self.seen is None:
            return
        copy = None
        try:
            with TemporaryDirectory(prefix="threatshare-") as folder:
                if self.seen.body is not None:
                    copy = Path(folder, "look.json")
                    copy.write_bytes(self.seen.body)
                    settings = msgspec.structs.replace(settings, url=None, path=str(copy))
                self.found = preview(node.client_of(self.name, settings), node.now())
        except PartnerError as problem:
            # What was read is a copy of the answer, which is gone already.
            told = str(problem) if copy is None else str(problem).replace(str(copy), shown(str(self.settings["url"])))
            say(f"what it would bring could not be read yet: {safe(told)}")

    def tell(self, file: Path, as_json: bool) -> None:
        """Says what was added."""
        if as_json:
            data: dict[str, Any] = {"feed": self.name, "file": str(file), **self.settings}
            if self.rows:
                data["list"] = self.rows
            if self.seen is not None:
                data["recognised"] = self.seen.words
            emit(data if self.found is None else data | {"preview": preview_data(self.found)})
            return
        click.echo(f"feed  {self.name} ({self.settings['kind']})  {file}")
        if self.seen is not None:
            say(f"recognised by {safe(self.seen.words)}")
            if self.rows:
                rows = ", ".join(f"{key} = {toml(value)}" for key, value in self.rows.items())
                say(f"read so, as a guess: {safe(rows)}")
        if self.found is not None:
            show_preview(self.name, self.found)
        note = presets()[str(self.rows["preset"])].note if "preset" in self.rows else ""
        if note:
            say(note)
        test = "" if self.found is not None else f"threatshare feed test {self.name} shows what would come in; "
        say(f"Next: {test}threatshare pull {self.name} brings it in")


def _refusal(problem: PartnerError, settings: FeedSettings) -> str | None:
    """Says what to do about an answer that the feed would get at each run; None where the next may be another."""
    from threatshare.feeds.session import BadStatus, Elsewhere

    if isinstance(problem, Elsewhere):
        return "Nothing was added"
    match problem:
        case BadStatus(status=404 | 410):
            return "Nothing was added: there is nothing at that address"
        case BadStatus(status=401 | 403) if not (settings.user or settings.token_env or settings.client_cert):
            return (
                "Nothing was added: it wants to know who asks. Say so by --user and --password-env or --password-file,"
                " --token-env, or --client-cert"
            )
    return None


def _write(node: Node, file: Path, new: _New) -> None:
    """Writes a feed's file, unless it could not be used."""
    file.parent.mkdir(exist_ok=True)
    text = "".join(f"{key} = {toml(value)}\n" for key, value in new.settings.items())
    if new.rows:
        text += "\n[list]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in new.rows.items())
    file.write_text(text, encoding="utf-8")
    try:
        feed = load_feed(file)
        if _missing_secrets(new.settings, node.directory):
            feed = msgspec.structs.replace(feed, user=None, password_env=None, password_file=None, token_env=None)
        node.client_of(new.name, feed)
    except BaseException:
        file.unlink()
        raise


def _missing_secrets(settings: Mapping[str, object], node_dir: Path) -> str:
    """Names what holds a secret and is not there: whoever adds a feed need not be whoever pulls it."""
    variables = [str(settings[key]) for key in ("password_env", "token_env") if key in settings]
    missing = [one for one in variables if one not in os.environ]
    file = settings.get("password_file")
    if file is not None and not (node_dir / str(file)).is_file():
        missing.append(str(file))
    return ", ".join(missing)


def preview_data(found: Preview) -> dict[str, Any]:
    """Gives a preview for a script."""
    values = [{"type": one.kind.stix_type, "value": one.value} for one in found.values]
    refused = [{"place": one.place, "reason": one.reason} for one in found.rejects]
    told = {"looked_at": found.objects, "about": found.about, "types": dict(found.types)}
    return {**told, "values": values, "rejected": found.rejected, "rejects": refused}


def show_preview(name: str, found: Preview) -> None:
    """Shows a preview to a person."""
    whole = f" of about {found.about}" if found.about is not None else ""
    click.echo(f"{name}: {found.objects} looked at{whole}, {found.rejected} could not be taken")
    for kind, count in found.types.most_common():
        click.echo(f"    {count} {safe(kind)}")
    for one in found.values:
        click.echo(f"    e.g. {one.kind}  {defanged(one.value)}")
    for reject in found.rejects:
        click.echo(f"    refused  {safe(reject.place)}: {safe(reject.reason)}")
