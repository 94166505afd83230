"""How others reach us, as ``node.toml`` says it."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from threatshare.config.values import LanguageTag, Uri


class OwnContact(Struct, frozen=True, forbid_unknown_fields=True):
    """``[contact]``: how others reach us; ``security.txt`` (RFC 9116), and our description after RFC 2350."""

    contact: tuple[Uri, ...] = ()
    """Addresses for reports on security, the preferred first; with it and ``expires`` our server has a security.txt."""
    expires: date | None = None
    """The last day on which these addresses count; RFC 9116 advises less than a year ahead."""
    encryption: tuple[Uri, ...] = ()
    """Where our keys are, never a key itself."""
    policy: Uri | None = None
    """Where our policy on disclosure is."""
    preferred_languages: tuple[LanguageTag, ...] = ()
    """In which reports are best written."""
    canonical: tuple[Uri, ...] = ()
    """Where security.txt is served; readers distrust one that was found elsewhere."""
    team: str | None = None
    """Name of the team; without it the organisation's."""
    address: str | None = None
    """Postal address."""
    time_zone: str | None = None
    """Offset from UTC, in summer too."""
    telephone: str | None = None
    """With the country's code."""
    other_telecommunication: str | None = None
    """Other ways than telephone and mail."""
    email: str | None = None
    """Read by whoever is on duty."""
    keys: str | None = None
    """Fingerprints of our keys, and where they are."""
    members: str | None = None
    """Who the team is; a desk rather than names."""
    customer_contact: str | None = None
    """How those whom we serve reach us, and at what hours."""
    other_information: str | None = None
    """Where more is said."""
    mission: str | None = None
    """What the team is for."""
    constituency: str | None = None
    """Whom it serves."""
    affiliation: str | None = None
    """Whom it belongs to, who pays for it, what it is a member of."""
    authority: str | None = None
    """What it may decide."""
    incidents: str | None = None
    """Types of incidents that it takes, and the support that it gives."""
    cooperation: str | None = None
    """With whom it works, and what it passes on."""
    authentication: str | None = None
    """How it speaks with others, and how they know that it is us."""
    incident_response: str | None = None
    """Its services when something has happened."""
    proactive: str | None = None
    """Its services before anything happens."""
    reporting_forms: str | None = None
    """Where the forms for reports are."""
    disclaimers: str | None = None
    """What it does not answer for."""
    updated: date | None = None
    """When this description was last changed."""
    distribution: str | None = None
    """Who is told of changes of it."""
    location: str | None = None
    """Where it is published."""
