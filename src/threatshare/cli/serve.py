"""``threatshare serve`` and ``daemon``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

import click
import structlog

from threatshare.config import Serve, load_settings
from threatshare.errors import ConfigurationError, UsageError
from threatshare.node import ServerApp, opened
from threatshare.share.accesslog import check_access_log
from threatshare.share.settings import serve_settings

if TYPE_CHECKING:
    from threatshare.share.server import Tls

_PEM = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--host", help="Else serve.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else serve.port; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(min=1), help="Else serve.workers.")
@click.option("--certfile", type=_PEM, help="TLS certificate with its chain, PEM; else serve.tls_certificate.")
@click.option("--keyfile", type=_PEM, help="Its key, PEM; else serve.tls_key.")
@click.option(
    "--client-authority",
    type=_PEM,
    help="Let in none but clients with a certificate of this authority, PEM; else serve.tls_client_authority.",
)
@click.option("--with-parent", is_flag=True, help="End when the process that started it ends, as the daemon wants.")
@click.pass_obj
def serve(
    directory: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    certfile: Path | None,
    keyfile: Path | None,
    client_authority: Path | None,
    with_parent: bool,
) -> None:
    """Run the TAXII server in the foreground.

    One line on stderr, "listening on URL", tells when it accepts requests. SIGTERM lets the requests under way be
    finished and stops it with exit code 0. SIGHUP has configuration, certificates and keys read anew, and "reloaded"
    tells so; no request is refused meanwhile. Where what is read cannot be served with, the server says why and goes on
    as it was. Address and number of workers stay until it is started again.

    /health says that it answers, /ready that it can do its work, /metrics how much it does, to an account that was
    given that right.
    """
    from threatshare.share import server

    if (certfile is None) != (keyfile is None):
        raise UsageError("--certfile and --keyfile go together")
    _configure_logs()
    node = directory.absolute()

    def reread() -> server.Tls | None:
        settings = load_settings(node)
        _tell_unchanged(began, settings.serve, {"host": host, "port": port, "workers": workers})
        made = serve_settings(settings.node.name, settings.serve, node)
        if made.access_log is not None:
            check_access_log(made.access_log)
        return _tls(settings.serve, node, certfile, keyfile, client_authority)

    settings = began = load_settings(node).serve
    tls = reread()
    address = server.Address(host or settings.host, settings.port if port is None else port, tls)
    app = ServerApp(node, certfile.absolute() if certfile else None)
    server.serve(app, address, workers or settings.workers, with_parent=with_parent, reread=reread)


def _tell_unchanged(began: Serve, now: Serve, given: dict[str, object]) -> None:
    """Says which settings were changed that only a server takes up which is started anew, but for those given to it."""
    changed = [
        f"serve.{name}"
        for name, option in given.items()
        if option is None and getattr(began, name) != getattr(now, name)
    ]
    if changed:
        click.echo(f"{', '.join(changed)}: changed in node.toml; takes effect when this is started again", err=True)


def _tls(
    settings: Serve, directory: Path, certificate: Path | None, key: Path | None, authority: Path | None
) -> Tls | None:
    """Gives the files that TLS is spoken with, those of the command line first; checked, so that they serve."""
    from threatshare.share.certificates import check_pair
    from threatshare.share.server import Tls

    if certificate is None or key is None:
        if (settings.tls_certificate is None) != (settings.tls_key is None):
            raise ConfigurationError("serve.tls_certificate and serve.tls_key go together: set both or neither")
        certificate = directory / settings.tls_certificate if settings.tls_certificate else None
        key = directory / settings.tls_key if settings.tls_key else None
    if authority is None and settings.tls_client_authority is not None:
        authority = directory / settings.tls_client_authority
    if certificate is None or key is None:
        if authority is not None:
            raise ConfigurationError("an authority of client certificates takes TLS: name a certificate and its key")
        return None
    check_pair(certificate, key, authority)
    return Tls(certificate.absolute(), key.absolute(), authority.absolute() if authority else None)


@click.command()
@click.option("--host", help="Of the TAXII server; else serve.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else serve.port; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(min=1), help="Else serve.workers.")
@click.option("--no-serve", is_flag=True, help="Only the schedule, no TAXII server.")
@click.pass_obj
def daemon(directory: Path, host: str | None, port: int | None, workers: int | None, no_serve: bool) -> None:
    """Run schedule and TAXII server together: pulls, publishing, due score changes.

    SIGTERM finishes what is under way and exits with 0. SIGHUP has the server read configuration, certificates and
    keys anew; files of feeds and agreements are read anew whenever they are used.
    """
    from threatshare.daemon import Daemon, server_command

    _configure_logs()
    options = [
        text
        for name, value in (("--host", host), ("--port", port), ("--workers", workers))
        if value is not None
        for text in (name, str(value))
    ]
    with opened(directory) as node:
        command = None if no_serve else server_command(str(directory.absolute()), options)
        code = Daemon(node, command, SystemRandom()).run()
    sys.exit(code)


def _configure_logs() -> None:
    """One line an event on stderr, JSON where no person watches; never a secret, never an indicator's value."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    # A run that takes longer than the time to the next is nothing to warn of, every second: `status` shows it.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
