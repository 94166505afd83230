"""The schedule: pulls when they are due, publishing, due score changes, and the TAXII server beside it.

Findings are taken as they arrive, and what has changed in the store, whoever changed it, is published at once: a look
at the store's version several times a second costs next to nothing. The interval for publishing remains for what
time alone, or a person's edit of an agreement, changes.

APScheduler with its memory job store is only the tick; what is due lives in our own tables, so that a
restart forgets nothing and a missed run is made up once. The server is a child process: a burst of
requests never delays a pull, nor a large pull a request. A failing feed backs off and stops nobody.
"""

from __future__ import annotations

from threatshare.daemon.process import Daemon
from threatshare.daemon.server import server_command

__all__ = ["Daemon", "server_command"]
