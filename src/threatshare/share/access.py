"""What is told of the request that a thread is answering: by whom, of which collection, how much.

Several layers learn a part of it, and whoever counts or logs requests wants it all. A thread answers one
request at a time, so each has a note of its own.
"""

from __future__ import annotations

from threading import local


class Access(local):
    """The note of one thread; begun anew with every request."""

    account: str = ""
    """Name of the account that was let in; empty: none."""
    collection: str = ""
    """Alias of the collection that was asked for."""
    objects: int = 0
    """How many were sent."""

    def begin(self) -> None:
        """Forgets the last request."""
        self.account, self.collection, self.objects = "", "", 0


ACCESS = Access()
