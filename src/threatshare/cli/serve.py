"""``threatshare serve`` and ``daemon``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from random import SystemRandom

import click
import structlog

from threatshare.config import load_settings
from threatshare.errors import UsageError
from threatshare.node import ServerApp, opened


@click.command()
@click.option("--host", help="Else serve.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else serve.port; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(min=1), help="Else serve.workers.")
@click.option("--certfile", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="TLS certificate, PEM.")
@click.option("--keyfile", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Its key, PEM.")
@click.option("--with-parent", is_flag=True, help="End when the process that started it ends, as the daemon wants.")
@click.pass_obj
def serve(
    directory: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    certfile: Path | None,
    keyfile: Path | None,
    with_parent: bool,
) -> None:
    """Run the TAXII server in the foreground; SIGTERM stops it cleanly.

    One line on stderr, "listening on URL", tells when it accepts requests.
    """
    from threatshare.share import server

    if (certfile is None) != (keyfile is None):
        raise UsageError("--certfile and --keyfile go together")
    _configure_logs()
    settings = load_settings(directory).serve
    tls = server.Tls(certfile, keyfile) if certfile and keyfile else None
    address = server.Address(host or settings.host, settings.port if port is None else port, tls)
    server.serve(ServerApp(directory.absolute()), address, workers or settings.workers, with_parent=with_parent)


@click.command()
@click.option("--host", help="Of the TAXII server; else serve.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else serve.port; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(min=1), help="Else serve.workers.")
@click.option("--no-serve", is_flag=True, help="Only the schedule, no TAXII server.")
@click.pass_obj
def daemon(directory: Path, host: str | None, port: int | None, workers: int | None, no_serve: bool) -> None:
    """Run schedule and TAXII server together: pulls, publishing, due score changes.

    SIGTERM finishes what is under way and exits with 0.
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
