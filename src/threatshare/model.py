"""The words everyone shares: observables, findings, claims, decisions. Values only, no behaviour that does I/O.

Times are aware UTC datetimes at the edges (suffix ``_at``) and integers of microseconds
since 1970-01-01 UTC inside the store and on the hot paths (type ``Micros``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeVar

Micros = int
"""Microseconds since 1970-01-01T00:00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> Micros:
    """Converts an aware datetime, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: Micros) -> datetime:
    """Converts back, exactly."""
    return _EPOCH + timedelta(microseconds=at)


class Kind(StrEnum):
    """What an observable is: a STIX type, and for files the hash algorithm in STIX spelling."""

    IPV4 = "ipv4-addr"
    IPV6 = "ipv6-addr"
    DOMAIN = "domain-name"
    URL = "url"
    EMAIL = "email-addr"
    MAC = "mac-addr"
    MD5 = "file:MD5"
    SHA1 = "file:SHA-1"
    SHA256 = "file:SHA-256"
    SHA512 = "file:SHA-512"
    PATTERN = "pattern"
    """A pattern kept whole because it is more than one ``=`` comparison; the value is its normalised text."""

    @property
    def stix_type(self) -> str:
        """The STIX type alone, e.g. ``file`` for every hash."""
        return self.value.partition(":")[0]

    @property
    def algorithm(self) -> str | None:
        """The STIX hash algorithm, or None where the observable is no file hash."""
        return self.value.partition(":")[2] or None


class Observable(NamedTuple):
    """One canonical value with its kind: the unit that is merged, scored and looked up.

    A named tuple, since millions are made and hashed on the way in.
    """

    kind: Kind
    value: str
    """Canonical text, see ``stix.observables``; a network is written address/prefix."""


def host_of(url: str) -> str:
    """Gives the host of a canonical URL, an IPv6 address without its brackets; empty where it has none."""
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


class Tlp(IntEnum):
    """TLP 2.0 labels in order of restriction (FIRST, August 2022)."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    AMBER_STRICT = 3
    RED = 4

    @property
    def label(self) -> str:
        """The label in lower case, e.g. ``amber+strict``."""
        return self.name.lower().replace("_", "+")


class Pap(IntEnum):
    """PAP labels in order of restriction (MISP taxonomy PAP, version 3): what may be done, not who may know."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    RED = 3


class Action(IntEnum):
    """What may be done with information, the freest first (FIRST IEP 2.0, ``permitted_actions``)."""

    EXTERNALLY_VISIBLE_DIRECT = 0
    EXTERNALLY_VISIBLE_INDIRECT = 1
    INTERNALLY_VISIBLE = 2
    CONTACT_FOR_INSTRUCTION = 3
    NONE = 4


@dataclass(frozen=True, slots=True)
class Marking:
    """The effective marking of one object: object and granular markings, most restrictive wins.

    The defaults restrict nothing. ``joined`` is the join of a semilattice: whatever the order and however often
    markings are put together, the outcome is the same, and never less restrictive than any of them.
    """

    tlp: Tlp | None
    """None: the object carries no TLP marking at all."""
    unknown: tuple[str, ...] = ()
    """References to markings that this node cannot read; any of them refuses release."""
    pap: Pap | None = None
    may_block: bool = True
    """False: it must not be acted on where an attacker could notice, so no blocking."""
    resharing: bool = True
    """False: it stays in our own organisation, whatever its TLP."""
    policy_tlp: Tlp | None = None
    """What a policy (IEP, ACS) says of TLP: it restricts further, and never stands in for a TLP marking."""
    permitted: Action | None = None
    """None: no policy says."""
    must_name: bool = False
    """Whoever passes it on names who gave it."""
    must_not_name: bool = False
    """Whoever passes it on must not show who gave it."""
    notifications: bool = True
    """False: those whom it shows to be affected must not be told."""
    resale: bool = True
    """False: it must not be sold as it came."""
    encrypted: bool = False
    """It is encrypted where it is sent on."""
    begins: Micros | None = None
    """From when on its policies hold."""
    ends: Micros | None = None
    """Until when its policies hold; what they allow ends then, what they forbid does not."""
    statements: tuple[str, ...] = ()
    """Ids of markings that are statements for people, in order."""
    policies: tuple[str, ...] = ()
    """Ids of markings that were read from their source's definitions, in order."""
    exercise: bool = False
    """A statement says that it is of an exercise, so nothing live."""

    def joined(self, other: Marking) -> Marking:
        """Gives the marking of what bears both: of each property the most restrictive."""
        return Marking(
            _stricter(self.tlp, other.tlp),
            _both(self.unknown, other.unknown),
            _stricter(self.pap, other.pap),
            self.may_block and other.may_block,
            self.resharing and other.resharing,
            _stricter(self.policy_tlp, other.policy_tlp),
            _stricter(self.permitted, other.permitted),
            self.must_name or other.must_name,
            self.must_not_name or other.must_not_name,
            self.notifications and other.notifications,
            self.resale and other.resale,
            self.encrypted or other.encrypted,
            _stricter(self.begins, other.begins),
            other.ends if self.ends is None else self.ends if other.ends is None else min(self.ends, other.ends),
            _both(self.statements, other.statements),
            _both(self.policies, other.policies),
            self.exercise or other.exercise,
        )

    def holds_at(self, now: Micros) -> bool:
        """Tells whether every policy that it names has begun and none has ended."""
        return (self.begins is None or self.begins <= now) and (self.ends is None or now <= self.ends)

    def may_block_at(self, now: Micros) -> bool:
        """Tells whether a value may be blocked on this information's word: all is read, and what allows it holds."""
        return self.may_block and not self.unknown and self.holds_at(now)


_Ordered = TypeVar("_Ordered", bound=int)


def _stricter(one: _Ordered | None, other: _Ordered | None) -> _Ordered | None:
    if one is None:
        return other
    return one if other is None or one >= other else other


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return one if one == other else tuple(sorted({*one, *other}))


class Role(StrEnum):
    """What part a value plays in a finding. Only the first four may become indicators."""

    ATTACKER = "attacker"
    C2 = "c2"
    PAYLOAD = "payload"
    PHISH_SENDER = "phish-sender"
    KNOWN_INDICATOR = "known-indicator"
    """The sensor matched a list: becomes a sighting, never a new indicator."""
    VICTIM_ASSET = "victim-asset"
    SENSOR = "sensor"
    THIRD_PARTY = "third-party"
    REFERENCE = "reference"
    UNKNOWN = "unknown"
    """Held for a person, never guessed."""

    @property
    def is_indicator(self) -> bool:
        """Whether a value in this role may become an indicator of ours."""
        return self in _INDICATOR_ROLES


_INDICATOR_ROLES = frozenset({Role.ATTACKER, Role.C2, Role.PAYLOAD, Role.PHISH_SENDER})


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of a finding, with the role that the rules gave it."""

    observable: Observable
    role: Role
    why: str
    """The rule that decided the role, in words for an analyst."""
    original: str
    """The text as it stood in the input; stays local."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Something private that was cut out of a value before it became an observable; only its keyed hash is kept."""

    rule: str
    """Stable id, e.g. ``recipient-in-url``."""
    part: str
    """Where it stood in the input, e.g. ``body``."""
    value: str = field(repr=False)
    """What was cut out; never stored, logged or shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one internal tool reported, reduced to values with roles. Everything here stays local."""

    sensor: str
    """The reader's name, e.g. ``suricata-eve``."""
    title: str
    """The tool's own words; never leaves the node."""
    seen_at: datetime
    """When it was first observed, UTC."""
    last_seen_at: datetime
    observations: tuple[Observation, ...]
    place: str
    """Where it was read: file and line."""
    confidence: int | None = None
    """The tool's confidence, 0-100, where it states one."""
    techniques: tuple[str, ...] = ()
    """ATT&CK technique ids that the finding names, e.g. ``T1566.002``."""
    count: int = 1
    """How many events the tool says it stands for."""
    tlp: Tlp | None = None
    """The marking that the finding itself carries, where its format has markings."""
    removals: tuple[Removal, ...] = ()


MOST_COUNTED = 999_999_999
"""So many events are counted at most: what a STIX sighting can say (STIX 2.1 §5.2)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One observable in one role, as one sensor saw it so far."""

    observable: Observable
    role: Role
    sensor: str
    why: str
    first_seen: Micros
    last_seen: Micros
    count: int
    confidence: int | None = None
    techniques: tuple[str, ...] = ()
    tlp: Tlp | None = None
    """The most restrictive marking that any of the findings carried."""

    def joined(self, other: Seen) -> Seen:
        """Puts two records of the same observable, role and sensor together."""
        stated = [one for one in (self.confidence, other.confidence) if one is not None]
        return replace(
            self,
            why=other.why,
            first_seen=min(self.first_seen, other.first_seen),
            last_seen=max(self.last_seen, other.last_seen),
            count=min(self.count + other.count, MOST_COUNTED),
            confidence=max(stated, default=None),
            techniques=tuple(sorted({*self.techniques, *other.techniques})),
            tlp=max((one for one in (self.tlp, other.tlp) if one is not None), default=None),
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """One line, record or object that was not taken, kept aside with its reason."""

    place: str
    """File and line, URL or object id."""
    reason: str
    text: str = ""
    """The start of what was refused, for a person to look at; stays local."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One source's assertion about one observable, as far as the score needs it."""

    source: str
    indicator_id: str
    origin: str
    """Who said it first (``created_by_ref``, feed lineage, else the source): copies of one origin count once."""
    reliability: str
    """Admiralty A-F of the source."""
    confidence: int | None
    """The producer's claim 0-100; None is "unspecified", never zero."""
    observed: Micros
    """When that source last said so."""
    valid_from: Micros
    valid_until: Micros | None
    revoked: bool = False
    benign: bool = False
    """Its indicator types say benign or anomalous only: it is no evidence of malice."""
    marking: Marking = Marking(None)


class Opinion(NamedTuple):
    """What one source thinks of an indicator of ours; its latest word."""

    source: str
    word: str
    """Of opinion-enum (STIX 2.1 §10.24), e.g. ``strongly-agree``."""
    reliability: str
    """Admiralty A-F of the source."""
    of_ais: bool = False
    """CISA's, whose scale means less by ``agree`` than others'."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What moves a score beside the claims."""

    false_positives: int = 0
    """Reports of a false positive by trusted analysts."""
    confirmed_sightings: int = 0
    """Own sightings that a person or a sensor confirmed as true positive."""
    own_asset: bool = False
    known_benign: str | None = None
    """Name of the known-benign list that holds the value."""
    opinions: tuple[Opinion, ...] = ()
    """Partners' opinions on our indicators of the value, in order, one a source."""


@dataclass(frozen=True, slots=True)
class Score:
    """Our judgement of one observable."""

    value: int
    """0-100."""
    terms: tuple[str, ...]
    """The explanation, one line a term, in the order in which they acted."""
    next_change: Micros | None
    """When the value next crosses a band by time alone, never late; None: never."""

    @property
    def band(self) -> str:
        """``none`` 0, ``low`` 1-29, ``medium`` 30-69, ``high`` 70-100 (STIX 2.1 Appendix A, N/L/M/H)."""
        return band_of(self.value)


BANDS: tuple[tuple[int, str], ...] = ((70, "high"), (30, "medium"), (1, "low"), (0, "none"))


def band_of(value: int) -> str:
    """Names the band of a score 0-100."""
    return next(name for floor, name in BANDS if value >= floor)


class Verdict(StrEnum):
    """What the gate says of one object for one audience."""

    RELEASE = "release"
    HOLD = "hold"
    """It may leave once a person or a date removes the obstacle."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule's word on an object; a decision carries all of them."""

    rule: str
    """Stable id, e.g. ``marking-ceiling``."""
    verdict: Verdict
    text: str
    """For a person: what was found and what would change it. Never the value itself."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's answer: the most restrictive verdict, with every reason."""

    verdict: Verdict
    reasons: tuple[Reason, ...]


class CollectionKind(StrEnum):
    """What a TAXII collection is for."""

    SIEM = "siem"
    """Merged and scored, for our own tools."""
    INTERNAL = "internal"
    """Our indicators, for our own organisation."""
    PARTNER = "partner"
    """Our indicators, for one partner under its agreement."""
    INBOX = "inbox"
    """Partners write to it; it goes through the same ingest as feeds."""
    EXCHANGE = "exchange"
    """A hub's collection: what members post, members read."""
    EXERCISE = "exercise"
    """Of one joint exercise: nothing live enters it, and nothing in it counts anywhere else."""


class TlpIds(StrEnum):
    """Which marking definitions say the TLP of what a collection serves."""

    TLP1 = "1"
    """Of TLP 1, the only ones that some consumers know; TLP 2.0's where TLP 1 has none."""
    TLP2 = "2"
    BOTH = "both"


class Form(StrEnum):
    """As what a collection tells of a value."""

    INDICATORS = "indicators"
    OBSERVED_DATA = "observed-data"
    """For consumers that read no patterns."""


class Fields(StrEnum):
    """How much an object says."""

    ALL = "all"
    MINIMAL = "minimal"
    """What the standard demands, and what consumers act on."""


class EmptyPage(StrEnum):
    """How a page without objects is written."""

    OBJECTS = "objects"
    """With an empty list, without which some consumers fail."""
    BARE = "bare"
    """Without a list, as the standard has it."""


@dataclass(frozen=True, slots=True)
class View:
    """How the consumers of a collection want its content (docs/decisions/0011-views.md)."""

    tlp: TlpIds = TlpIds.TLP2
    form: Form = Form.INDICATORS
    fields: Fields = Fields.ALL
    empty_page: EmptyPage = EmptyPage.OBJECTS


DEFAULT_ROOT = "api"
"""The API root that every node has; its name stands in addresses."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A TAXII collection of this node."""

    number: int
    """Row id; the high part of every entry's sequence number."""
    id: str
    """UUID, as in the URL."""
    alias: str
    title: str
    kind: CollectionKind
    partner: str | None = None
    root: str = DEFAULT_ROOT
    """The API root that it stands under."""
    view: View = View()


@dataclass(frozen=True, slots=True)
class Account:
    """Who may use the TAXII server, and for what."""

    name: str
    read: frozenset[str]
    """Aliases of collections that it may read."""
    write: frozenset[str]


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
    taken: int = 0
    """Bytes of the objects that were taken."""
    about: int | None = None
    """How many objects there will be, roughly; None: nobody knows."""
