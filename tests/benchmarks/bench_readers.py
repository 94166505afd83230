"""Readers: from the bytes of a file to findings with roles, plain and compressed; text side by side with ioc-finder.

    python tests/benchmarks/bench_readers.py [--megabytes 20]

Input is made from a seed. Each format is read three times, and the fastest counts, in CPU time of this process: that
hardly changes when others use the machine too. ioc-finder counts the host of each URL as a domain of its own.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

from threatshare.config import OwnAssets
from threatshare.findings.extraction import extract
from threatshare.findings.formats.fieldmap import site_readers
from threatshare.findings.readers import read_file
from threatshare.model import Finding

OWN = OwnAssets(domains=("corp.example",), mail_domains=("corp.example",))
CONFIG = Path(__file__).parents[2] / "config"
"""Where the example field map custom-json stands."""
_WORDS = (
    "the actor then moved to another host and used a loader which is known from earlier campaigns against banks where "
    "it wrote files below the profile of its user and asked a server for commands every few minutes until it was found"
).split()


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--objects", type=int, help="taken for the sake of the other benchmarks, and not used")
    size = parser.parse_args().megabytes * 1_000_000
    _formats(size)
    _compressed(size)
    _extraction(min(size, 400_000))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\npeak memory {peak} MB, of which the input itself is {size // 1_000_000} MB and more")


def _formats(size: int) -> None:
    print(f"\n{'reader':<14} {'MB':>5} {'records':>9} {'findings':>9} {'records/s':>10} {'MB/s':>6}")
    for name, (line, before) in FORMATS.items():
        data = _made(line, size, before)
        records = data.count(b"\n") - before.count(b"\n")
        findings, seconds = _best(lambda data=data, name=name: _read(data, name))  # type: ignore[misc]
        print(
            f"{name:<14} {len(data) / 1e6:>5.1f} {records:>9,} {findings:>9,} {records / seconds:>10,.0f}"
            f" {len(data) / 1e6 / seconds:>6.1f}"
        )


def _compressed(size: int) -> None:
    from backports import zstd

    data = _made(_eve, size)
    print(f"\nsuricata-eve as   {'MB':>5} {'ratio':>6} {'MB/s of the plain file':>23}")
    for name, packed in {"plain": data, "gzip": gzip.compress(data, 6), "zstd": zstd.compress(data)}.items():
        _, seconds = _best(lambda packed=packed: _read(packed, "suricata-eve"))  # type: ignore[misc]
        print(
            f"{name:<17} {len(packed) / 1e6:>5.1f} {len(data) / len(packed):>6.1f} {len(data) / 1e6 / seconds:>23.1f}"
        )


def _extraction(size: int) -> None:
    """Compares the extraction alone: no roles, no findings, and ioc-finder with nothing but the same kinds of value."""
    from ioc_finder import find_iocs

    text = _made(_prose, size).decode()
    kinds = ["ipv4s", "ipv6s", "domains", "urls", "email_addresses", "md5s", "sha1s", "sha256s", "sha512s"]
    print(f"\nvalues out of the same {len(text) / 1e6:.1f} MB of text")
    print(f"{'':<12} {'values':>8} {'MB/s':>6}")
    ours, seconds = _best(lambda: len({found.observable for found in extract(text)}))
    print(f"{'threatshare':<12} {ours:>8,} {len(text) / 1e6 / seconds:>6.2f}")
    theirs, seconds = _best(lambda: sum(map(len, find_iocs(text, included_ioc_types=kinds).values())), times=1)
    print(f"{'ioc-finder':<12} {theirs:>8,} {len(text) / 1e6 / seconds:>6.2f}")


def _read(data: bytes, name: str) -> int:
    results = read_file(io.BytesIO(data), name, OWN, site=site_readers(CONFIG))
    return sum(isinstance(item, Finding) for item in results)


def _best(run: Callable[[], int], times: int = 3) -> tuple[int, float]:
    took = []
    for _ in range(times):
        started = time.process_time()
        result = run()
        took.append(time.process_time() - started)
    return result, min(took)


# --- input ------------------------------------------------------------------------------------------------------

Line = Callable[[random.Random, int], str]


def _made(line: Line, size: int, before: bytes = b"") -> bytes:
    rng, out = random.Random(1), io.BytesIO()
    out.write(before)
    number = 0
    while out.tell() < size:
        out.write(line(rng, number).encode() + b"\n")
        number += 1
    return out.getvalue()


def _outside(rng: random.Random) -> str:
    return f"{rng.randrange(20, 100)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _inside(rng: random.Random) -> str:
    return f"10.{rng.randrange(4)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _host(rng: random.Random) -> str:
    return f"h{rng.getrandbits(40):x}.net"


def _ends(rng: random.Random) -> tuple[str, str]:
    ends = (_outside(rng), _inside(rng))
    return ends if rng.random() < 0.5 else (ends[1], ends[0])


def _eve(rng: random.Random, number: int) -> str:
    """One event in four is an alert, as it is at best in a log that has flows too."""
    source, destination = _ends(rng)
    event: dict[str, object] = {
        "timestamp": f"2026-05-04T03:{number // 60 % 60:02}:{number % 60:02}.000000+0000",
        "flow_id": rng.getrandbits(50),
        "in_iface": "eth0",
        "event_type": "alert" if number % 4 == 0 else "flow",
        "src_ip": source,
        "src_port": rng.randrange(1024, 65535),
        "dest_ip": destination,
        "dest_port": 80,
        "proto": "TCP",
        "app_proto": "http",
        "flow": {"pkts_toserver": 5, "pkts_toclient": 4, "bytes_toserver": 900, "bytes_toclient": 3000},
    }
    if number % 4 == 0:
        event["alert"] = {
            "action": "allowed",
            "signature_id": 2_000_000 + number % 1000,
            "signature": f"ET MALWARE Loader {number % 1000} Checkin",
            "category": "A Network Trojan was detected",
            "severity": 1,
        }
        event["http"] = {"hostname": _host(rng), "url": f"/{rng.getrandbits(32):x}.php", "http_method": "GET"}
    return json.dumps(event, separators=(",", ":"))


def _ocsf(rng: random.Random, number: int) -> str:
    source, destination = _ends(rng)
    return json.dumps(
        {
            "class_uid": 2004,
            "metadata": {"version": "1.4.0", "product": {"name": "bench", "vendor_name": "bench"}},
            "time": 1_777_863_600_000 + number,
            "severity_id": 4,
            "finding_info": {"uid": str(number), "title": "Beacon to a rare host", "types": ["c2"]},
            "attacks": [{"technique": {"uid": "T1071"}, "tactics": [{"uid": "TA0011"}]}],
            "evidences": [
                {
                    "src_endpoint": {"ip": source, "port": 50_000},
                    "dst_endpoint": {"ip": destination, "port": 443},
                    "file": {"name": "a.bin", "hashes": [{"algorithm_id": 3, "value": f"{rng.getrandbits(256):064x}"}]},
                }
            ],
        },
        separators=(",", ":"),
    )


def _custom(rng: random.Random, number: int) -> str:
    source, destination = _ends(rng)
    return json.dumps(
        {
            "rule": "beacon",
            "state": "open",
            "seen": "2026-05-04 03:02:01",
            "sure": "very",
            "level": 7,
            "net": {"from": source, "to": destination},
            "attack": ["T1071.001"],
            "share": "internal",
            "hits": [{"type": "sha256", "what": f"{rng.getrandbits(256):064x}", "verdict": "malware"}],
        },
        separators=(",", ":"),
    )


def _row(rng: random.Random, number: int) -> str:
    value, kind = _value(rng, number)
    return f"{kind},{value},2026-05-04T03:02:01Z,80,{rng.getrandbits(32):x}"


def _value(rng: random.Random, number: int) -> tuple[str, str]:
    match number % 4:
        case 0:
            return _outside(rng), "ip"
        case 1:
            return _host(rng), "domain"
        case 2:
            return f"http://{_host(rng)}/{rng.getrandbits(32):x}", "url"
        case _:
            return f"{rng.getrandbits(256):064x}", "sha256"


def _prose(rng: random.Random, number: int) -> str:
    """Lines of a report: one in five names a value, in half of them defanged."""
    words = " ".join(rng.choices(_WORDS, k=14))
    if number % 5:
        return words
    value, kind = _value(rng, number // 5)
    if kind != "sha256" and rng.random() < 0.5:
        value = value.replace("http", "hxxp").replace(".", "[.]")
    return f"{words} {value} {' '.join(rng.choices(_WORDS, k=4))}"


FORMATS: dict[str, tuple[Line, bytes]] = {
    "suricata-eve": (_eve, b""),
    "ocsf": (_ocsf, b""),
    "custom-json": (_custom, b""),
    "csv": (_row, b"type,value,first_seen,confidence,note\n"),
    "text": (_prose, b"# Indicators of compromise\n"),
}


if __name__ == "__main__":
    main()
