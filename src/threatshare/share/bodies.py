"""What goes over the wire: bytes that are ready, joined, never parsed; JSON for the few small resources.

medallion's views hand whatever a Backend returns to ``flask.json.dumps`` and look at nothing in it,
so a JSON provider that lets bytes through sends a page at the cost of joining it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from flask.json.provider import JSONProvider

from threatshare.model import Micros, moment
from threatshare.store.pages import ManifestEntry, Page

TAXII = "application/taxii+json;version=2.1"
STIX_21 = "application/stix+json;version=2.1"
STIX_20 = "application/stix+json;version=2.0"
_MEDIA = {"2.1": f',"media_type":"{STIX_21}"', "2.0": f',"media_type":"{STIX_20}"'}
"""The end of a manifest's record, by the object's specification version; none for one that is not known."""

_MICROSECONDS = 1_000_000


class Posted(bytes):
    """A request's body, not parsed yet."""


class BodyProvider(JSONProvider):
    """Flask's JSON for this application: bytes are JSON already and sent as they stand."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Gives bytes, which Flask's responses take as well as text."""
        return obj if isinstance(obj, bytes) else msgspec.json.encode(obj)  # type: ignore[return-value]

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Leaves a body to whoever splits it into objects."""
        return Posted(s if isinstance(s, bytes) else s.encode())


def envelope(page: Page[bytes], following: str | None, bare: bool = False) -> bytes:
    """Writes an envelope (TAXII 2.1 §3.7).

    An empty one has an empty list, without which some clients fail, unless it is to be ``bare``.
    """
    head, tail = _ends(b"objects", following)
    if not page.items:
        return _EMPTY if bare else head + tail
    # The ends go onto the outer objects, so that the whole is copied once.
    items = [*page.items]
    items[0] = head + items[0]
    items[-1] += tail
    return b",".join(items)


def manifest_resource(page: Page[ManifestEntry], following: str | None) -> bytes:
    """Writes a manifest (TAXII 2.1 §5.3.1)."""
    # Ids are letters, digits and hyphens: whatever is served was read by stix.received, which takes no others.
    records = [
        f'{{"id":"{object_id}","date_added":"{timestamp(added)}","version":"{version_text(version)}"'
        f"{_MEDIA.get(spec, '')}}}"
        for object_id, added, version, spec in page.items
    ]
    return _resource(b"objects", ",".join(records).encode(), following)


def versions_resource(page: Page[Micros], following: str | None) -> bytes:
    """Writes an object's versions (TAXII 2.1 §5.8.1)."""
    texts = [version_text(version) for version in page.items]
    return _resource(b"versions", msgspec.json.encode(texts)[1:-1], following)


def date_headers(page: Page[Any]) -> dict[str, str]:
    """Gives the headers that bound a page's dates; none for an empty page, which has no dates."""
    if not page.items:
        return {}
    return {
        "X-TAXII-Date-Added-First": timestamp(page.first_added),
        "X-TAXII-Date-Added-Last": timestamp(page.last_added),
    }


def timestamp(at: Micros) -> str:
    """Writes a time with six digits, as ``date_added`` needs it to be exact."""
    seconds, fraction = divmod(at, _MICROSECONDS)
    return f"{_seconds(seconds)}.{fraction:06d}Z"


def version_text(at: Micros) -> str:
    """Writes a version as STIX objects do: three digits, six where three do not say it."""
    seconds, fraction = divmod(at, _MICROSECONDS)
    if fraction % 1000:
        return f"{_seconds(seconds)}.{fraction:06d}Z"
    return f"{_seconds(seconds)}.{fraction // 1000:03d}Z"


@lru_cache(maxsize=256)
def _seconds(seconds: int) -> str:
    # Entries of one page share their seconds, and formatting a date is most of what a manifest costs.
    return moment(seconds * _MICROSECONDS).isoformat(timespec="seconds")[:19]


_EMPTY = b'{"more":false}'
"""Not ``{}``: some clients take that for text in UTF-16."""


def _resource(name: bytes, items: bytes, following: str | None) -> bytes:
    if not items:
        return _EMPTY  # the list must be left out (§5.3.1, §5.8.1)
    head, tail = _ends(name, following)
    return b"".join((head, items, tail))


def _ends(name: bytes, following: str | None) -> tuple[bytes, bytes]:
    # `next` only beside more: true, as clients loop on its mere presence.
    if following is None:
        return b'{"more":false,"%b":[' % name, b"]}"
    return b'{"more":true,"next":"%b","%b":[' % (following.encode(), name), b"]}"
