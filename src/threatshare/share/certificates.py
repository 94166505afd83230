"""Certificates: the digest by which a client's is known, and from when until when one holds.

Only what the node needs is read of X.509, so no library for all of it is carried along: the ssl module checks chains
and signatures, and this module looks up two dates (RFC 5280 §4.1.2.5).
"""

from __future__ import annotations

import re
import ssl
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

from threatshare.errors import BadValue, ConfigurationError
from threatshare.model import Micros, micros, moment

_BLOCK = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_HEX = re.compile("[0-9a-fA-F]{64}").fullmatch
_LONGEST = 32_768
"""Characters of a header that is looked at."""
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_FORMS = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
_DAY: Micros = 86_400 * 1_000_000
_RENEW = 21 * _DAY
"""Free certificates are renewed thirty days ahead: nine days later it has not worked."""
_VALIDITY = 3
"""Its place behind the version: serial number, signature, issuer, validity."""


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate holds."""

    begins: Micros
    ends: Micros

    def holds_at(self, now: Micros) -> bool:
        """Tells whether a moment lies in it."""
        return self.begins <= now <= self.ends


def read_fingerprint(text: str) -> bytes:
    """Reads a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons. Raises BadValue."""
    plain = text.strip().replace(":", "")
    if _HEX(plain) is None:
        raise BadValue(f"{text[:100]!r} is no SHA-256 fingerprint: wanted are 64 hexadecimal digits")
    return bytes.fromhex(plain)


def pem_fingerprint(text: str) -> bytes:
    """Gives the SHA-256 of the first certificate of a PEM text. Raises BadValue where there is none."""
    return sha256(_der(text)).digest()


def presented(header: str) -> bytes | None:
    """Gives the fingerprint of the certificate that a proxy names in a header; None where it names none.

    Understood are a PEM text with percent escapes (nginx), ``:BASE64:`` of the certificate (RFC 9440) and a SHA-256
    fingerprint (HAProxy).
    """
    text = header.strip()
    if not text or len(text) > _LONGEST:
        return None
    try:
        if text.startswith(":"):
            return sha256(b64decode(text.strip(":"), validate=True)).digest()
        return pem_fingerprint(unquote(text)) if "BEGIN" in text else read_fingerprint(text)
    except (BadValue, Base64Error, ValueError):
        return None


def validity(file: Path) -> Validity:
    """Reads when the first certificate of a PEM file holds. Raises ConfigurationError where it cannot be read."""
    try:
        return _validity(_der(file.read_text("ascii")))
    except (OSError, BadValue, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{file}: no certificate can be read: {problem}") from problem


def check_pair(certificate: Path, key: Path, authority: Path | None = None) -> None:
    """Raises ConfigurationError unless a certificate, its key and the clients' authority can be served with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for file in (certificate, key, *([authority] if authority else [])):
        if not file.is_file():
            raise ConfigurationError(f"{file} is missing; TLS needs it")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as problem:
        raise ConfigurationError(f"{certificate} and {key} do not serve as certificate and key: {problem}") from problem
    try:
        if authority is not None:
            context.load_verify_locations(authority)
    except OSError as problem:
        raise ConfigurationError(f"{authority}: no authority can be read: {problem}") from problem


def findings(certificate: Path, key: Path, now: Micros) -> list[str]:
    """Says what is wrong, or soon will be, with the files that TLS is spoken with, and how to mend it."""
    found = []
    try:
        check_pair(certificate, key)
        held = validity(certificate)
    except ConfigurationError as problem:
        return [str(problem)]
    if held.begins > now:
        found.append(f"{certificate} is not valid before {moment(held.begins):%Y-%m-%d %H:%M} UTC")
    if held.ends < now:
        found.append(f"{certificate} has expired on {moment(held.ends):%Y-%m-%d}: renew it, then reload the server")
    elif held.ends - now < _RENEW:
        days = (held.ends - now) // _DAY
        found.append(f"{certificate} expires on {moment(held.ends):%Y-%m-%d}, in {days} days: renew it, then reload")
    if key.stat().st_mode & 0o077:
        found.append(f"others can read {key}: chmod 600 it")
    return found


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is there to type its password")


def _der(text: str) -> bytes:
    block = _BLOCK.search(text)
    if block is None:
        raise BadValue("there is no certificate in PEM form")
    try:
        return ssl.PEM_cert_to_DER_cert(block[0])
    except ValueError as problem:
        raise BadValue(f"the certificate's text is damaged: {problem}") from problem


def _validity(der: bytes) -> Validity:
    try:
        _, certificate = next(_parts(der))
        _, signed = next(_parts(certificate))
        fields = [content for tag, content in _parts(signed) if tag != _VERSION]
        begins, ends = (
            datetime.strptime(text.decode("ascii"), _FORMS[tag]).replace(tzinfo=UTC)
            for tag, text in _parts(fields[_VALIDITY])
        )
    except (StopIteration, IndexError, KeyError, ValueError) as problem:
        raise BadValue("it is no X.509 certificate") from problem
    return Validity(micros(begins), micros(ends))


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Gives tag and content of each element of a DER text, one after the other."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            width = length & 0x7F
            length, at = int.from_bytes(der[at : at + width], "big"), at + width
        if at + length > len(der):
            raise ValueError("an element is longer than its text")
        yield tag, der[at : at + length]
        at += length
