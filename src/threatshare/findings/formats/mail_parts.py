"""The parts of a mail: which of the mails in it is the phish, which parts are its text, which its attachments.

Headers are read as raw text (``email.policy.compat32``): the newer policy parses each address list and encoded word
with a grammar that took 6 to 12 seconds for a header of 140 to 280 kB and raises RecursionError on brackets; mails
come from attackers.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import MessageError
from email.message import Message

from threatshare.errors import BadValue
from threatshare.findings.formats.mail_hops import Headers, Hop, mailboxes, read_hop

MAX_MAIL = 32 * 1024 * 1024
"""Bytes of one mail with its attachments."""
MAX_LINES = 1_000_000
MAX_MULTIPARTS = 64
"""The parser compares each line with the boundary of each open multipart."""
MAX_PARTS = 1_000
MAX_HOPS = 100
MAX_DEPTH = 8
"""Mails attached to mails attached to mails."""

# --- tables ---------------------------------------------------------------------------------------------------

RECIPIENTS = frozenset(
    "to cc bcc apparently-to delivered-to envelope-to original-recipient resent-bcc resent-cc resent-to x-delivered-to "
    "x-envelope-to x-forwarded-for x-forwarded-to x-original-to x-rcpt-to x-real-to "
    "x-receiver x-resolved-to".split()
)
"""Headers that name who got a mail."""
SENDERS = ("from", "sender", "reply-to", "return-path")
_REPORTERS = RECIPIENTS | {*SENDERS, "resent-from", "resent-sender"}
"""Headers of a mail that reports another: all of them name our people, or who asks us for help."""

_NO_PAYLOAD = frozenset(
    "application/pgp-signature application/pgp-encrypted application/pkcs7-signature application/x-pkcs7-signature "
    "application/pkcs7-mime application/x-pkcs7-mime message/delivery-status message/disposition-notification "
    "text/rfc822-headers text/calendar text/x-amp-html text/enriched text/watch-html".split()
)
"""Parts that are neither body nor attachment: signatures, delivery reports, other renderings of the body."""
_OUTLOOK = frozenset(("application/vnd.ms-outlook", "application/x-msg"))

_NAMED = re.compile(rb"([!-9;-~]{1,76}):").match
_MBOX = re.compile(rb"\n\r?\nFrom [^\n]{1,200} \d{4}\r?\n[!-9;-~]{1,76}:").search
_LONG_HEADER = re.compile(rb"(?im)^content-(?:type|disposition):(?:[^\n]|\n[ \t]){10000}").search
"""The standard library reads parameters in time square to their number."""
_EVIDENCE = frozenset((b"received", b"message-id", b"mime-version", b"return-path", b"delivered-to", b"dkim-signature"))
UNREADABLE = (MessageError, RecursionError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What the standard library's parser and decoders raise on broken mails (bugs.python.org lists one or more of each)."""


def is_mail(head: bytes) -> bool:
    """Tells a mail from other text by its header lines: From, and one that only mail has."""
    lines = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").splitlines()
    if lines and lines[0].startswith(b"From "):
        lines = lines[1:]
    names: set[bytes] = set()
    for line in lines:
        if not line.strip():
            break
        found = _NAMED(line)
        if found is not None:
            names.add(found[1].lower())
        elif not names or line[:1] not in b" \t>":
            return len(names) > 1 and line is lines[-1] and _names_a_mail(names)
    return _names_a_mail(names)


def _names_a_mail(names: set[bytes]) -> bool:
    return b"from" in names and bool(names & _EVIDENCE) and b"snapshot-content-location" not in names


def refused(data: bytes) -> str | None:
    """Tells why bytes are not read as a mail at all."""
    if len(data) > MAX_MAIL:
        return f"a mail of more than {MAX_MAIL} bytes"
    if data.count(b"\n") > MAX_LINES:
        return f"a mail of more than {MAX_LINES} lines"
    if (
        data.lower().count(b"boundary") > 3 * MAX_MULTIPARTS
        or len(re.findall(rb"(?i)multipart/", data)) > MAX_MULTIPARTS
    ):
        return f"a mail of more than {MAX_MULTIPARTS} nested or sequential multiparts"
    if _LONG_HEADER(data):
        return "a mail with a header of parameters that goes on for more than 10000 characters"
    if data.startswith(b"From ") and _MBOX(data):
        return "a mailbox of several mails: save each as a file of its own (.eml)"
    return None


def parsed(data: bytes) -> Message:
    """Parses a mail; what stands before it in a mailbox file is left out."""
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    return email.message_from_bytes(data.partition(b"\n")[2] if data.startswith(b"From ") else data)


# --- which mail is the phish --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Phish:
    """One mail that is the phish."""

    message: Message
    headers: Headers
    reporters: tuple[str, ...]
    """Addresses of those who handed it on."""


def phishes(message: Message, reporters: tuple[str, ...], depth: int) -> Iterator[Phish | str]:
    """Yields the mail, or in its place the innermost mails attached to it; a text says why one is not read."""
    headers = _headers(message)
    leaves = list(parts(message))
    attached = [inner for part in leaves if (inner := _attached(part)) is not None]
    outlook = [part for part in leaves if _is_outlook(part)]
    if outlook:
        yield "the mail carries another in Outlook's own format (.msg): save that as .eml and hand it in"
    if not attached and not outlook:
        yield Phish(message, headers, reporters)
    if attached and depth == MAX_DEPTH:
        yield f"mails attached to mails more than {MAX_DEPTH} deep"
        return
    known = {*reporters, *(one for name, value in headers if name in _REPORTERS for one in mailboxes(value))}
    known.update(one for hop in hops_of(headers) for one in hop.recipients)
    for inner in attached:
        yield from phishes(inner, tuple(known), depth + 1)


def hops_of(headers: Headers) -> list[Hop]:
    """Reads the Received lines from the top, at most as many as servers let a mail go through (RFC 5321 §6.3)."""
    return [read_hop(value) for value in [value for name, value in headers if name == "received"][:MAX_HOPS]]


def _headers(message: Message) -> list[tuple[str, str]]:
    found = []
    for name, value in message.raw_items():
        text = str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        found.append((name.lower(), re.sub(r"[\r\n]+[ \t]*", " ", text).strip()))
    return found


def parts(message: Message) -> Iterator[Message]:
    """Yields the leaves of a mail in order; an attached mail is one."""
    waiting = [message]
    count = 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > MAX_PARTS:
            raise BadValue(f"a mail of more than {MAX_PARTS} parts")
        inner = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inner, list):
            waiting.extend(one for one in reversed(inner) if isinstance(one, Message))
        else:
            yield part


def _attached(part: Message) -> Message | None:
    """Gives the mail that a part is; also where it is wrapped in base64 or goes as a file named ``.eml``."""
    inner = part.get_payload()
    if part.get_content_type() == "message/rfc822" and isinstance(inner, list) and inner:
        first = inner[0]
        if not isinstance(first, Message):
            return None
        if first.keys() or not isinstance(first.get_payload(), str):
            return first
        first["Content-Transfer-Encoding"] = str(part.get("Content-Transfer-Encoding", "7bit"))
        return _mail_in(bytes_of(first))
    if _file_name(part).endswith(".eml"):
        return _mail_in(bytes_of(part))
    return None


def _mail_in(data: bytes) -> Message | None:
    if not is_mail(data[:65_536]):
        return None
    reason = refused(data)
    if reason is not None:
        raise BadValue(reason)
    return parsed(data)


def _is_outlook(part: Message) -> bool:
    return part.get_content_type() in _OUTLOOK or _file_name(part).endswith(".msg")


def _file_name(part: Message) -> str:
    try:
        return str(part.get_filename() or "").strip().lower()
    except ValueError:  # a NUL in the name of its encoding
        return ""


def charset_of(part: Message) -> str | None:
    """Gives the encoding that a part declares; None where it declares none that can be read."""
    try:
        return part.get_content_charset()
    except ValueError:  # as above
        return None


def bytes_of(part: Message) -> bytes:
    """Gives the decoded content of a part; empty for a multipart."""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def is_text(part: Message) -> bool:
    """Tells whether a part is shown as the mail's text."""
    kind = part.get_content_type()
    if kind.startswith("multipart/"):
        return True  # one that names no boundary: all of it is text
    if part.get_content_disposition() == "attachment" or kind not in ("text/plain", "text/html"):
        return False
    # A page that goes as a file is opened as one: that is a payload.
    return kind == "text/plain" or not _file_name(part)


def is_attachment(part: Message) -> bool:
    """Tells whether a part that is no text goes as a file, and is no picture of the text and no signature."""
    if part.get_content_type() in _NO_PAYLOAD and part.get_content_disposition() != "attachment":
        return False
    if part.get_content_maintype() == "image":
        return part.get_content_disposition() == "attachment" and part.get("Content-ID") is None
    return not part.get_content_type().endswith("signature")
