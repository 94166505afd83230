"""``/.well-known/security.txt``: whom to tell of a weakness, without credentials (RFC 9116).

Field names and what is demanded of them were read in a late draft of the RFC and in what others publish, not in the
RFC itself: Contact and Expires are required, Expires and Preferred-Languages stand once, web addresses are https, the
content is ``text/plain`` in UTF-8. The file is not signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from http import HTTPStatus

from threatshare.config import OwnContact
from threatshare.ports import Clock
from threatshare.share.errors import Refused
from threatshare.share.negotiation import Environ
from threatshare.share.sidepages import Reply

PATH = "/.well-known/security.txt"
_FAR, _NEAR = 366, 30
"""Days: further ahead RFC 9116 does not advise to promise anything; so near it is time to renew."""


class SecurityTxt:
    """Answers with the file as long as it holds; where none is configured, or it has expired, nothing is here."""

    def __init__(self, contact: OwnContact, clock: Clock) -> None:
        self._contact = contact
        self._clock = clock

    def __call__(self, _environ: Environ) -> Reply:
        """Serves the file."""
        text = security_txt(self._contact, self._clock().date())
        if text is None:
            raise Refused(HTTPStatus.NOT_FOUND, "There is no security.txt here.")
        return Reply(text.encode(), headers=(("Cache-Control", "max-age=3600"),))


def security_txt(contact: OwnContact, today: date) -> str | None:
    """Writes the file; None without an address or a day of expiry, and from the day after that.

    An expired file is worse than none: nobody can tell which of its addresses are still ours.
    """
    if not contact.contact or contact.expires is None or contact.expires < today:
        return None
    return "".join(f"{name}: {value}\n" for name, value in _fields(contact, contact.expires))


def faults(contact: OwnContact, today: date) -> list[str]:
    """Says what is wrong with what the node file tells of security.txt; empty where all is well or nothing is told."""
    if not contact.contact:
        told = (
            contact.expires or contact.encryption or contact.policy or contact.canonical or contact.preferred_languages
        )
        return ["contact.contact is not set: there is no security.txt without an address"] if told else []
    expires = contact.expires
    if expires is None:
        return [
            "contact.expires is not set: security.txt is not served without it (RFC 9116); take a day within a year"
        ]
    left = (expires - today).days
    if left < 0:
        return [f"contact.expires is {expires}, {-left} days ago: security.txt is not served; check the addresses anew"]
    if left > _FAR:
        return [f"contact.expires is {expires}, in {left} days: RFC 9116 advises less than a year"]
    return [f"contact.expires is {expires}, in {left} days: check the addresses and renew it"] if left <= _NEAR else []


def _fields(contact: OwnContact, expires: date) -> Iterator[tuple[str, str]]:
    yield from (("Contact", one) for one in contact.contact)
    yield "Expires", f"{expires}T23:59:59Z"
    yield from (("Encryption", one) for one in contact.encryption)
    if contact.policy is not None:
        yield "Policy", contact.policy
    if contact.preferred_languages:
        yield "Preferred-Languages", ", ".join(contact.preferred_languages)
    yield from (("Canonical", one) for one in contact.canonical)
