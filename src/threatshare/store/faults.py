"""What the embedded store raises when it cannot do something now: locked for too long, disk full, read only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import OperationalError as StoreFault
else:
    from pysqlite3.dbapi2 import OperationalError as StoreFault

__all__ = ["StoreFault"]
