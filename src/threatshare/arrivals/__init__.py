"""Findings that arrive by themselves: in a log that grows, in a drop folder, pushed by a tool. Each is taken once.

How far a log or folder was taken is saved in the transaction of the findings, at most CHUNK of them at a time: after
a kill at any moment nothing is lost and nothing comes twice. The files themselves are left as they are.
"""

from __future__ import annotations

from threatshare.arrivals.followed_file import FollowedFile
from threatshare.arrivals.intake import Intake, told
from threatshare.arrivals.posted import take_posted
from threatshare.arrivals.sources import POLL_SECONDS, Failed, Source, Stored, attend, source_of
from threatshare.arrivals.watched_folder import WatchedFolder

__all__ = [
    "POLL_SECONDS",
    "Failed",
    "FollowedFile",
    "Intake",
    "Source",
    "Stored",
    "WatchedFolder",
    "attend",
    "source_of",
    "take_posted",
    "told",
]
