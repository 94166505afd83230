"""Which names are public suffixes (publicsuffix.org): below them anybody can register, so they are nobody's own.

The library has the word; it is asked only about names that the list speaks of, one in many thousands.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_WILD = "*."


def is_public_suffix(name: str) -> bool:
    """Tells whether a canonical name is a public suffix; labels in ASCII form count as what they mean."""
    readable = _unicode(name) if "xn--" in name else name
    rest = readable.partition(".")[2]
    listed = _listed()
    # One label alone is a suffix by the rule for all that is not listed.
    if rest and readable not in listed and _WILD + rest not in listed and _WILD + readable not in listed:
        return False
    return bool(_library().is_public(readable))


def _unicode(name: str) -> str:
    import idna

    try:
        return idna.decode(name)
    except idna.IDNAError:
        return name


@lru_cache(maxsize=1)
def _listed() -> frozenset[str]:
    """Reads the rules of the list that the library bundles, wildcards and exceptions as they stand."""
    from importlib.resources import files

    text = files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text(encoding="utf-8")
    return frozenset(line.split(" ", 1)[0].lower() for line in text.split("\n") if line and not line.startswith("//"))


@lru_cache(maxsize=1)
def _library() -> PublicSuffixList:
    """Makes the library's list, 12 ms; its ASCII forms would cost 50 ms more."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_encoded_idn=False)
