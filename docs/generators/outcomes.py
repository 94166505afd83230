"""Writes the table of what the readers make of a folder of real files: what came out, what was held, and why.

    python docs/generators/outcomes.py FOLDER     prints the table for docs/reference/samples.md

The files are not part of the project; a test recomputes the table where they are at hand.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from threatshare.config import OwnAssets
from threatshare.findings.readers import read_file, recognise
from threatshare.findings.records import HEAD
from threatshare.model import Finding, Observable, Reject, Role

_NOTES = frozenset({"SOURCE.txt", "README.md"})
_FEEDS = frozenset({"blocklists", "ipsum", "zeek-intel"})
"""Folders of partners' lists: they are pulled, not found."""
_REASONS = 3
_QUOTED = re.compile(r"""'[^']*'?|"[^"]*"?|\b\d+ of \d+\b""")
"""What a reason repeats of the input, and counts that differ from file to file."""


@dataclass
class Outcome:
    """What one reader made of one folder."""

    folder: str
    reader: str
    files: int = 0
    findings: int = 0
    values: dict[Observable, set[Role]] = field(default_factory=dict)
    why_held: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)

    def add(self, path: Path) -> None:
        """Reads one file."""
        self.files += 1
        for item in read_file(path, None, OwnAssets(declared_empty=True)):
            if isinstance(item, Reject):
                self.rejects[_QUOTED.sub("...", item.reason).partition(":")[0]] += 1
            else:
                self._count(item)

    def _count(self, finding: Finding) -> None:
        self.findings += 1
        for seen in finding.observations:
            roles = self.values.setdefault(seen.observable, set())
            if seen.role is Role.UNKNOWN and Role.UNKNOWN not in roles:
                self.why_held[seen.why.removesuffix("; held").partition(":")[0]] += 1
            roles.add(seen.role)

    def count(self, *roles: Role) -> int:
        """Counts the values that play one of these roles anywhere in the folder."""
        return sum(not given.isdisjoint(roles) for given in self.values.values())


def outcomes(samples: Path) -> Iterator[Outcome]:
    """Reads every folder, by the reader that each file is recognised for."""
    for folder in sorted(one for one in samples.iterdir() if one.is_dir() and one.name not in _FEEDS):
        found: dict[str, Outcome] = {}
        for path in sorted(one for one in folder.rglob("*") if one.is_file() and one.name not in _NOTES):
            with path.open("rb") as stream:
                reader = recognise(stream.read(HEAD), path.name)
            name = reader.name if reader is not None else ""
            found.setdefault(name, Outcome(folder.name, name)).add(path)
        yield from (found[name] for name in sorted(found))


def table(samples: Path) -> str:
    """Gives the table in Markdown, a row a folder and reader."""
    rows = [
        "| folder | reader | files | findings | indicators | sightings | held | bystanders and ours | rejects | why |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in outcomes(samples):
        indicators = one.count(*(role for role in Role if role.is_indicator))
        others = one.count(Role.VICTIM_ASSET, Role.SENSOR, Role.THIRD_PARTY, Role.REFERENCE)
        counts = (one.files, one.findings, indicators, one.count(Role.KNOWN_INDICATOR), one.count(Role.UNKNOWN), others)
        why = [f"held {count}: {reason}" for reason, count in _first(one.why_held)]
        why += [f"rejected {count}: {reason}" for reason, count in _first(one.rejects)]
        cells = (one.folder, one.reader or "none", *counts, one.rejects.total(), "; ".join(why).replace("|", "/"))
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _first(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_REASONS]


if __name__ == "__main__":
    print(table(Path(sys.argv[1])), end="")  # noqa: T201  its job
