"""Zeek's notices: the note decides which end is the attacker, and most notes say nothing of one."""

from __future__ import annotations

import io
import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats import zeek
from threatshare.findings.formats.zeek import ZeekReader
from threatshare.findings.formats.zeek_notices import MODULES, NOTES, Meaning, meaning_of
from threatshare.model import Finding, Kind, Reject, Role

OUT, OUT2, IN, IN2 = "198.51.100.7", "203.0.113.9", "10.0.0.9", "10.0.0.10"
SHA1 = "d9105746ea023ecdc6a47e7b4d026d5308525b8c"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
OWN = OwnAssets(domains=("corp.example",))
MATCH = "TeamCymruMalwareHashRegistry::Match"


def notice(note: str, src: str = "", dst: str = "", **more: Any) -> dict[str, Any]:
    ends = {key: value for key, value in (("src", src), ("dst", dst)) if value}
    return {"_path": "notice", "ts": 1588207244.74, "note": note, "msg": "said Zeek", **ends, **more}


def read(*docs: dict[str, Any], own: OwnAssets = OWN) -> list[Finding | Reject]:
    data = "\n".join(json.dumps(doc) for doc in docs).encode()
    return list(ZeekReader().read(io.BytesIO(data), "zeek.json", own))


def roles(*docs: dict[str, Any], own: OwnAssets = OWN) -> dict[str, str]:
    got = read(*docs, own=own)
    assert not [item for item in got if isinstance(item, Reject)]
    return {
        seen.observable.value: seen.role.value
        for item in got
        if isinstance(item, Finding)
        for seen in item.observations
    }


# --- who did it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "note",
    [
        "SSH::Password_Guessing",
        "FTP::Bruteforcing",
        "HTTP::SQL_Injection_Attacker",
        "Scan::Address_Scan",
        "Scan::Port_Scan",
    ],
)
def test_the_source_of_an_attack(note: str) -> None:
    """Outside it is an attacker, inside it stays home, and whom it attacked is never one."""
    assert roles(notice(note, OUT)) == {OUT: "attacker"}
    assert roles(notice(note, OUT, IN)) == {OUT: "attacker", IN: "victim-asset"}
    assert roles(notice(note, IN)) == {IN: "victim-asset"}
    assert roles(notice(note, IN, OUT)) == {IN: "victim-asset", OUT: "victim-asset"}
    assert roles(notice(note, "", OUT)) == {OUT: "victim-asset"}
    assert roles(notice(note, OUT, OUT2)) == {OUT: "unknown", OUT2: "victim-asset"}


def test_a_public_network_of_ours_attacks_nobody() -> None:
    """Configuration decides before the notice."""
    own = OwnAssets(networks=(ip_network("198.51.100.0/24"),))
    assert roles(notice("SSH::Password_Guessing", OUT), own=own) == {OUT: "victim-asset"}


def test_a_scanner_that_zeek_calls_local() -> None:
    """Zeek's own list of local networks says so in sub."""
    assert roles(notice("Scan::Port_Scan", OUT, OUT2, sub="local")) == {OUT: "victim-asset", OUT2: "victim-asset"}
    assert roles(notice("Scan::Address_Scan", OUT, sub="remote")) == {OUT: "attacker"}


def test_the_servers_that_were_guessed_at_are_not_read() -> None:
    """The sample of servers in sub are victims' addresses."""
    assert roles(notice("SSH::Password_Guessing", OUT, sub="Sampled servers:  203.0.113.80, 203.0.113.81")) == {
        OUT: "attacker"
    }


def test_the_victim_of_sql_injection() -> None:
    """It is dst; in older releases, which name no dst, it is src. The other end is only a sample of many."""
    assert roles(notice("HTTP::SQL_Injection_Victim", OUT, IN)) == {OUT: "unknown", IN: "victim-asset"}
    assert roles(notice("HTTP::SQL_Injection_Victim", OUT)) == {OUT: "victim-asset"}
    assert roles(notice("HTTP::SQL_Injection_Victim", OUT, OUT2)) == {OUT: "unknown", OUT2: "victim-asset"}


def test_the_client_of_an_attack_on_a_connection() -> None:
    """It attacks where it came from outside; where our side opened the connection, nothing is decided."""
    ends = {"id.orig_h": OUT, "id.resp_h": IN}
    assert roles(notice("FTP::Site_Exec_Success", **ends)) == {OUT: "attacker", IN: "victim-asset"}
    assert roles(notice("FTP::Site_Exec_Success", IN, OUT)) == {OUT: "unknown", IN: "victim-asset"}
    assert roles(notice("Heartbleed::SSL_Heartbeat_Attack_Success", OUT, IN))[OUT] == "attacker"
    assert roles(notice("Heartbleed::SSL_Heartbeat_Attack", OUT, IN))[OUT] == "unknown"


@pytest.mark.parametrize(
    "note",
    [
        "SSL::Invalid_Server_Cert",
        "SSL::Certificate_Expired",
        "SSL::Weak_Key",
        "SSL::Anything_New",
        "Software::Vulnerable_Version",
        "CaptureLoss::Too_Much_Loss",
        "DNS::External_Name",
        "ProtocolDetector::Server_Found",
        "GridFTP::Data_Channel",
        "Traceroute::Detected",
        "Weird::Activity",
        "SMTP::Blocklist_Blocked_Host",
        "Notice::Tally",
    ],
)
def test_policy_yields_nothing(note: str) -> None:
    """Certificates, versions and what Zeek saw of itself name no attacker, whatever else the notice holds."""
    more = {"sub": f"CN=evil.example {SHA1}", "file_desc": "http://evil.example/a", "uid": "C1", "fuid": "F1"}
    assert read(notice(note, IN, OUT, **more)) == []
    assert read(notice(note, OUT, IN, **more)) == []


def test_an_unknown_note_is_held_and_named() -> None:
    """What is outside is held with the note's name; what is inside is ours."""
    assert roles(notice("Custom::Beacon", IN, OUT)) == {IN: "victim-asset", OUT: "unknown"}
    assert roles(notice("Custom::Beacon", OUT)) == {OUT: "unknown"}
    (got,) = read(notice("Custom::Beacon", IN, OUT))
    assert isinstance(got, Finding)
    why = next(seen.why for seen in got.observations if seen.role is Role.UNKNOWN)
    assert "Custom::Beacon" in why
    assert why.endswith("; held")


def test_a_note_that_is_no_name_is_not_repeated() -> None:
    """A text in the place of the note gets into no rule's words."""
    (got,) = read(notice("jane@corp.example was here", IN, OUT))
    assert isinstance(got, Finding)
    assert not [seen for seen in got.observations if "jane" in seen.why]


def test_the_tables_agree() -> None:
    """Each module means nothing as a whole, and no note of the table is swallowed by its module."""
    assert set(MODULES.values()) == {Meaning.NOTHING}
    assert meaning_of("SSL::Invalid_Server_Cert") is Meaning.NOTHING
    assert meaning_of("SSLX::Something") is Meaning.OPEN
    assert all(meaning_of(note) is meaning for note, meaning in NOTES.items())


# --- files ----------------------------------------------------------------------------------------------------


def malware(src: str, dst: str, **more: Any) -> dict[str, Any]:
    sub = f"https://www.virustotal.com/gui/search/{SHA1}"
    return notice(MATCH, src, dst, uid="C1", fuid="F1", sub=sub, **more)


def test_a_file_that_scanners_know() -> None:
    """Fetched from outside, the server, the URL and the file are payload; the page about it is nothing."""
    url = "http://evil.example/a.exe"
    assert roles(malware(IN, OUT, file_desc=url)) == {
        IN: "victim-asset",
        OUT: "payload",
        url: "payload",
        SHA1: "payload",
    }


def test_the_port_that_zeek_writes_twice() -> None:
    """A URL with the port said twice is read as it was meant."""
    got = roles(malware(IN, OUT, file_desc="http://evil.example:8080:8080/a.exe"))
    assert got["http://evil.example:8080/a.exe"] == "payload"


def test_a_file_of_which_nothing_says_who_sent_it_is_held() -> None:
    """Without a URL and without files.log all is held."""
    assert roles(malware(IN, OUT)) == {IN: "victim-asset", OUT: "unknown", SHA1: "unknown"}
    assert roles(malware(IN, IN2, file_desc="http://10.0.0.10/a")) == {
        IN: "victim-asset",
        IN2: "victim-asset",
        SHA1: "unknown",
    }
    assert roles(malware(OUT, OUT2, file_desc="http://evil.example/a"))[SHA1] == "unknown"


def test_a_file_that_was_asked_of_our_server() -> None:
    """An outside client of ours is no distributor of it, and our URL is none of theirs."""
    assert roles(malware(OUT, IN, file_desc="http://www.corp.example/a")) == {
        OUT: "unknown",
        IN: "victim-asset",
        SHA1: "unknown",
    }


# --- intelligence ---------------------------------------------------------------------------------------------


def match(kind: str, value: str, where: str = "Conn::IN_RESP") -> dict[str, Any]:
    seen = {"seen.indicator": value, "seen.indicator_type": kind, "seen.where": where}
    return {"_path": "intel", "ts": 1588207244.74, "uid": "C1", "id.orig_h": IN, "id.resp_h": OUT, **seen}


@pytest.mark.parametrize(
    ("kind", "value", "observable"),
    [
        ("Intel::ADDR", OUT2, OUT2),
        ("Intel::ADDR", "2001:db8::7", "2001:db8::7"),
        ("Intel::DOMAIN", "evil.example", "evil.example"),
        ("Intel::EMAIL", "bad@evil.example", "bad@evil.example"),
        ("Intel::FILE_HASH", SHA256, SHA256),
        ("Intel::FILE_HASH", MD5, MD5),
    ],
)
def test_a_match_is_a_known_indicator(kind: str, value: str, observable: str) -> None:
    """It becomes a sighting; the ends of its connection say nothing."""
    assert roles(match(kind, value)) == {observable: "known-indicator"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Intel::CERT_HASH", SHA1),
        ("Intel::PUBKEY_HASH", MD5),
        ("Intel::USER_NAME", "alice@corp.test"),
        ("Intel::FILE_NAME", "setup.zip"),
        ("Intel::SOFTWARE", "curl/8.0.1.1"),
        ("Intel::FILE_HASH", "abc"),
        ("Intel::DOMAIN", ""),
    ],
)
def test_matches_of_what_is_not_shared_yield_nothing(kind: str, value: str) -> None:
    """The hash of a certificate is none of a file, and names of users and files are not ours to tell."""
    assert read(match(kind, value)) == []


def test_urls_of_the_intelligence_framework_have_no_scheme() -> None:
    """Met in plain HTTP the scheme is known; elsewhere it is not guessed."""
    assert roles(match("Intel::URL", "evil.example/a", "HTTP::IN_URL")) == {"http://evil.example/a": "known-indicator"}
    (got,) = read(match("Intel::URL", "evil.example/a", "SMTP::IN_MESSAGE"))
    assert isinstance(got, Reject)
    assert "scheme" in got.reason


def test_our_own_value_on_a_list_stays_ours() -> None:
    """A list that names something of ours makes no sighting of it."""
    assert roles(match("Intel::DOMAIN", "www.corp.example")) == {"www.corp.example": "victim-asset"}


def hit(value: str, where: str) -> dict[str, Any]:
    return notice("Intel::Notice", IN, OUT, sub=value, msg=f"Intel hit on {value} at {where}")


def test_notices_of_matches() -> None:
    """They are sightings too, of values that tell their kind by themselves."""
    assert roles(hit("evil.example", "DNS::IN_REQUEST")) == {"evil.example": "known-indicator"}
    assert roles(hit("evil.example/a", "HTTP::IN_URL")) == {"http://evil.example/a": "known-indicator"}
    assert roles(hit(SHA1, "Files::IN_HASH")) == {SHA1: "known-indicator"}
    for value, where in ((SHA1, "X509::IN_CERT"), ("setup.zip", "Files::IN_NAME"), ("alice", "SSH::SUCCESSFUL_LOGIN")):
        assert read(hit(value, where)) == []


# --- a stream of several logs ---------------------------------------------------------------------------------


def record(path: str, **more: Any) -> dict[str, Any]:
    return {"_path": path, "ts": 1588207244.7, **more}


CONN = record(
    "conn", uid="C1", local_orig=True, local_resp=False, **{"id.orig_h": IN, "id.resp_h": OUT, "conn_state": "SF"}
)
HTTP = record("http", uid="C1", host="evil.example", uri="/a.exe", method="GET", resp_fuids=["F1"], **{"id.resp_p": 80})
FILE = record("files", fuid="F1", is_orig=False, md5=MD5, sha256=SHA256, missing_bytes=0, conn_uids=["C1"])
SSL = record("ssl", uid="C1", server_name="c2.example", **{"id.orig_h": IN, "id.resp_h": OUT})


def test_telemetry_alone_yields_nothing() -> None:
    """Connections, requests, files and TLS sessions are no findings."""
    assert read(CONN, HTTP, FILE, SSL, record("dns", query="evil.example")) == []


@pytest.mark.parametrize("order", [[HTTP, FILE, None], [HTTP, None, FILE], [FILE, None, HTTP]])
def test_records_around_a_notice_are_joined(order: list[dict[str, Any] | None]) -> None:
    """What comes before a notice counts, and what comes after it too."""
    got = roles(*(malware(IN, OUT) if one is None else one for one in order))
    assert got == {
        IN: "victim-asset",
        OUT: "payload",
        "http://evil.example/a.exe": "payload",
        **dict.fromkeys((SHA1, SHA256, MD5), "payload"),
    }


def test_files_log_says_which_end_sent_it() -> None:
    """A file that a client from outside sent in is bad, but a mail server only passes on; one of ours is held."""
    sent = {**FILE, "is_orig": True}
    assert roles(sent, malware(OUT, IN)) == {
        OUT: "unknown",
        IN: "victim-asset",
        **dict.fromkeys((SHA1, SHA256, MD5), "payload"),
    }
    assert roles(sent, malware(IN, OUT))[OUT] == "unknown"
    assert roles(sent, malware(IN, OUT, file_desc="http://evil.example/upload")) == {
        IN: "victim-asset",
        OUT: "unknown",
        **dict.fromkeys((SHA1, SHA256, MD5), "unknown"),
    }


def test_an_incomplete_file_has_no_hash() -> None:
    """Where bytes are missing, what was hashed is another file."""
    got = roles({**FILE, "missing_bytes": 10}, malware(IN, OUT))
    assert SHA256 not in got


def test_names_of_a_held_notice_are_held() -> None:
    """The server's names and the file stand or fall with the end that they belong to."""
    beacon = notice("Custom::Beacon", IN, OUT, uid="C1", fuid="F1")
    got = roles(SSL, HTTP, FILE, beacon)
    assert got.pop(IN) == "victim-asset"
    assert set(got) == {OUT, "evil.example", "http://evil.example/a.exe", SHA256, MD5}
    assert set(got.values()) == {"unknown"}
    assert roles(SSL, notice("Custom::Beacon", OUT, IN, uid="C1")) == {OUT: "unknown", IN: "victim-asset"}


def test_conn_log_says_which_side_is_ours() -> None:
    """What Zeek calls local is ours, even if our configuration does not know it; what it calls remote may be ours."""
    conn = {**CONN, "id.orig_h": OUT2, "id.resp_h": OUT}
    attack = notice("Custom::Beacon", OUT2, OUT, uid="C1")
    assert roles(attack) == {OUT2: "unknown", OUT: "unknown"}
    assert roles(CONN, attack) == {OUT2: "unknown", OUT: "unknown"}
    assert roles(conn, attack) == {OUT2: "victim-asset", OUT: "unknown"}
    assert roles(record("dns", uid="C9"), SSL, attack, conn) == {
        OUT2: "victim-asset",
        OUT: "unknown",
        "c2.example": "unknown",
    }
    remote = {**CONN, "local_orig": False}
    assert roles(remote, notice("Custom::Beacon", IN, OUT, uid="C1"))[IN] == "victim-asset"


def test_the_port_of_a_request() -> None:
    """It stands in the URL unless it is 80 or the Host header names it."""
    url = "http://evil.example:8080/a.exe"
    assert roles({**HTTP, "id.resp_p": 8080}, malware(IN, OUT))[url] == "payload"
    assert roles({**HTTP, "id.resp_p": 8080, "host": "evil.example:8080"}, malware(IN, OUT))[url] == "payload"
    assert "payload" not in roles({**HTTP, "method": "CONNECT"}, malware(IN, OUT)).values()


def test_other_connections_are_not_joined() -> None:
    """A notice gets only what carries its own ids."""
    got = roles({**FILE, "fuid": "F2"}, {**HTTP, "uid": "C2", "resp_fuids": ["F2"]}, malware(IN, OUT))
    assert got == {IN: "victim-asset", OUT: "unknown", SHA1: "unknown"}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten, and a notice waits for a bounded number of records."""
    monkeypatch.setattr(zeek, "_BEHIND", 2)
    monkeypatch.setattr(zeek, "_AHEAD", 3)
    others = [{**FILE, "fuid": f"G{n}"} for n in range(6)]
    assert SHA256 not in roles(FILE, *others, malware(IN, OUT))
    assert SHA256 in roles(others[0], malware(IN, OUT), FILE)
    assert SHA256 not in roles(others[0], malware(IN, OUT), *others, FILE)


def test_a_notice_in_a_log_of_its_own_does_not_wait() -> None:
    """Where nothing could be joined, findings and rejects come in the order of their lines."""
    broken = {"_path": "notice", "ts": 1, "uid": "C1"}
    assert [type(item) for item in read(malware(IN, OUT), broken, malware(IN, OUT))] == [Finding, Reject, Finding]
    assert [type(item) for item in read(FILE, malware(IN, OUT), {"_path": "notice", "ts": 1})] == [Reject, Finding]


# --- formats and faults ---------------------------------------------------------------------------------------


def test_tsv_and_json_say_the_same() -> None:
    """The same notice gives the same finding in either format and every spelling."""
    header = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tnotice\n"
    fields = "#fields\tts\tuid\tid.orig_h\tid.resp_h\tnote\tmsg\tsub\tsrc\tdst\n#types\ttime\tstring\taddr\taddr\tenum"
    row = f"1588207244.74\tC1\t{IN}\t{OUT}\tCustom::Beacon\tsaid Zeek\t-\t-\t-"
    data = f"{header}{fields}\tstring\tstring\taddr\taddr\n{row}\n".encode()
    (written,) = ZeekReader().read(io.BytesIO(data), "zeek.json", OWN)
    assert isinstance(written, Finding)
    base = {"ts": 1588207244.74, "uid": "C1", "note": "Custom::Beacon", "msg": "said Zeek", "suppress_for": 1.0}
    for ends in (
        {"id.orig_h": IN, "id.resp_h": OUT},
        {"id_orig_h": IN, "id_resp_h": OUT},
        {"id": {"orig_h": IN, "resp_h": OUT}},
    ):
        (said,) = read({**base, **ends})
        assert isinstance(said, Finding)
        assert (said.observations, said.seen_at, said.title) == (written.observations, written.seen_at, written.title)


@pytest.mark.parametrize("ts", [1588207244.74, "1588207244.74", 1588207244740, "2020-04-30T00:40:44.740000Z"])
def test_times(ts: Any) -> None:
    """Seconds, milliseconds and ISO 8601 are what Zeek's JSON writer can be set to."""
    (got,) = read({**notice("SSH::Password_Guessing", OUT), "ts": ts})
    assert isinstance(got, Finding)
    assert got.seen_at.isoformat(timespec="seconds") == "2020-04-30T00:40:44+00:00"


@pytest.mark.parametrize(
    ("doc", "reason"),
    [
        ({**notice("SSH::Password_Guessing", OUT), "ts": "yesterday"}, "no time that can be read"),
        ({"_path": "notice", "ts": 1, "src": OUT}, "a notice without a note"),
    ],
)
def test_broken_notices_are_rejects(doc: dict[str, Any], reason: str) -> None:
    """They are kept aside with their place, and the next is read."""
    got = read(doc, notice("SSH::Password_Guessing", OUT))
    assert isinstance(got[0], Reject)
    assert (got[0].place, got[0].reason) == ("zeek.json:1", reason)
    assert isinstance(got[1], Finding)


def test_values_and_their_kinds() -> None:
    """Addresses, URLs and hashes come out as what they are."""
    (got,) = read(malware(IN, OUT, file_desc="http://evil.example/a"))
    assert isinstance(got, Finding)
    assert {seen.observable.kind for seen in got.observations} == {Kind.IPV4, Kind.URL, Kind.SHA1}
    assert (got.sensor, got.place, got.title) == ("zeek", "zeek.json:1", "said Zeek")


_ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=3), max_size=2)
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"_path": st.sampled_from(["notice", "intel", "conn", "files", "http", "ssl", "dns"])},
            optional={
                key: st.one_of(_ANY, st.sampled_from([OUT, IN, "C1", "F1", 1.0]))
                for key in (
                    *("ts", "uid", "fuid", "src", "dst", "sub", "msg", "id", "id.orig_h", "id_resp_h", "file_desc"),
                    *("host", "uri", "resp_fuids", "sha256", "is_orig", "local_orig", "seen", "missing_bytes"),
                )
            }
            | {"note": st.one_of(_ANY, st.sampled_from([*NOTES, "SSL::Weak_Key", "Custom::X"]))}
            | {"seen.indicator": _ANY, "seen.indicator_type": st.sampled_from(["Intel::ADDR", "Intel::URL", 1])},
        ),
        max_size=5,
    )
)
def test_nothing_of_ours_becomes_an_indicator(docs: list[dict[str, Any]]) -> None:
    """Whatever the records hold, nothing is raised, and no inside address gets a role that could leave."""
    for item in read(*docs):
        if isinstance(item, Finding):
            assert not [seen for seen in item.observations if seen.role.is_indicator and IN in seen.observable.value]
