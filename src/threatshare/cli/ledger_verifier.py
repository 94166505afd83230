"""Verifies an exported ledger: python verify_ledger.py EXPORT.jsonl [ANCHORS]

Needs nothing but Python 3.8 or later. Each line of the export is one row: canonical JSON (names sorted, no spaces,
ASCII) with the row's hash behind it. The hash is SHA-256 over the line without ``hash``; ``previous`` is the hash of
the row before. ANCHORS holds heads that were written down before, a JSON object a line; each must still be in the
chain. Exit code 0: the chain holds. 1: it is broken, and the first bad row is named. 2: called wrongly.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

GENESIS = "0" * 64
FIELDS = {"at", "digest", "hash", "number", "object", "previous", "seq", "terms", "version"}


def read_row(line: str, number: int, previous: str) -> tuple[str, str]:
    """Gives the hash of a line, and what is wrong with it: empty where nothing is."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "", "is not JSON"
    if not isinstance(row, dict) or set(row) != FIELDS:
        return "", "has other fields than a row has"
    hashed = row.pop("hash")
    text = json.dumps(row, sort_keys=True, separators=(",", ":"))
    if line != f'{text[:-1]},"hash":{json.dumps(hashed)}}}\n':
        return "", "is not written canonically"
    if row["number"] != number:
        return "", f"is missing: the next is {row['number']}"
    if row["previous"] != previous:
        return "", "does not follow the row before it"
    if sha256(text.encode()).hexdigest() != hashed:
        return "", "does not give its hash"
    return hashed, ""


def verify(export: Path, anchors: dict[int, set[str]]) -> tuple[str, int]:
    """Gives what to say of an export, and the exit code."""
    number, previous, met = 0, GENESIS, 0
    with export.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            number += 1
            previous, fault = read_row(line, number, previous)
            witnessed = anchors.pop(number, set())
            if not fault and witnessed - {previous}:
                fault = "is not what was anchored: the ledger was made anew up to here"
            if fault:
                return f"BROKEN: row {number} {fault}", 1
            met += len(witnessed)
    if anchors:
        return f"BROKEN: row {min(anchors)} was anchored, and the ledger ends at row {number}", 1
    return f"the chain holds: {number} rows, head {previous}, {met} anchors met", 0


def main(arguments: list[str]) -> int:
    """Verifies the files that are named; says what was found."""
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python verify_ledger.py EXPORT.jsonl [ANCHORS]\n")
        return 2
    anchors: dict[int, set[str]] = {}
    for line in Path(arguments[1]).read_bytes().splitlines() if len(arguments) == 2 else ():
        one = json.loads(line)
        anchors.setdefault(one["number"], set()).add(one["hash"])
    said, code = verify(Path(arguments[0]), anchors)
    sys.stdout.write(f"{said}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
