"""What Zeek's notices and intelligence matches say of their values: tables first, then one function a log.

A notice names ``src`` and ``dst``; which of them is the attacker depends on the note. What a note means is taken from
Zeek's own policy scripts (``scripts/policy`` of Zeek 7, where each NOTICE is filled in) and its notice index; what is
not in the tables is held. Most notices are about policy, certificates or Zeek itself and say nothing of an attacker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, moment, text
from threatshare.findings.events import Event, LookUp, Proposal, connection
from threatshare.findings.formats.zeek_logs import member, member_text
from threatshare.findings.roles import Began, Ruling, Side, Situation, situation
from threatshare.model import Kind, Observable, Role

# --- tables ---------------------------------------------------------------------------------------------------


class Meaning(Enum):
    """What a note says of the two ends of its notice."""

    SOURCE_ATTACKS = "source attacks"
    """``src`` did it; ``dst``, where there is one, is one of those it was done to."""
    CLIENT_ATTACKS = "client attacks"
    """The end that opened the connection did it, as far as that end is outside."""
    ATTACKED = "attacked"
    """``dst`` is the victim, or ``src`` where there is no ``dst`` (``detect-sqli.zeek``, until Zeek 8.0)."""
    BAD_FILE = "bad file"
    """A file that crossed the connection is malware."""
    LISTED = "listed"
    """``sub`` matched a list."""
    NOTHING = "nothing"
    """No attack, or nothing that others could use."""
    OPEN = "open"
    """Not in the tables."""


NOTES: Mapping[str, Meaning] = {
    "SSH::Password_Guessing": Meaning.SOURCE_ATTACKS,
    "FTP::Bruteforcing": Meaning.SOURCE_ATTACKS,
    "HTTP::SQL_Injection_Attacker": Meaning.SOURCE_ATTACKS,
    "Scan::Address_Scan": Meaning.SOURCE_ATTACKS,
    "Scan::Port_Scan": Meaning.SOURCE_ATTACKS,
    "Scan::Random_Scan": Meaning.SOURCE_ATTACKS,  # package bro-simple-scan; its fields are unverified
    "FTP::Site_Exec_Success": Meaning.CLIENT_ATTACKS,
    "Heartbleed::SSL_Heartbeat_Attack_Success": Meaning.CLIENT_ATTACKS,
    "HTTP::SQL_Injection_Victim": Meaning.ATTACKED,
    "TeamCymruMalwareHashRegistry::Match": Meaning.BAD_FILE,
    "Intel::Notice": Meaning.LISTED,
    # Our own mail server was told that it is on a block list.
    "SMTP::Blocklist_Error_Message": Meaning.NOTHING,
    "SMTP::Blocklist_Blocked_Host": Meaning.NOTHING,
}
"""Notes by name. Other notes of Heartbleed stay open: they say of themselves "attack or scan", and count plain
heartbeats too."""

MODULES: Mapping[str, Meaning] = dict.fromkeys(
    # SSL: certificates, versions and ciphers are policy (207 of 207 notices of one corpus were of that kind).
    # The others: what Zeek saw of itself, of protocols and of our own software and names.
    "SSL CaptureLoss Conn DNS GridFTP Notice PacketFilter ProtocolDetector Software Spicy Traceroute Weird".split(),
    Meaning.NOTHING,
)
"""Modules none of whose notes names an attacker."""

_BY_NOTICE = Ruling(Role.ATTACKER, "the notice names it as the one who attacks, guesses or scans")
_BY_CLIENT = Ruling(Role.ATTACKER, "the notice is about what it did on a connection that it opened to our side")
_TARGET = Ruling(Role.VICTIM_ASSET, "the notice names it as the one attacked")
_SAMPLE = Ruling(
    Role.UNKNOWN,
    "one of those whose requests to the victim looked like SQL injection; a notice of its own would decide; held",
)
_LISTED = Ruling(Role.KNOWN_INDICATOR, "matched an indicator of Zeek's intelligence framework")
_HOST = Ruling(Role.PAYLOAD, "our side fetched a file from it that malware scanners know")
_URL = Ruling(Role.PAYLOAD, "where our side fetched a file that malware scanners know")
_FILE = Ruling(Role.PAYLOAD, "a file that came in, and that malware scanners know")
_FILE_NOT_IN = Ruling(
    Role.UNKNOWN, "malware scanners know the file, but it is not seen to have come in from outside; held"
)
_PASSED_ON = Ruling(
    Role.UNKNOWN,
    "sent our side a file that malware scanners know, but mail servers and web users pass on what they were given; "
    "a person can decide; held",
)
_SENDER_OPEN = Ruling(
    Role.UNKNOWN, "malware scanners know a file of this connection; files.log would say which end sent it; held"
)

_FILE_HOSTS = re.compile(r"^(https?://[^/:]+:\d+):\d+(?=/|$)")
"""Zeek writes the port twice where the Host header has one (seen in its own tests)."""
_SHA1 = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{40}(?![0-9a-fA-F])").search
_NOTE = re.compile(r"[A-Za-z]\w{0,79}(?:::\w{1,80})?", re.ASCII).fullmatch

_HASHES: Mapping[int, Kind] = {32: Kind.MD5, 40: Kind.SHA1, 64: Kind.SHA256, 128: Kind.SHA512}

_VALUE_TYPES = frozenset({"Intel::ADDR", "Intel::DOMAIN", "Intel::EMAIL", "Intel::FILE_HASH", "Intel::URL"})
"""``seen.indicator_type`` whose values we share; others are user, software and file names, certificates and keys."""
_NO_VALUE_IN = frozenset({"Files::IN_NAME", "SMB::IN_FILE_NAME", "SSH::IN_SERVER_HOST_KEY", "X509::IN_CERT"})
"""Places where an Intel::Notice, which does not name the type, may have met a file name or a key's hash."""
_PLAIN_HTTP = "HTTP::IN_URL"

# --- what other logs add --------------------------------------------------------------------------------------


class Traces(NamedTuple):
    """What conn, files, http and ssl records said of a notice's connection and file."""

    ours: frozenset[str] = frozenset()
    """Addresses that conn.log calls local (``local_orig``, ``local_resp``)."""
    hosts: tuple[str, ...] = ()
    """Names of the server asked: HTTP's Host, TLS's server name."""
    url: str = ""
    """Where the file was asked for."""
    from_client: bool | None = None
    """Whether the end that opened the connection sent the file (``is_orig``); None: not said."""
    hashes: tuple[str, ...] = ()


NO_TRACES = Traces()


def meaning_of(note: str) -> Meaning:
    """Tells what a note says: by its name, else by its module, else it is open."""
    return NOTES.get(note) or MODULES.get(note.partition("::")[0], Meaning.OPEN)


def notice_event(doc: Doc, traces: Traces, look_up: LookUp) -> Event | None:
    """Maps one notice; None for those that say nothing of an attacker. BadValue for one without a note."""
    note = text(doc, "note")
    if not note:
        raise BadValue("a notice without a note")
    if meaning_of(note) is Meaning.NOTHING:
        return None
    return Event(
        title=text(doc, "msg") or note,
        seen_at=moment(doc, "ts"),
        proposals=list(_proposals(note, doc, traces, _locally(doc, traces, look_up))),
    )


def intel_event(doc: Doc) -> Event | None:
    """Maps one match of the intelligence framework to a sighting; its connection's ends are no indicators."""
    said = member_text(doc, "seen.indicator")
    kind = member_text(doc, "seen.indicator_type")
    if kind not in _VALUE_TYPES or not said:
        return None
    if kind == "Intel::URL" and "://" not in said:
        if member_text(doc, "seen.where") != _PLAIN_HTTP:
            raise BadValue("a URL without its scheme: Zeek's intelligence framework does not keep it")
        said = "http://" + said
    return Event(
        title="match of the intelligence framework",
        seen_at=moment(doc, "ts"),
        proposals=_typed(kind, said),
    )


def _typed(kind: str, said: str) -> list[Proposal]:
    match kind:
        case "Intel::DOMAIN":
            return [Proposal(Kind.DOMAIN, said, _LISTED)]
        case "Intel::EMAIL":
            return [Proposal(Kind.EMAIL, said, _LISTED)]
        case "Intel::URL":
            return [Proposal(Kind.URL, said, _LISTED)]
        case "Intel::ADDR":
            return [Proposal(Kind.IPV6 if ":" in said else Kind.IPV4, said, _LISTED)]
        case _:
            digest = _HASHES.get(len(said))
            return [Proposal(digest, said, _LISTED)] if digest is not None else []


# --- notices --------------------------------------------------------------------------------------------------


def _proposals(note: str, doc: Doc, traces: Traces, look_up: LookUp) -> Iterator[Proposal]:
    source = text(doc, "src") or member_text(doc, "id.orig_h")
    target = text(doc, "dst") or member_text(doc, "id.resp_h")
    match meaning_of(note):
        case Meaning.SOURCE_ATTACKS:
            for end in connection(look_up, source, target, Began.SOURCE, _BY_NOTICE, _TARGET, _BY_NOTICE):
                yield end._replace(ruling=_TARGET) if end.text == target else end
        case Meaning.CLIENT_ATTACKS:
            opened = _held(note)
            yield from connection(look_up, source, target, Began.SOURCE, _BY_CLIENT, opened, opened)
        case Meaning.ATTACKED:
            yield Proposal(None, target or source, _TARGET)
            if target:
                yield from connection(look_up, source, "", Began.SOURCE, unpaired=_SAMPLE)
        case Meaning.BAD_FILE:
            yield from _bad_file(doc, source, target, traces, look_up)
        case Meaning.LISTED:
            yield from _listed(doc)
        case _:
            yield from _open(note, source, target, traces, look_up)


def _open(note: str, source: str, target: str, traces: Traces, look_up: LookUp) -> Iterator[Proposal]:
    """Holds what is outside, and what the connection's other records name there."""
    held = _held(note)
    yield from connection(look_up, source, target, Began.SOURCE, held, held, held)
    if _met(source, target, look_up) is Situation.OUTBOUND:
        yield from (Proposal(Kind.DOMAIN, host, held) for host in traces.hosts)
        yield Proposal(Kind.URL, traces.url, held)
        if traces.from_client is False:
            yield from (Proposal(_HASHES.get(len(digest)), digest, held) for digest in traces.hashes)


def _bad_file(doc: Doc, source: str, target: str, traces: Traces, look_up: LookUp) -> Iterator[Proposal]:
    """Rules on a file that Team Cymru's registry knows, on where it came from and on who sent it.

    The registry answers with the share of virus scanners that detect the file: a detection, as a scanner of our own
    would make it, and not a match with a list that some partner keeps.
    """
    url = _FILE_HOSTS.sub(r"\1", text(doc, "file_desc"))
    url = url if url.startswith(("http://", "https://")) else traces.url
    # What http.log calls a file's URL was asked of the server, which sent the file unless files.log says otherwise.
    from_client = traces.from_client if traces.from_client is not None or not url else False
    met = _met(source, target, look_up)
    came_in = (met is Situation.INBOUND and from_client is True) or (met is Situation.OUTBOUND and from_client is False)
    if from_client is None:
        yield from connection(look_up, source, target, Began.SOURCE, _SENDER_OPEN, _SENDER_OPEN, _SENDER_OPEN)
    else:
        inbound = _PASSED_ON if from_client else _FILE_NOT_IN
        outbound = _FILE_NOT_IN if from_client else _HOST
        yield from connection(look_up, source, target, Began.SOURCE, inbound, outbound)
    if met is Situation.OUTBOUND and came_in:
        yield Proposal(Kind.URL, url, _URL)
    found = _SHA1(text(doc, "sub"))
    for digest in dict.fromkeys((*((found[0],) if found else ()), *traces.hashes)):
        yield Proposal(_HASHES.get(len(digest)), digest, _FILE if came_in else _FILE_NOT_IN)


def _listed(doc: Doc) -> Iterator[Proposal]:
    """Gives the value that matched; ``msg`` ends in the place where it was met."""
    said, where = text(doc, "sub"), text(doc, "msg").rpartition(" at ")[2]
    if where == _PLAIN_HTTP and "://" not in said:
        yield Proposal(Kind.URL, "http://" + said, _LISTED)
    elif where not in _NO_VALUE_IN:
        yield Proposal(None, said, _LISTED)


def _met(source: str, target: str, look_up: LookUp) -> Situation | None:
    """Tells how the two ends stand to each other; None where one of them is not named."""
    here, there = look_up(source), look_up(target)
    return situation(here[1], there[1], Began.SOURCE) if here is not None and there is not None else None


def _locally(doc: Doc, traces: Traces, look_up: LookUp) -> LookUp:
    """Gives a look-up that knows also what Zeek calls local; what it calls remote may still be ours."""
    ours = set(traces.ours) | local_ends(doc)
    if text(doc, "note").startswith("Scan::") and text(doc, "sub") == "local":  # the side on which the scanner is
        ours.add(text(doc, "src"))
    if not ours:
        return look_up

    def local(address: str) -> tuple[Observable, Side] | None:
        known = look_up(address)
        return (known[0], Side.INSIDE) if known is not None and address in ours else known

    return local


def local_ends(doc: Doc) -> set[str]:
    """Gives the ends of a connection that its record calls local."""
    ends = (("local_orig", "id.orig_h"), ("local_resp", "id.resp_h"))
    return {member_text(doc, end) for flag, end in ends if member(doc, flag) is True} - {""}


@lru_cache(maxsize=256)
def _held(note: str) -> Ruling:
    named = f"the notice {note}" if _NOTE(note) else "the notice"
    return Ruling(
        Role.UNKNOWN,
        f"{named} does not say which part the outside end plays: who knows the script behind it can decide; held",
    )
