"""What a run did: its report and counts, and what it kept aside."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reject:
    """One line, record or object that was not taken, kept aside with its reason."""

    place: str
    """File and line, URL or object id."""
    reason: str
    text: str = ""
    """The start of what was refused, for a person to look at; stays local."""


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What one run of one feed did; the fields that scripts rely on (`pull --json`)."""

    feed: str
    status: str
    """``ok`` or ``failed``; ``busy``: another run of it is under way, and nothing was done."""
    objects: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    rejected: int = 0
    seconds: float = 0.0
    error: str | None = None
    retry_after: float | None = None
    """Seconds after which the partner asked to be called again."""
    bytes: int = 0
    """Received over the network."""
    stopped: bool = False
    """Whether it was told to stop before its end; the next run goes on from there."""
    doubt: str | None = None
    """What kind of alarm ended it: ``grown``, ``size`` or ``emptied``."""
    alarms: tuple[str, ...] = ()
    """What was raised about the feed in this run and nobody had been told of yet, in words."""
    note: str | None = None
    """What else is to be known of the run, in words."""


@dataclass(slots=True)
class Tally:
    """What the objects of one run did to the store, counted up batch by batch."""

    objects: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    rejected: int = 0
    """Kept aside in the store, each with its reason."""
    bytes: int = 0
    """Received over the network."""
    about: int | None = None
    """How many objects there will be, roughly; None: nobody knows."""
    note: str | None = None
    """What is to be known of the run beside its counts, in words."""
