"""Who sent a mail, as far as our own servers wrote it down: the Received lines, and what authentication they noted.

Each server puts its Received line above those that it got (RFC 5321 §4.4), so the lines from the top down to the one
that took the mail from outside are ours, and everything below was written by the sender. ``X-Sender-IP`` and
``X-Originating-IP`` are never used: their place does not tell who wrote them, and our own line says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

from threatshare.config import Address, OwnAssets
from threatshare.findings.recipients import FREE_MAIL
from threatshare.findings.roles import Ruling
from threatshare.model import Kind, Observable, Role
from threatshare.triage.neighbourhood import network_of

Headers = Sequence[tuple[str, str]]
"""Names in lower case and unfolded values, from top to bottom."""

# --- rulings --------------------------------------------------------------------------------------------------

SENT_BY = Ruling(Role.ATTACKER, "our own mail server took the phishing mail from this address")
_NO_BOUNDARY = Ruling(
    Role.UNKNOWN,
    "none of our mail servers is known to have written this Received line: mail_servers in own-assets.toml would "
    "decide; held",
)
_UNSURE_RELAY = Ruling(
    Role.UNKNOWN,
    "a line above comes from a host that calls itself one of ours, at an address in none of our networks: networks in "
    "own-assets.toml would decide; held",
)
_LOGGED_IN = Ruling(
    Role.UNKNOWN,
    "the sender logged in at our server: a user's own address, unless the account was stolen, which a person must "
    "say; held",
)
_VOUCHED = Ruling(Role.PHISH_SENDER, "our own mail server noted that this domain's authentication passed")
_SPOOFED = Ruling(Role.VICTIM_ASSET, "spoofed: our own mail server noted that DMARC failed for this domain")
_NOT_VOUCHED = Ruling(
    Role.UNKNOWN, "our own mail server noted no authentication that vouches for this address: it may be spoofed; held"
)
_NO_RESULT = Ruling(
    Role.UNKNOWN,
    "no Authentication-Results line of our own mail server says whether this is spoofed: mail_servers in "
    "own-assets.toml would make one ours; held",
)
_CONTRADICTED = Ruling(
    Role.UNKNOWN, "Authentication-Results lines in our server's name contradict each other: its log decides; held"
)
_MAILER = Ruling(Role.THIRD_PARTY, "a bounce address at a service that sends for many")

_MAILERS = frozenset(
    "amazonses.com constantcontact.com hubspotemail.net mailchimpapp.net mailgun.org mailjet.com mandrillapp.com "
    "mcsv.net mcdlv.net rsgsv.net sendgrid.net sendinblue.com sparkpostmail.com".split()
)
"""Domains in whose name bulk mailers take bounces back; their local parts number each recipient."""

# --- Received (RFC 5321 §4.4) -----------------------------------------------------------------------------------

_LONGEST = 8_000
_CLAUSES = frozenset(("from", "by", "via", "with", "id", "for"))
_IP = re.compile(r"(?<![\w.:-])(?:IPv6:)?([0-9A-Fa-f]*[.:][0-9A-Fa-f.:]+)(?![\w.:-])", re.IGNORECASE)
_SAID = re.compile(r"(?i)^\s*(?:HELO|EHLO)\b.*|\b(?:helo|ehlo|ident)=\S+")
"""What the sender said of itself, in the comments of Exim and qmail."""
_VERIFIED = re.compile(r"([\w.-]*\w) \[[^\]]+\]").fullmatch
"""``(name [address])``, as Postfix and Sendmail write it: the name was looked up and leads back to the address."""
_LOGIN = re.compile(r"(?:UTF8)?(?:ESMTP|SMTP|LMTP)S?A\b", re.IGNORECASE).match
"""Protocol names of sessions with a login (RFC 3848, RFC 6531): ESMTPA, ESMTPSA ..."""
_MAILBOX = re.compile(r"(?<![^\s<>\"(),:;@'\[\]])[^\s<>\"(),:;@'\[\]]++@[^\s<>\"(),:;@'\[\]]++").findall
_LOCAL = frozenset(("localhost", "localhost.localdomain", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Hop:
    """One Received line."""

    by: str
    """The server that wrote it; empty where the line cannot be read."""
    said: str = ""
    """What the other end called itself."""
    name: str = ""
    """What the server found the other end to be called, where it looked that up both ways."""
    address: str = ""
    """The other end's address; empty where the line names none, or several."""
    logged_in: bool = False
    at: datetime | None = None
    recipients: tuple[str, ...] = ()


def read_hop(value: str) -> Hop:
    """Reads a Received line; one that names two servers is not readable."""
    text, _, date = value[:_LONGEST].rpartition(";")
    clauses: dict[str, list[str]] = {}
    comments: list[str] = []
    clause: list[str] = []
    for piece, is_comment in _pieces(text or date):
        if not is_comment and piece.lower() in _CLAUSES:
            if piece.lower() in clauses and piece.lower() in ("from", "by"):
                return Hop("", at=read_date(date))
            clause = clauses.setdefault(piece.lower(), [])
            in_from = piece.lower() == "from"
        elif is_comment and "from" in clauses and in_from:
            comments.append(piece)
        elif not is_comment:
            clause.append(piece)
    said = _host("".join(clauses.get("from", [])[:1]))
    verified = next((found[1] for one in comments if (found := _VERIFIED(one))), "")
    return Hop(
        _host("".join(clauses.get("by", [])[:1])),
        said,
        _host(verified),
        _address(comments, said),
        _LOGIN("".join(clauses.get("with", [])[:1])) is not None,
        read_date(date),
        mailboxes(" ".join(clauses.get("for", []))),
    )


def mailboxes(text: str) -> tuple[str, ...]:
    """Gives all mail addresses of a header as written; display names that look like one too."""
    return tuple(_MAILBOX(text))


def read_date(text: str) -> datetime | None:
    """Reads a date of RFC 5322; None where it is none. One without a zone is taken for UTC."""
    try:
        at = parsedate_to_datetime(text.strip()[:200])
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Yields words, and comments without their outer brackets."""
    depth, begin = 0, 0
    for found in re.finditer(r"[()]", text):
        at = found.start()
        if found[0] == "(":
            if depth == 0:
                yield from ((word, False) for word in text[begin:at].split())
                begin = at + 1
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                yield text[begin:at].strip(), True
                begin = at + 1
    if depth == 0:
        yield from ((word, False) for word in text[begin:].split())


def _host(text: str) -> str:
    return text.strip("[]<>;,").removeprefix("IPv6:").rstrip(".").lower()


def _address(comments: list[str], said: str) -> str:
    found = {str(one) for comment in comments for one in _addresses(_SAID.sub("", comment))}
    if not found and any("helo=" in comment for comment in comments):
        found = {str(one) for one in _addresses(said)}  # Exim, where the address has no name
    return found.pop() if len(found) == 1 else ""


def _addresses(text: str) -> Iterator[Address]:
    for match in _IP.finditer(text):
        try:
            address = ip_address(match[1])
        except ValueError:
            continue
        yield getattr(address, "ipv4_mapped", None) or address


# --- the boundary -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a mail came in to us."""

    address: str
    """Of the host that sent it; empty where nothing tells."""
    ruling: Ruling
    at: datetime | None = None
    """By our own server's clock; None where no line of ours is sure."""
    trusted: int = 0
    """How many Received lines, from the top, are ours for sure and lead to the outside."""


def is_our_server(host: str, own: OwnAssets) -> bool:
    """Tells whether a host is one of our mail servers or domains, or below one."""
    if not host:
        return False
    return own.owns_name(host) or any(host == one or host.endswith("." + one) for one in own.mail_servers)


def boundary(hops: Sequence[Hop], own: OwnAssets) -> Boundary:
    """Walks down the lines that our servers wrote to the one that took the mail from outside.

    The sender can write lines in our servers' names below that, but none above it, so the first from outside ends
    the walk.
    """
    unsure: Hop | None = None
    for number, hop in enumerate(hops):
        outside = _is_outside(hop.address, own)
        if hop.by in _LOCAL and not outside:
            continue  # a filter on the same machine
        if not is_our_server(hop.by, own):
            break
        if not outside:
            if hop.address or not hop.said or hop.said in _LOCAL:
                continue
            return Boundary("", _NO_BOUNDARY)  # an end that is not told: nothing below can be trusted
        if hop.logged_in:
            return Boundary(hop.address, _LOGGED_IN, hop.at, number + 1)
        if is_our_server(hop.name, own):
            continue
        if is_our_server(hop.said, own):
            unsure = hop
            continue
        if unsure is not None:
            return Boundary(hop.address, _UNSURE_RELAY)
        return Boundary(hop.address, SENT_BY, hop.at, number + 1)
    if unsure is not None:
        return Boundary(unsure.address, _UNSURE_RELAY)
    return Boundary(next((hop.address for hop in hops if _may_be_sender(hop, own)), ""), _NO_BOUNDARY)


def _is_outside(address: str, own: OwnAssets) -> bool:
    return bool(address) and not own.inside(ip_address(address))


def _may_be_sender(hop: Hop, own: OwnAssets) -> bool:
    """Tells a line from outside that is not a provider's, from one of its machines to another."""
    one_provider = bool(hop.said) and registered(hop.said) == registered(hop.by)
    return _is_outside(hop.address, own) and not one_provider


def registered(name: str) -> str:
    """Gives the registrable domain of a host name."""
    return network_of(Observable(Kind.DOMAIN, name)) if name else ""


# --- Authentication-Results (RFC 8601) ---------------------------------------------------------------------------

_METHOD = re.compile(r"\s*(spf|dkim|dmarc)\s*=\s*([a-z]+)", re.IGNORECASE).match
_DOMAINS = {
    "spf": re.compile(r"\bsmtp\.mailfrom=\"?(?:[^\s@;\"]*@)?([\w.-]+)", re.IGNORECASE).search,
    "dkim": re.compile(r"\bheader\.d=\"?([\w.-]+)", re.IGNORECASE).search,
    "dmarc": re.compile(r"\bheader\.from=\"?(?:[^\s@;\"]*@)?([\w.-]+)", re.IGNORECASE).search,
}


@dataclass(frozen=True, slots=True)
class Authentication:
    """What our own servers noted of a mail: (method, result, domain)."""

    results: frozenset[tuple[str, str, str]] = frozenset()

    def domains(self, method: str, result: str = "pass") -> set[str]:
        """Gives the domains for which a method came to a result."""
        return {domain for found, said, domain in self.results if (found, said) == (method, result)}


def authentication(headers: Headers, trusted: int, own: OwnAssets) -> Authentication | None:
    """Reads the Authentication-Results lines in our servers' names; None where there are none.

    Only those above the first Received line that is not ours count. Between that and our own line the sender could
    have put some; servers must take those in their own name out (RFC 8601 §5).
    """
    found: set[tuple[str, str, str]] = set()
    any_of_ours = False
    received = 0
    for name, value in headers:
        received += name == "received"
        if received > trusted or not trusted:
            break
        if name == "authentication-results":
            server, *results = " ".join(
                piece for piece, is_comment in _pieces(value[:_LONGEST]) if not is_comment
            ).split(";")
            if is_our_server(_host(server.split(" ")[0]), own):
                any_of_ours = True
                found.update(one for text in results if (one := _result(text)) is not None)
    return Authentication(frozenset(found)) if any_of_ours else None


def _result(text: str) -> tuple[str, str, str] | None:
    method = _METHOD(text)
    if method is None:
        return None
    domain = _DOMAINS[method[1].lower()](text)
    return method[1].lower(), method[2].lower(), domain[1].lower().rstrip(".") if domain else ""


def sender_ruling(header: str, address: str, author: str, noted: Authentication | None) -> Ruling:
    """Rules on an address of ``from``, ``sender``, ``reply-to`` or ``return-path``; ``author`` is the one of From."""
    domain, author_domain = address.rpartition("@")[2], author.rpartition("@")[2]
    if header == "return-path" and registered(domain) in _MAILERS:
        return _MAILER
    if noted is None:
        return _NO_RESULT
    said = {result for method, result, of in noted.results if method == "dmarc" and _aligned(of, author_domain)}
    if {"pass", "fail"} <= said:
        return _CONTRADICTED
    if "fail" in said and _aligned(domain, author_domain):
        return _SPOOFED
    if header == "return-path":
        return _VOUCHED if domain in noted.domains("spf") else _NOT_VOUCHED
    if header != "from" and domain in FREE_MAIL and address != author:
        return _NOT_VOUCHED  # the provider vouches for the author's mailbox, not for another's
    passed = noted.domains("spf") | noted.domains("dkim") | (noted.domains("dmarc") if "pass" in said else set())
    return _VOUCHED if any(_aligned(domain, one) for one in passed) else _NOT_VOUCHED


def _aligned(one: str, other: str) -> bool:
    """Compares by registrable domain, as DMARC does unless told otherwise (RFC 7489 §3.1)."""
    return bool(one) and registered(one) == registered(other)
