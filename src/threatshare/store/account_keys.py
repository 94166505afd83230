"""The form of an account key: ``ts_PREFIX_SECRETCHECKSUM``.

The prefix is public: it finds the account's row and may stand in logs. The secret has 256 random
bits, so a plain keyed hash keeps it; a slow hash would be an outage of our own making. The checksum
lets a mistyped or truncated key be told from a wrong one without the store, and scanners find
leaked keys.
"""

from __future__ import annotations

import hmac
from secrets import token_bytes
from zlib import crc32

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MARK = "ts"
_PREFIX, _SECRET, _CHECKSUM = 8, 43, 6
"""Characters: 47, 256 and 32 bits."""


def new_key() -> str:
    """Makes a key; nothing keeps it but whoever it is shown to."""
    prefix = _base62(int.from_bytes(token_bytes(5), "big"), _PREFIX)
    secret = _base62(int.from_bytes(token_bytes(32), "big"), _SECRET)
    return f"{_MARK}_{prefix}_{secret}{_checksum(prefix, secret)}"


def key_prefix(key: str) -> str | None:
    """Gives the public part of a key; None where the text is no key or its checksum fails."""
    mark, _, rest = key.partition("_")
    prefix, _, tail = rest.partition("_")
    if mark != _MARK or len(prefix) != _PREFIX or len(tail) != _SECRET + _CHECKSUM or not key.isascii():
        return None
    secret, checksum = tail[:_SECRET], tail[_SECRET:]
    return prefix if hmac.compare_digest(checksum, _checksum(prefix, secret)) else None


def key_hash(pepper: bytes, key: str) -> bytes:
    """Hashes a key as the store keeps it: HMAC-SHA256 under the store's pepper."""
    return hmac.digest(pepper, key.encode(), "sha256")


def _checksum(prefix: str, secret: str) -> str:
    return _base62(crc32(f"{prefix}_{secret}".encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
