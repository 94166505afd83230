"""The words everyone shares: observables, findings, claims, decisions. Values only, no behaviour that does I/O.

Times are aware UTC datetimes at the edges (suffix ``_at``) and integers of microseconds
since 1970-01-01 UTC inside the store and on the hot paths (type ``Micros``).
"""

from __future__ import annotations

from threatshare.model.claims import Claim, Opinion
from threatshare.model.collections import (
    DEFAULT_ROOT,
    Account,
    Collection,
    CollectionKind,
    EmptyPage,
    Fields,
    Form,
    TlpIds,
    View,
)
from threatshare.model.decisions import Decision, Reason, Verdict
from threatshare.model.findings import MOST_COUNTED, Finding, Observation, Removal, Role, Seen
from threatshare.model.markings import Action, Marking, Pap, Tlp
from threatshare.model.observables import Kind, Observable, host_of
from threatshare.model.runs import FeedReport, Reject, Tally
from threatshare.model.scores import BANDS, Evidence, Score, band_of
from threatshare.model.times import Micros, micros, moment

__all__ = [
    "BANDS",
    "DEFAULT_ROOT",
    "MOST_COUNTED",
    "Account",
    "Action",
    "Claim",
    "Collection",
    "CollectionKind",
    "Decision",
    "EmptyPage",
    "Evidence",
    "FeedReport",
    "Fields",
    "Finding",
    "Form",
    "Kind",
    "Marking",
    "Micros",
    "Observable",
    "Observation",
    "Opinion",
    "Pap",
    "Reason",
    "Reject",
    "Removal",
    "Role",
    "Score",
    "Seen",
    "Tally",
    "Tlp",
    "TlpIds",
    "Verdict",
    "View",
    "band_of",
    "host_of",
    "micros",
    "moment",
]
