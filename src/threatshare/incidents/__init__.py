"""Incident reports: written and revised from what we know of our own indicators, listed, shown, withdrawn.

    draft -> what it names -> how it must be marked -> build -> look for private data -> store

Afterwards a report goes the way of every object of ours: ``publish`` asks the gate about each version. Another
organisation gets it once it has all that the report names, and once people have released that very text.
"""

from __future__ import annotations

from threatshare.incidents.drafts import Draft, Written
from threatshare.incidents.kept import Incident, listed, shown, withdraw
from threatshare.incidents.writing import revise, write

__all__ = [
    "Draft",
    "Incident",
    "Written",
    "listed",
    "revise",
    "shown",
    "withdraw",
    "write",
]
