"""Objects for measuring: STIX indicators of the size that partners send, made from a seed, with no two values alike.

The names are random under a suffix that is in use, since reserved ones are capped as known benign; nothing
here is ever resolved.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from uuid import UUID

CREATED = "2026-11-01T00:00:00.000Z"
_KINDS = ("ipv4-addr", "domain-name", "url", "file")


def indicator_json(rng: random.Random) -> bytes:
    """Gives one indicator of about 600 bytes; addresses, domains, URLs and SHA-256 hashes in equal shares."""
    kind = rng.choice(_KINDS)
    number = rng.getrandbits(64)
    host = ".".join(str(number >> by & 255) for by in (8, 16, 24))
    pattern = {
        "ipv4-addr": f"ipv4-addr:value = '{20 + number % 70}.{host}'",
        "domain-name": f"domain-name:value = 'h{number:x}.net'",
        "url": f"url:value = 'http://h{number:x}.net/path/{number & 0xFFFF}/index.php'",
        "file": f"file:hashes.'SHA-256' = '{number:064x}'",
    }[kind]
    return (
        f'{{"type":"indicator","spec_version":"2.1","id":"indicator--{UUID(int=rng.getrandbits(128), version=4)}",'
        '"created_by_ref":"identity--0a1b2c3d-0000-4000-8000-00000000beef",'
        f'"created":"{CREATED}","modified":"{CREATED}","name":"Indicator of a benchmark",'
        '"description":"As long as partners write it: where it was seen, in which campaign, and what it did there.",'
        f'"indicator_types":["malicious-activity"],"pattern":"[{pattern}]","pattern_type":"stix",'
        f'"pattern_version":"2.1","valid_from":"{CREATED}","confidence":{rng.randrange(20, 100)},'
        '"labels":["benchmark"],"object_marking_refs":["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"]}'
    ).encode()


def pages(count: int, size: int, seed: int) -> Iterator[list[bytes]]:
    """Gives ``count`` indicators in pages."""
    rng = random.Random(seed)
    for _ in range(count // size):
        yield [indicator_json(rng) for _ in range(size)]
