"""Phishing mail (RFC 5322, MIME) that a person or a tool handed in: what it links to, brings along, and who sent it.

A mail that holds another as an attachment is a report: the attached one is the phish, and whoever attached it is a
recipient. Recipients never leave, also not inside links; neither do subjects, texts, message ids or names of files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.events import Event, Proposal, finding_of
from threatshare.findings.formats.mail_hops import (
    Authentication,
    Headers,
    authentication,
    boundary,
    mailboxes,
    read_date,
    registered,
    sender_ruling,
)
from threatshare.findings.formats.mail_links import Found, Use, found_in_html, found_in_text, unwrapped
from threatshare.findings.formats.mail_parts import (
    MAX_MAIL,
    RECIPIENTS,
    SENDERS,
    UNREADABLE,
    Phish,
    bytes_of,
    charset_of,
    hops_of,
    is_attachment,
    is_mail,
    is_text,
    parsed,
    parts,
    phishes,
    refused,
)
from threatshare.findings.formats.markup import text_of
from threatshare.findings.recipients import FREE_MAIL, Recipients, without_recipients
from threatshare.findings.records import file_time, reject
from threatshare.findings.roles import Ruling
from threatshare.findings.third_parties import on_third_party_host
from threatshare.model import Finding, Kind, Observable, Reject, Removal, Role, host_of

MAX_VALUES = 5_000
"""Links, names and addresses of one mail's body."""
MAX_RECIPIENTS = 10_000
_LONGEST_SUBJECT = 1_000

# --- tables ---------------------------------------------------------------------------------------------------

_ALGORITHMS = ((Kind.MD5, "md5"), (Kind.SHA1, "sha1"), (Kind.SHA256, "sha256"))
_FORWARDED_SUBJECT = re.compile(r"(?i)\s*(?:fwd?|wg|tr|rv|enc|doorst|vs|vl|vb|pd|i)\s?:").match
_FORWARDED_BODY = re.compile(
    r"(?i)(?<!-)-{3,}+\s?(?:original message|forwarded (?:message|by)|original-nachricht|weitergeleitete nachricht|"
    r"urspr(?:ü|&uuml;)ngliche nachricht|message d'origine|message transf(?:é|&eacute;)r(?:é|&eacute;)|"
    r"mensaje (?:reenviado|original)|messaggio (?:inoltrato|originale))\b|\bbegin forwarded message:"
).search

_PAYLOAD_LINK = Ruling(Role.PAYLOAD, "a link of a reported phishing mail")
_ATTACHMENT = Ruling(Role.PAYLOAD, "an attachment of a reported phishing mail")
_REDIRECTOR = Ruling(Role.THIRD_PARTY, "a redirector that a mail filter puts before links")
_SHOWN = Ruling(Role.REFERENCE, "what a link shows, while it leads elsewhere: the site that is imitated")
_PICTURE = Ruling(
    Role.REFERENCE, "a picture or style: mails fetch those of whom they imitate, and none is where a victim is led"
)
_PICTURE_THERE = Ruling(Role.UNKNOWN, "a picture on a site that the mail's links lead to; a person can decide; held")
_ON_SERVICE = Ruling(Role.UNKNOWN, "on a public service's host, which others use too: a person must say; held")
_SPOOFED_SITE = Ruling(Role.THIRD_PARTY, "on the domain that the sender pretended to write from")
_CLAIMED_SITE = Ruling(
    Role.UNKNOWN,
    "on the domain that the mail claims to come from, and nothing shows whether that is spoofed: our mail server's "
    "Authentication-Results would decide; held",
)
_MENTIONED = Ruling(Role.UNKNOWN, "named in the text of a phishing mail: what the sentence says would decide; held")
_WRITE_TO = Ruling(
    Role.UNKNOWN, "a mail address in a phishing mail's text: whether it is the sender's, a person must say; held"
)
_SENDER_DOMAIN = Ruling(
    Role.UNKNOWN,
    "the authenticated sender's domain: its own, or that of an organisation whose mailbox was taken over; its age "
    "would decide; held",
)
_FORWARDED = Ruling(
    Role.UNKNOWN,
    "the mail looks forwarded or quoted in its text, so this may be the reporter's: hand in the mail itself, as an "
    "attachment; held",
)
_TITLE = "phishing mail"


class MailReader:
    """Reads one mail a file."""

    name = "email"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells a mail from other text by its header lines: From, and one that only mail has."""
        return is_mail(head)

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for the mail, or for each mail attached to it; one Reject where it cannot be read."""
        now = datetime.now(UTC)
        written_at = file_time(stream)
        data = stream.read(MAX_MAIL + 1)
        reason = refused(data)
        if reason is not None:
            yield reject(place, 1, reason, b"")
            return
        try:
            found = list(phishes(parsed(data), (), 0))
        except UNREADABLE as problem:
            yield reject(place, 1, _unreadable(problem), b"")
            return
        for number, one in enumerate(found, start=1):
            where = f"{place}:1" if number == 1 else f"{place}:1 (attached mail {number})"
            try:
                if isinstance(one, str):
                    raise BadValue(one)
                finding = finding_of(_event(one, own, now, written_at), self.name, where, own)
            except UNREADABLE as problem:
                yield Reject(where, _unreadable(problem))
            else:
                if finding is not None:
                    yield finding


def _unreadable(problem: Exception) -> str:
    return str(problem) if isinstance(problem, BadValue) else f"a mail that cannot be read: {type(problem).__name__}"


# --- one phish ------------------------------------------------------------------------------------------------------


def _event(phish: Phish, own: OwnAssets, now: datetime, written_at: datetime) -> Event:
    hops = hops_of(phish.headers)
    came = boundary(hops, own)
    noted = authentication(phish.headers, came.trusted, own)
    addresses = {one for name, value in phish.headers if name in RECIPIENTS for one in mailboxes(value)}
    addresses.update(one for hop in hops for one in hop.recipients)
    addresses.update(phish.reporters)
    if len(addresses) > MAX_RECIPIENTS:
        raise BadValue(f"a mail to more than {MAX_RECIPIENTS} recipients")
    reading = _Reading(Recipients(addresses, own), noted, _author(phish.headers), _is_forwarded(phish))
    if came.address:
        reading.propose(None, came.address, came.ruling)
    reading.senders(phish.headers)
    reading.body(phish.message)
    dated = (came.at, *(read_date(value) for name, value in phish.headers if name == "date"), written_at)
    seen_at = next((at for at in dated if at is not None and at <= now), now)
    return Event(_TITLE, seen_at, reading.proposals, removals=tuple(reading.removals))


def _author(headers: Headers) -> str:
    return next((_mailbox(value).lower() for name, value in headers if name == "from"), "")


def _mailbox(value: str) -> str:
    """Gives the address of a header; what stands in angle brackets, since a display name may look like one."""
    found = mailboxes(value[value.rfind("<") :]) if "<" in value else ()
    return next(iter(found or mailboxes(value)), "")


def _is_forwarded(phish: Phish) -> bool:
    subject = next((value for name, value in phish.headers if name == "subject"), "")[:_LONGEST_SUBJECT]
    if "=?" in subject:
        try:
            subject = str(make_header(decode_header(subject)))
        except UNREADABLE:
            subject = ""
    return _FORWARDED_SUBJECT(subject) is not None or any(
        _FORWARDED_BODY(text_of(bytes_of(part), charset_of(part))) is not None
        for part in parts(phish.message)
        if is_text(part)
    )


class _Reading:
    """Collects what one phish proposes, and what was cut out of it."""

    def __init__(self, recipients: Recipients, noted: Authentication | None, author: str, forwarded: bool) -> None:
        self.proposals: list[Proposal] = []
        self.removals: list[Removal] = []
        self._recipients = recipients
        self._noted = noted
        self._author = author
        self._forwarded = forwarded
        self._led_to: set[str] = set()
        """Registrable domains of the links that count."""

    def propose(self, kind: Kind | None, text: str, ruling: Ruling) -> None:
        """Takes a value; in a mail that may be forwarded in its text, only attachments are sure."""
        open_or_bad = ruling.role.is_indicator or ruling.role is Role.UNKNOWN
        if self._forwarded and open_or_bad and ruling is not _ATTACHMENT:
            ruling = _FORWARDED
        self.proposals.append(Proposal(kind, text, ruling))

    def senders(self, headers: Headers) -> None:
        """Takes the addresses that the mail names as its senders."""
        for name, value in headers:
            address = _mailbox(value) if name in SENDERS else ""
            if not address or self._names_recipient(address, name):
                continue
            address = address.lower()
            ruling = sender_ruling(name, address, self._author, self._noted)
            self.propose(Kind.EMAIL, address, ruling)
            domain = address.rpartition("@")[2]
            if name == "from" and ruling.role is Role.PHISH_SENDER and domain not in FREE_MAIL:
                self.propose(Kind.DOMAIN, domain, _SENDER_DOMAIN)

    def body(self, message: Message) -> None:
        """Takes links and names of the texts, and hashes of the attachments."""
        found: dict[Found, None] = {}
        for part in parts(message):
            data, kind = bytes_of(part), part.get_content_type()
            if is_text(part):
                text = text_of(data, charset_of(part))
                for one in found_in_html(text) if kind == "text/html" else found_in_text(text):
                    found[one] = None
                    if len(found) > MAX_VALUES:
                        raise BadValue(f"a mail of more than {MAX_VALUES} links and names")
            elif data and is_attachment(part):
                for algorithm, name in _ALGORITHMS:
                    self.propose(algorithm, hashlib.new(name, data, usedforsecurity=False).hexdigest(), _ATTACHMENT)
        # Links first: where a value turns up twice, what leads somewhere says what it is.
        for use in Use:
            for one in found:
                if one.use is use:
                    self._take(one)

    def _take(self, found: Found) -> None:
        if found.kind is not Kind.URL:
            if not self._names_recipient(found.text, "body"):
                ruling = _WRITE_TO if found.kind is Kind.EMAIL else _MENTIONED
                self.propose(found.kind, found.text, _SHOWN if found.use is Use.SHOWN else ruling)
            return
        url, wrappers = unwrapped(found.text) if found.use is Use.LINK else (found.text, ())
        for host in wrappers:
            if not self._names_recipient(host, "body"):
                self.propose(Kind.DOMAIN, host, _REDIRECTOR)
        cut = without_recipients(url, self._recipients) if url else None
        if cut is None:
            return
        self.removals.extend(cut.removals)
        if cut.observable is not None:
            self.propose(*cut.observable, self._of_url(cut.observable, cut.hold, found.use))

    def _of_url(self, observable: Observable, hold: str | None, use: Use) -> Ruling:
        kind, value = observable
        site = registered(host_of(value) if kind is Kind.URL else value)
        if use is Use.SHOWN:
            return _SHOWN
        if use is Use.PICTURE:
            return _PICTURE_THERE if site in self._led_to else _PICTURE
        if hold is not None:
            return Ruling(Role.UNKNOWN, hold)
        if on_third_party_host(observable):
            return _ON_SERVICE
        if self._author and site == registered(self._author.rpartition("@")[2]):
            claimed = sender_ruling("from", self._author, self._author, self._noted).role
            if claimed is not Role.PHISH_SENDER:
                return _SPOOFED_SITE if claimed is Role.VICTIM_ASSET else _CLAIMED_SITE
        self._led_to.add(site)
        return _PAYLOAD_LINK

    def _names_recipient(self, text: str, part: str) -> bool:
        """Tells whether an address or name is or holds a recipient's, and notes that it was left out."""
        if not self._recipients.are_in(text) and not self._recipients.are_in_host(text.rpartition("@")[2]):
            return False
        self.removals.append(Removal("recipient-in-address", part, text))
        return True
