"""What one line of sshd or fail2ban says of an address: the message formats as a table, and the times of syslog.

User names are read past and never kept: they are people's, and whoever connects chooses them.
``Invalid user x from 198.51.100.7 port 22 from 203.0.113.9`` names the second address: behind a name chosen outside,
only what the program wrote after it counts, at the very end of the line.

Formats: OpenSSH's sources (auth.c, packet.c, sshd.c) and the test lines of fail2ban's own sshd filter. Programs are
``sshd``, since OpenSSH 9.8 also ``sshd-session`` and since 10.0 ``sshd-auth``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple

from threatshare.stix.timestamps import read_loose_time


class Sign(Enum):
    """What one line says of an address."""

    FAILED = "wrong password"
    TURNED_AWAY = "left or was sent away without having logged in"
    """Said of tries that may have been logged as failures too, so the two are not added up."""
    STRANGER = "asked for a user that does not exist"
    """Said once a connection, before the failures."""
    PROBED = "did not speak SSH, or none that we do"
    FOUND = "noticed by fail2ban"
    BANNED = "banned by fail2ban"
    ENTERED = "logged in"


class Said(NamedTuple):
    """What one line says."""

    time: str
    address: str
    sign: Sign
    stranger: bool
    """Whether it asked for a user that does not exist, or may not log in."""
    times: int = 1


_ADDRESS = r"(?P<address>[0-9A-Fa-f:.]{2,45}(?:%\w{1,16})?)"
_PORT = r"(?: port \d{1,5})?"
_USER = r"(?P<stranger>(?:invalid|illegal) user )?(?P<user>.*)"
_METHOD = r"(?:password|keyboard-interactive(?:/\w+)?)"
_END = r"(?:Connection (?:closed|reset) by|Disconnected from)"

_MESSAGES: tuple[tuple[re.Pattern[str], Sign], ...] = tuple(
    (re.compile(pattern), sign)
    for pattern, sign in (
        # An address behind something that the other side chose: the last one, at the very end.
        (rf"Failed {_METHOD} for {_USER} from {_ADDRESS}{_PORT}(?: ssh\d?)?", Sign.FAILED),
        (rf"(?P<stranger>[Ii](?:nvalid|llegal) user )(?P<user>.*) from {_ADDRESS}{_PORT}", Sign.STRANGER),
        (
            rf"{_END} (?:(?P<stranger>invalid)|authenticating) user (?P<user>.*) {_ADDRESS} port \d{{1,5}}",
            Sign.TURNED_AWAY,
        ),
        (
            rf"maximum authentication attempts exceeded for {_USER} from {_ADDRESS}{_PORT}(?: ssh\d?)?",
            Sign.TURNED_AWAY,
        ),
        (rf"PAM: [Aa]uthentication (?:failure|error) for {_USER} from {_ADDRESS}(?: via \S+)?", Sign.TURNED_AWAY),
        (
            r"(?P<stranger>PAM: User not known to the underlying authentication module) for (?P<user>.*) "
            rf"from {_ADDRESS}(?: via \S+)?",
            Sign.TURNED_AWAY,
        ),
        (rf"Bad protocol version identification '(?P<user>.*)' from {_ADDRESS}{_PORT}", Sign.PROBED),
        # An address in a fixed place, before anything that the other side chose.
        (rf"ROOT LOGIN REFUSED FROM {_ADDRESS}{_PORT}", Sign.TURNED_AWAY),
        (rf"Did not receive identification string from {_ADDRESS}{_PORT}", Sign.PROBED),
        (rf"banner exchange: Connection from {_ADDRESS} port \d{{1,5}}: invalid format", Sign.PROBED),
        (rf"Unable to negotiate with {_ADDRESS}{_PORT}: no matching .*", Sign.PROBED),
        (rf"Accepted \S{{1,64}} for \S{{1,100}} from {_ADDRESS} port \d{{1,5}}(?: .*)?", Sign.ENTERED),
    )
)
"""What sshd says that counts. Not among it, for a reason:

``Failed publickey``, ``Failed none``: clients offer every key they have, and ask for nothing first. ``pam_unix(...)``,
``PAM 2 more ...``, ``User x from ... not allowed``, ``Disconnecting ...: Too many authentication failures``: said
besides a line above. ``Received disconnect``, ``Connection closed by ADDRESS``, ``Timeout before authentication``:
any client may end so, monitors do. ``POSSIBLE BREAK-IN ATTEMPT``: a name server's record is missing, no more.
"""

_FAIL2BAN = re.compile(
    r"(?:fail2ban\.(?:actions|filter)\s*(?:\[\d+\])?:\s+)?(?:NOTICE|WARNING|INFO)\s+\[[\w.-]{1,64}\] "
    rf"(?P<said>Ban|Found) {_ADDRESS}(?: - .*)?"
).fullmatch
"""``Restore Ban`` after a restart is no new event; ``Unban``, ``Ignore`` and ``already banned`` are none at all."""
_WORDS: Mapping[str, Sign] = {"Ban": Sign.BANNED, "Found": Sign.FOUND}

_LINE = re.compile(
    r"(?:<\d{1,3}>)?(?P<time>[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r" (?:\S{1,255}(?<!:) )?(?P<program>[\w./-]{1,64})\s*(?:\[\d{1,10}\])?:\s(?P<message>.*)",
    re.ASCII,
).fullmatch
_PREFIX = re.compile(r"(?:\[ID \d+ [\w.]+\] )?(?:(?:error|fatal): )?").match
"""What Solaris, and sshd's level of a message, put before it."""
_PREAUTH = " [preauth]"
_REPEATED = re.compile(r"message repeated (\d{1,6}) times: \[ (.*)\]").fullmatch
_INFO = re.compile(r" from \S+ port \d+(?: ssh\d?)?:").search
"""The end of a failure that goes on with details: what then stands at the end of the line may not be sshd's."""
_SSHD = frozenset({"sshd", "sshd-session", "sshd-auth"})

_YEARLESS = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?", re.ASCII).fullmatch
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_ZONES = timedelta(hours=14)
"""How far a clock may be ahead of UTC: syslog writes local time and does not say so."""
_YEARS_BACK = 9
"""Years that are tried for a date without one; two leap years are never further apart than eight."""


def program_of(line: str) -> str | None:
    """Names the program that wrote a line of a log: ``sshd``, ``fail2ban`` or another; None for no line of a log."""
    parts = _LINE(line)
    if parts is None:
        return None
    program = parts["program"]
    if program in _SSHD:
        return "sshd"
    return "fail2ban" if program.startswith("fail2ban") else program


def read_line(line: str) -> Said | None:
    """Reads one line; None where it says nothing of an address that tried to get in, or got in."""
    parts = _LINE(line)
    if parts is None:
        return None
    time, program, message = parts["time"], parts["program"], parts["message"].strip()
    if program.startswith("fail2ban"):
        found = _FAIL2BAN(message)
        return Said(time, found["address"], _WORDS[found["said"]], False) if found else None
    return _of_sshd(time, message) if program in _SSHD else None


def _of_sshd(time: str, message: str) -> Said | None:
    repeated = _REPEATED(message)
    times, message = (int(repeated[1]), repeated[2].strip()) if repeated else (1, message)
    prefix = _PREFIX(message)
    message = message[prefix.end() if prefix else 0 :].removesuffix(_PREAUTH)
    for pattern, sign in _MESSAGES:
        found = pattern.fullmatch(message)
        if found is not None:
            groups = found.groupdict()
            ambiguous = sign is Sign.FAILED and _INFO(groups["user"]) is not None
            return None if ambiguous else Said(time, groups["address"], sign, bool(groups.get("stranger")), times)
    return None


def read_time(text: str, written_at: datetime) -> datetime | None:
    """Reads the time of a line, UTC; None for a date that does not exist.

    A time without a zone is taken for UTC, and is never later than the file was written, unless it is so by more
    than zones explain. A time without a year lies in the latest year that does not put it after that.
    """
    stated = _YEARLESS(text)
    if stated is None:
        at = read_loose_time(text)
        return at if at is None or at - written_at > _ZONES else min(at, written_at)
    if stated[1] not in _MONTHS:
        return None
    month = _MONTHS.index(stated[1]) + 1
    day, hour, minute, second = (int(part) for part in stated.groups()[1:])
    for year in range(written_at.year + 1, written_at.year - _YEARS_BACK, -1):
        try:
            at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            continue
        if at - written_at <= _ZONES:
            return min(at, written_at)
    return None
