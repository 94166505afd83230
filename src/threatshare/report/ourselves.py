"""Our description in the form of RFC 2350, from what ``[contact]`` in the node file says.

Headings and numbers are those of the outline in RFC 2350 (June 1998), as teams use it that publish theirs; the RFC's
own text was not at hand, only its table of contents and published descriptions.
"""

from __future__ import annotations

from threatshare.config import OwnContact
from threatshare.report.sheet import Block, Sheet

UNSAID = "not stated"

_OUTLINE: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "1 Document Information",
        (
            ("1.1 Date of Last Update", "updated"),
            ("1.2 Distribution List for Notifications", "distribution"),
            ("1.3 Locations where this Document May Be Found", "location"),
        ),
    ),
    (
        "2 Contact Information",
        (
            ("2.1 Name of the Team", "team"),
            ("2.2 Address", "address"),
            ("2.3 Time Zone", "time_zone"),
            ("2.4 Telephone Number", "telephone"),
            ("2.5 Facsimile Number", ""),
            ("2.6 Other Telecommunication", "other_telecommunication"),
            ("2.7 Electronic Mail Address", "email"),
            ("2.8 Public Keys and Encryption Information", "keys"),
            ("2.9 Team Members", "members"),
            ("2.10 Other Information", "other_information"),
            ("2.11 Points of Customer Contact", "customer_contact"),
        ),
    ),
    (
        "3 Charter",
        (
            ("3.1 Mission Statement", "mission"),
            ("3.2 Constituency", "constituency"),
            ("3.3 Sponsorship and/or Affiliation", "affiliation"),
            ("3.4 Authority", "authority"),
        ),
    ),
    (
        "4 Policies",
        (
            ("4.1 Types of Incidents and Level of Support", "incidents"),
            ("4.2 Co-operation, Interaction and Disclosure of Information", "cooperation"),
            ("4.3 Communication and Authentication", "authentication"),
        ),
    ),
    ("5 Services", (("5.1 Incident Response", "incident_response"), ("5.2 Proactive Activities", "proactive"))),
    ("6 Incident Reporting Forms", (("Forms", "reporting_forms"),)),
    ("7 Disclaimers", (("Disclaimers", "disclaimers"),)),
)
"""Heading by heading: what it is called, and the key that says it; empty where nothing is ever said."""


def description(contact: OwnContact, name: str) -> Sheet:
    """Gives our description; ``name`` stands where the team has no name of its own."""
    return Sheet(
        f"{contact.team or name}: description after RFC 2350",
        "TLP:CLEAR",
        "Who we are, how to reach us, whom we serve and how we work.",
        tuple(
            Block(heading, tuple((what, _said(contact, key, name)) for what, key in parts))
            for heading, parts in _OUTLINE
        ),
    )


def unsaid(contact: OwnContact) -> list[str]:
    """Names the keys of ``[contact]`` without which the description says nothing under a heading."""
    keys = [key for _, parts in _OUTLINE for _, key in parts if key and key != "team"]
    return [key for key in keys if not _value(contact, key)]


def _said(contact: OwnContact, key: str, name: str) -> str:
    if key == "team":
        return contact.team or name
    return _value(contact, key) or UNSAID


def _value(contact: OwnContact, key: str) -> str:
    if key == "keys":
        return ", ".join(one for one in (contact.keys, *contact.encryption) if one)
    value = getattr(contact, key) if key else None
    return "" if value is None else str(value)
