"""Logs of sshd and fail2ban: who tried to get in, folded to one finding an address.

A single failed password is a typo, so what is said of an address is counted over one read and ruled on at its end.
Neither user names nor any other words of a line get into a finding.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.findings.events import Event, Proposal, finding_of
from threatshare.findings.formats.authlog_messages import Said, Sign, program_of, read_line, read_time
from threatshare.findings.records import MAX_RECORD, Numbered, file_time
from threatshare.findings.roles import Ruling, sides
from threatshare.model import Finding, Observable, Reject, Role

_SNIFFED = 400
"""Lines that are looked at to recognise the format."""
_SHARE = 0.5
"""Share of lines that must look like a log's."""
_ADDRESSES = 65_536
"""Addresses that are counted at once; the one not heard of for longest gives way."""
_TRIES = 4
"""Failures from which on they are no typos: OpenSSH's client asks a person three times (NumberOfPasswordPrompts)."""

_BANNED = Ruling(Role.ATTACKER, "banned by fail2ban")
_STRANGER = Ruling(Role.ATTACKER, "tried to log in as a user that does not exist or may not log in")
_GUESSED = Ruling(Role.ATTACKER, f"failed to log in {_TRIES} times or more")
_ENTERED = Ruling(
    Role.UNKNOWN, "failed to log in, but also logged in: who knows whether that was one of ours can decide; held"
)
_FEW = Ruling(
    Role.UNKNOWN, f"failed to log in fewer than {_TRIES} times, as people do who mistype: more of it would decide; held"
)
_PROBED = Ruling(
    Role.UNKNOWN, "connected without a try to log in, as scanners and monitors do: a try would decide; held"
)


class AuthLogReader:
    """Reads syslog files with lines of sshd or fail2ban, and fail2ban's own log."""

    name = "auth-log"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by lines that look like a log's, one of them at least from sshd or fail2ban."""
        if b"sshd" not in head and b"fail2ban" not in head:
            return False
        lines = [line for line in head.decode("utf-8", "replace").split("\n")[:_SNIFFED] if line.strip()]
        programs = [program for line in lines if (program := program_of(line.rstrip("\r"))) is not None]
        return len(programs) > _SHARE * len(lines) and ("sshd" in programs or "fail2ban" in programs)

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields one finding an address, when the read ends or too many others came between."""
        written_at, look_up = file_time(stream), sides(own)
        folded: OrderedDict[Observable, _Visitor] = OrderedDict()
        for item in _lines(stream, place):
            if isinstance(item, Reject):
                yield item
                continue
            said = read_line(item[1])
            known = look_up(said.address) if said is not None else None
            if said is None or known is None:
                continue
            at = read_time(said.time, written_at)
            if at is None:
                yield Reject(f"{place}:{item[0]}", "a date that does not exist")
                continue
            visitor = folded.pop(known[0], None) or _Visitor(known[0], f"{place}:{item[0]}", at, at)
            visitor.take(said, at)
            folded[known[0]] = visitor
            if len(folded) > _ADDRESSES:
                yield from folded.popitem(last=False)[1].findings(own)
        for visitor in folded.values():
            yield from visitor.findings(own)


@dataclass(slots=True)
class _Visitor:
    """What was said of one address so far."""

    observable: Observable
    place: str
    """Where it was first named."""
    first: datetime
    last: datetime
    signs: Counter[Sign] = field(default_factory=Counter)
    stranger: bool = False

    def take(self, said: Said, at: datetime) -> None:
        """Adds what one line says."""
        self.first, self.last = min(self.first, at), max(self.last, at)
        self.signs[said.sign] += said.times
        self.stranger = self.stranger or said.stranger

    def findings(self, own: OwnAssets) -> Iterator[Finding]:
        """Yields the finding of all that was said; none where there were but logins."""
        ruling = self._ruling()
        if ruling is None:
            return
        event = Event(
            title="tries to log in over SSH, or bans by fail2ban",
            seen_at=self.first,
            last_seen_at=self.last,
            proposals=[Proposal(self.observable.kind, self.observable.value, ruling)],
            count=max(self._tries(), *(self.signs[sign] for sign in (Sign.STRANGER, Sign.PROBED, Sign.BANNED))),
        )
        found = finding_of(event, AuthLogReader.name, self.place, own)
        if found is not None:
            yield found

    def _tries(self) -> int:
        return max(self.signs[Sign.FAILED], self.signs[Sign.TURNED_AWAY]) + self.signs[Sign.FOUND]

    def _ruling(self) -> Ruling | None:
        """Rules on the address: logins first, because a person who mistypes gets in in the end."""
        if set(self.signs) <= {Sign.ENTERED}:
            return None
        if self.signs[Sign.ENTERED]:
            return _ENTERED
        if self.signs[Sign.BANNED]:
            return _BANNED
        if self.stranger:
            return _STRANGER
        if self._tries() >= _TRIES:
            return _GUESSED
        return _FEW if self._tries() else _PROBED


def _lines(stream: BinaryIO, place: str) -> Iterator[Numbered | Reject]:
    """Yields the lines that may count, cut at line feeds only: a carriage return in a user's name begins no line."""
    number = 0
    while line := stream.readline(MAX_RECORD):
        number += 1
        if len(line) == MAX_RECORD and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_RECORD)) and not rest.endswith(b"\n"):
                pass
            yield Reject(f"{place}:{number}", f"line of more than {MAX_RECORD} bytes")
        elif b"sshd" in line or b"fail2ban" in line:
            yield number, line.decode("utf-8", "replace").rstrip("\r\n")
