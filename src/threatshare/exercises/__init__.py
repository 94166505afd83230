"""Joint exercises: start -> inject -> detect -> share -> what partners receive and answer -> report -> end.

An exercise has a collection and tables of its own. Its injects are indicators that stand nowhere else: they are
built, cleared by the gate for every partner of the exercise, and put into its collection and the ledger in one
transaction. What our sensors report of an inject is noted as its detection and goes no further (``ingest``); what
members post is kept in the collection and counts for nothing that is live.
"""

from __future__ import annotations

from threatshare.exercises.ends import END_RULE, end, tend
from threatshare.exercises.injects import MOST_INJECTS, Refused, detect, inject, inject_generated, share
from threatshare.exercises.outcomes import report
from threatshare.exercises.partners import deserted, examine, invite
from threatshare.exercises.starts import Start, named, start

__all__ = [
    "END_RULE",
    "MOST_INJECTS",
    "Refused",
    "Start",
    "deserted",
    "detect",
    "end",
    "examine",
    "inject",
    "inject_generated",
    "invite",
    "named",
    "report",
    "share",
    "start",
    "tend",
]
