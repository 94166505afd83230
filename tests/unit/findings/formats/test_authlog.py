"""Logs of sshd and fail2ban: one finding an address, no user's name, and nobody can have another one blamed."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats import authlog
from threatshare.findings.formats.authlog import AuthLogReader
from threatshare.findings.formats.authlog_messages import Sign, read_line, read_time
from threatshare.findings.readers import reader_named
from threatshare.model import Finding, Kind, Reject, Role

ATTACKER, OTHER, SPOOFED = "198.51.100.7", "203.0.113.9", "192.0.2.66"
NOTHING_KNOWN = OwnAssets()


def line(message: str, program: str = "sshd[4711]", at: str = "Nov 22 10:00:00") -> str:
    return f"{at} gate {program}: {message}"


def read(*messages: str, own: OwnAssets = NOTHING_KNOWN) -> list[Finding | Reject]:
    lines = [message if message[:4] in ("Nov ", "Feb ", "2026") else line(message) for message in messages]
    return list(AuthLogReader().read(io.BytesIO("\n".join(lines).encode()), "auth.log", own))


def roles(*messages: str, own: OwnAssets = NOTHING_KNOWN) -> dict[str, str]:
    got = read(*messages, own=own)
    assert not [item for item in got if isinstance(item, Reject)]
    return {
        seen.observable.value: seen.role.value
        for item in got
        if isinstance(item, Finding)
        for seen in item.observations
    }


def failed(address: str = ATTACKER, user: str = "alice") -> str:
    return f"Failed password for {user} from {address} port 4242 ssh2"


def test_few_failures_are_a_typo_and_many_are_an_attack() -> None:
    """Three failures, as many as a client asks a person for, are held; the fourth makes an attacker."""
    assert roles(*[failed()] * 3) == {ATTACKER: "unknown"}
    assert roles(*[failed()] * 4) == {ATTACKER: "attacker"}
    (held,) = read(failed())
    assert isinstance(held, Finding)
    assert held.observations[0].why.endswith("; held")


def test_failures_are_counted_for_each_address() -> None:
    """What two addresses did is not added up, whatever the order of the lines."""
    assert roles(*[failed(), failed(OTHER)] * 3) == {ATTACKER: "unknown", OTHER: "unknown"}
    assert roles(*[failed(), failed(OTHER)] * 3, failed(OTHER)) == {ATTACKER: "unknown", OTHER: "attacker"}


def test_repetitions_are_counted() -> None:
    """A line that stands for several counts as several."""
    repeated = f"message repeated 3 times: [ {failed()} ]"
    assert roles(repeated) == {ATTACKER: "unknown"}
    (got,) = read(failed(), repeated)
    assert isinstance(got, Finding)
    assert (got.observations[0].role, got.count) == (Role.ATTACKER, 4)


@pytest.mark.parametrize(
    "message",
    [
        f"Invalid user oracle from {ATTACKER} port 4242",
        f"Invalid user oracle from {ATTACKER}",
        f"Invalid user  from {ATTACKER} port 4242",
        f"Illegal user oracle from {ATTACKER}",
        f"Failed password for invalid user oracle from {ATTACKER} port 4242 ssh2",
        f"Failed keyboard-interactive/pam for invalid user oracle from {ATTACKER} port 4242 ssh2",
        f"[ID 800047 auth.info] Failed keyboard-interactive for illegal user x from {ATTACKER} port 4242 ssh2",
        f"Connection closed by invalid user oracle {ATTACKER} port 4242 [preauth]",
        f"Connection reset by invalid user oracle {ATTACKER} port 4242 [preauth]",
        f"Disconnected from invalid user oracle {ATTACKER} port 4242 [preauth]",
        f"error: maximum authentication attempts exceeded for invalid user x from {ATTACKER} port 4242 ssh2 [preauth]",
        f"error: PAM: User not known to the underlying authentication module for illegal user x from {ATTACKER}",
    ],
)
def test_one_try_as_a_user_that_does_not_exist_is_an_attack(message: str) -> None:
    """Every form in which sshd says so names the attacker."""
    assert roles(message) == {ATTACKER: "attacker"}


@pytest.mark.parametrize(
    "message",
    [
        f"Failed password for root from {ATTACKER} port 4242 ssh2",
        f"error: PAM: Authentication failure for root from {ATTACKER}",
        f"error: PAM: authentication error for root from {ATTACKER} via 10.0.0.1",
        f"Connection closed by authenticating user root {ATTACKER} port 4242 [preauth]",
        f"Connection reset by authenticating user root {ATTACKER} port 4242 [preauth]",
        f"Disconnected from authenticating user root {ATTACKER} port 4242 [preauth]",
        f"ROOT LOGIN REFUSED FROM {ATTACKER} port 4242 [preauth]",
        f"error: maximum authentication attempts exceeded for root from {ATTACKER} port 4242 ssh2 [preauth]",
    ],
)
def test_other_failures_need_to_be_many(message: str) -> None:
    """Every form of a failed login counts one."""
    assert roles(message) == {ATTACKER: "unknown"}
    assert roles(*[message] * 4) == {ATTACKER: "attacker"}


def test_one_failure_that_is_said_twice_counts_once() -> None:
    """The end of a connection is not a second failure beside its wrong password."""
    ended = f"Connection closed by authenticating user alice {ATTACKER} port 4242 [preauth]"
    assert roles(*[failed(), ended] * 3) == {ATTACKER: "unknown"}
    (got,) = read(*[failed(), ended] * 3)
    assert isinstance(got, Finding)
    assert got.count == 3


@pytest.mark.parametrize(
    "message",
    [
        f"Did not receive identification string from {ATTACKER} port 4242",
        f"Bad protocol version identification 'GET / HTTP/1.1' from {ATTACKER} port 4242",
        f"error: banner exchange: Connection from {ATTACKER} port 4242: invalid format",
        f"Unable to negotiate with {ATTACKER} port 4242: no matching host key type found. Their offer: x [preauth]",
        f"fatal: Unable to negotiate with {ATTACKER}: no matching cipher found. Their offer: aes128-cbc [preauth]",
    ],
)
def test_probes_are_held_however_many(message: str) -> None:
    """Scanners and monitors look alike until one of them tries to log in."""
    assert roles(*[message] * 20) == {ATTACKER: "unknown"}
    assert roles(message, f"Invalid user admin from {ATTACKER} port 4242") == {ATTACKER: "attacker"}


@pytest.mark.parametrize(
    "message",
    [
        f"Accepted password for alice from {ATTACKER} port 4242 ssh2",
        f"Accepted publickey for alice from {ATTACKER} port 4242 ssh2: ED25519 SHA256:0000",
        "pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
        f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ATTACKER}  user=x",
        f"PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost={ATTACKER}  user=root",
        f"Received disconnect from {ATTACKER} port 4242:11: disconnected by user",
        f"Received disconnect from {ATTACKER} port 4242:11: Bye Bye [preauth]",
        f"Disconnected from user alice {ATTACKER} port 4242",
        f"Connection closed by {ATTACKER} port 4242 [preauth]",
        f"Connection from {ATTACKER} port 4242 on 10.0.0.1 port 22 rdomain",
        f"fatal: Timeout before authentication for {ATTACKER} port 4242",
        f"Failed publickey for alice from {ATTACKER} port 4242 ssh2: RSA SHA256:0000",
        f"Failed none for alice from {ATTACKER} port 4242 ssh2",
        f"Address {ATTACKER} maps to a.example, but this does not map back to the address - POSSIBLE BREAK-IN ATTEMPT!",
        "Server listening on 0.0.0.0 port 22.",
        "Failed password for alice from host.example port 4242 ssh2",
        "Failed password for alice from 999.1.1.1 port 4242 ssh2",
        "User alice not allowed because account is locked",
    ],
)
def test_other_lines_yield_nothing(message: str) -> None:
    """What logged-in users, monitors and sshd itself do is neither an indicator nor held nor refused."""
    assert read(*[message] * 9) == []


@pytest.mark.parametrize("program", ["CRON[9]", "sudo", "kernel", "sshd-keygen[3]", "mysshd[3]", "app[1]"])
def test_only_sshd_speaks_for_sshd(program: str) -> None:
    """Another program's line that quotes sshd counts nothing."""
    assert read(*[line(failed(), program)] * 9) == []


def test_another_programs_words_are_not_taken_for_a_line_of_sshd() -> None:
    """Also where a line names no host, or its text begins as sshd's lines do."""
    quoted = f"sshd[1]: Invalid user a from {SPOOFED} port 22"
    for start in ("Nov 22 10:00:00 app[1]: ", "Nov 22 10:00:00 app: ", "Nov 22 10:00:00 gate app: "):
        assert read(start + quoted) == []
    assert roles("Nov 22 10:00:00.123456 " + quoted) == {SPOOFED: "attacker"}


@pytest.mark.parametrize("program", ["sshd[4711]", "sshd-session[4711]", "sshd-auth[4711]", "sshd"])
def test_the_programs_of_new_releases_are_read(program: str) -> None:
    """OpenSSH 9.8 and 10.0 write under new names."""
    assert roles(line(f"Invalid user a from {ATTACKER}", program)) == {ATTACKER: "attacker"}


def test_an_address_that_also_logs_in_is_held() -> None:
    """Who mistypes and gets in is perhaps one of ours, before and after."""
    entered = f"Accepted password for alice from {ATTACKER} port 4242 ssh2"
    assert roles(*[failed()] * 9, entered) == {ATTACKER: "unknown"}
    assert roles(entered, f"Invalid user alcie from {ATTACKER} port 4242") == {ATTACKER: "unknown"}


def test_addresses_of_ours_are_victims_at_most() -> None:
    """An inside address that fails stays home, also one that only configuration knows."""
    assert roles(*[failed("10.0.0.9")] * 9) == {"10.0.0.9": "victim-asset"}
    own = OwnAssets(networks=(ip_network(f"{ATTACKER}/32"),))
    assert roles(*[failed()] * 9, own=own) == {ATTACKER: "victim-asset"}


def test_ipv6_and_mapped_addresses() -> None:
    """Both families are read, and a mapped address is the one that it maps."""
    assert roles("Invalid user a from 2001:db8::7 port 4242") == {"2001:db8::7": "attacker"}
    assert roles(f"Invalid user a from ::ffff:{ATTACKER}") == {ATTACKER: "attacker"}


# --- injection ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    [
        f"x from {SPOOFED} port 22",
        f"from {SPOOFED}",
        f"x from {SPOOFED} port 22 ssh2",
        f"x {SPOOFED} port 22 [preauth]",
        f"Invalid user y from {SPOOFED} port 22",
        f"x from {SPOOFED} port 22: y",
        f"x\rNov 22 10:00:00 gate sshd[1]: Invalid user y from {SPOOFED} port 22",
    ],
)
def test_a_user_name_blames_nobody_else(user: str) -> None:
    """An address inside a user's name counts nowhere, only the one behind it; a failure that may have details is left
    out, because sshd has said already that the user does not exist."""
    told = (
        f"Invalid user {user} from {ATTACKER} port 4242",
        f"error: maximum authentication attempts exceeded for invalid user {user} from {ATTACKER} port 4242 ssh2",
        f"Connection closed by invalid user {user} {ATTACKER} port 4242 [preauth]",
    )
    for message in told:
        assert roles(message) == {ATTACKER: "attacker"}, message
    failure = roles(f"Failed password for invalid user {user} from {ATTACKER} port 4242 ssh2")
    assert failure == ({} if user.endswith(": y") else {ATTACKER: "attacker"})
    assert roles(f"Bad protocol version identification '{user}' from {ATTACKER} port 4242") == {ATTACKER: "unknown"}


def test_the_example_of_two_addresses_in_one_line() -> None:
    """Of a name that itself looks like the end of a message, only what comes last is sshd's."""
    assert roles(f"Invalid user x from {SPOOFED} port 22 from {OTHER}") == {OTHER: "attacker"}


def test_words_behind_the_end_of_a_message_make_it_unreadable() -> None:
    """Where it cannot be told which of two addresses sshd wrote, neither counts."""
    both = f"Failed password for invalid user x from {ATTACKER} port 4242 ssh2: from {SPOOFED} port 22 ssh2"
    assert read(both) == []
    assert read(f"Failed password for user from {ATTACKER} port 20000 ssh1: ruser from {SPOOFED}") == []
    offered = f"Their offer: from {SPOOFED} port 22"
    message = f"Unable to negotiate with {ATTACKER} port 4242: no matching host key type found. {offered} [preauth]"
    assert roles(message) == {ATTACKER: "unknown"}


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=120))
def test_no_user_name_gets_into_a_finding(user: str) -> None:
    """Whatever a name holds, the finding is the same as for any other name, or there is none."""
    name = f"canary{user}canary"
    message = f"Invalid user {name} from {ATTACKER} port 4242"
    plain = read(f"Invalid user x from {ATTACKER} port 4242")
    for got in (
        read(line(message)),
        read(line(f"Failed password for invalid user {name} from {ATTACKER} port 1 ssh2")),
    ):
        assert "canary" not in repr(got)
        assert len(got) <= 1
        if got:
            (found,), (expected,) = got, plain
            assert isinstance(found, Finding)
            assert isinstance(expected, Finding)
            assert found.observations == expected.observations


# --- fail2ban -------------------------------------------------------------------------------------------------


def fail2ban(word: str, what: str = "actions", level: str = "NOTICE") -> str:
    return f"2026-11-20 10:20:31,456 fail2ban.{what:<15} [1234]: {level:<7} {word}"


def test_a_ban_counts_at_once() -> None:
    """fail2ban has counted already; what it merely found is a failure like others."""
    assert roles(fail2ban(f"[sshd] Ban {ATTACKER}")) == {ATTACKER: "attacker"}
    assert roles(fail2ban(f"[nginx-http-auth] Ban {ATTACKER}")) == {ATTACKER: "attacker"}
    found = fail2ban(f"[sshd] Found {ATTACKER} - 2026-11-20 10:20:29", "filter", "INFO")
    assert roles(found) == {ATTACKER: "unknown"}
    assert roles(*[found] * 4) == {ATTACKER: "attacker"}


def test_fail2ban_through_syslog() -> None:
    """The same words count where fail2ban logs to syslog."""
    assert roles(line(f"NOTICE [sshd] Ban {ATTACKER}", "fail2ban.actions[77]")) == {ATTACKER: "attacker"}
    words = f"fail2ban.actions [77]: NOTICE [sshd] Ban {ATTACKER}"
    assert roles(line(words, "fail2ban-server[77]")) == {ATTACKER: "attacker"}


@pytest.mark.parametrize(
    "word",
    [
        f"[sshd] Unban {ATTACKER}",
        f"[sshd] Restore Ban {ATTACKER}",
        f"[sshd] {ATTACKER} already banned",
        f"[sshd] Ignore {ATTACKER} by ip",
        f"[sshd] Increase Ban {ATTACKER} (2 # 2:00:00 -> 2026-11-20 12:20:31)",
        "banTime: 600",
        "[sshd] Ban host.example",
    ],
)
def test_other_words_of_fail2ban_yield_nothing(word: str) -> None:
    """Only a new ban and a new failure are events."""
    assert read(*[fail2ban(word)] * 9) == []


# --- times ----------------------------------------------------------------------------------------------------

WRITTEN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mar  2 11:59:59", datetime(2026, 3, 2, 11, 59, 59, tzinfo=UTC)),
        ("Mar 2 11:59:59", datetime(2026, 3, 2, 11, 59, 59, tzinfo=UTC)),
        ("Mar  2 11:59:59.123456", datetime(2026, 3, 2, 11, 59, 59, tzinfo=UTC)),
        ("Dec 31 23:59:59", datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("Mar  2 21:00:00", WRITTEN),
        ("Mar  3 12:00:00", datetime(2025, 3, 3, 12, tzinfo=UTC)),
        ("Feb 29 12:00:00", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("Feb 31 12:00:00", None),
        ("Foo 11 12:00:00", None),
        ("2026-03-01T12:00:00.123456+02:00", datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-03-01 12:00:00,123", datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)),
        ("2026-03-02 20:00:00,123", WRITTEN),
        ("2026-13-02 20:00:00", None),
    ],
)
def test_times(text: str, expected: datetime | None) -> None:
    """A year that is missing is the latest that fits; a zone that is missing puts nothing into the future."""
    assert read_time(text, WRITTEN) == expected


def test_new_year_of_a_clock_ahead_of_utc() -> None:
    """A line written in the new year, where it has already begun, is not a year old."""
    assert read_time("Jan  1 08:00:00", datetime(2025, 12, 31, 23, tzinfo=UTC)) == datetime(
        2025, 12, 31, 23, tzinfo=UTC
    )


def test_the_year_is_the_files(tmp_path: Path) -> None:
    """A log from years ago is dated by the time when it was written."""
    path = tmp_path / "auth.log"
    path.write_text(line(f"Invalid user a from {ATTACKER}") + "\n")
    written = datetime(2019, 11, 23, tzinfo=UTC).timestamp()
    os.utime(path, (written, written))
    with path.open("rb") as stream:
        (got,) = AuthLogReader().read(stream, "auth.log", NOTHING_KNOWN)
    assert isinstance(got, Finding)
    assert got.seen_at == datetime(2019, 11, 22, 10, tzinfo=UTC)


def test_a_finding_spans_all_its_lines() -> None:
    """It names the first place, the first and the last time, and how many tries there were."""
    got = read(
        line("Server listening on 0.0.0.0 port 22."),
        line(failed(), at="2026-11-20T10:00:00+01:00"),
        line(failed(), at="2026-11-20T12:00:00+01:00"),
    )
    (found,) = got
    assert isinstance(found, Finding)
    assert (found.place, found.count, found.sensor) == ("auth.log:2", 2, "auth-log")
    assert found.seen_at == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert found.last_seen_at == datetime(2026, 11, 20, 11, tzinfo=UTC)
    assert found.observations[0].observable.kind is Kind.IPV4


def test_a_date_that_does_not_exist_is_a_reject_without_the_line() -> None:
    """The line is kept aside by its place; what it says, a user's name too, is not."""
    (got,) = read(line(f"Invalid user alice from {ATTACKER}", at="Feb 30 10:00:00"))
    assert got == Reject("auth.log:1", "a date that does not exist")


# --- limits and recognition -----------------------------------------------------------------------------------


def test_memory_is_bounded_by_letting_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit, the address not heard of for longest is ruled on early; nothing is lost."""
    monkeypatch.setattr(authlog, "_ADDRESSES", 2)
    names = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3", "192.0.2.4"]
    got = [item for item in read(*[failed(name) for name in names]) if isinstance(item, Finding)]
    assert [item.observations[0].observable.value for item in got] == [
        "192.0.2.2",
        "192.0.2.1",
        "192.0.2.3",
        "192.0.2.4",
    ]
    assert [item.count for item in got] == [1, 2, 1, 1]


def test_a_line_too_long_is_refused_and_the_next_is_read() -> None:
    """A line of megabytes costs itself only, and is not shown."""
    got = read("Failed password for " + "a" * 3_000_000, f"Invalid user a from {ATTACKER}")
    assert [type(item) for item in got] == [Reject, Finding]
    assert isinstance(got[0], Reject)
    assert got[0].text == ""


def test_long_names_cost_no_more_than_their_length() -> None:
    """A name full of half an end is read in time that grows with its length."""
    user = f" from {SPOOFED} port 1 ssh2" * 30_000
    assert read(f"Failed password for {user} by nobody") == []


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever comes, it yields findings and rejects and raises nothing."""
    prefix = b"Nov 22 10:00:00 gate sshd[1]: Invalid user "
    for item in AuthLogReader().read(io.BytesIO(prefix + data), "-", NOTHING_KNOWN):
        assert isinstance(item, Finding | Reject)


def recognised(*lines: str) -> bool:
    return AuthLogReader().recognises("\n".join(lines).encode(), "auth.log")


def test_recognition() -> None:
    """A log with lines of sshd or fail2ban is taken, among other programs' too; prose and other logs are not."""
    cron = line("(root) CMD (run-parts /etc/cron.hourly)", "CRON[9]")
    assert recognised(line(failed()))
    assert recognised(*[cron] * 99, line("Server listening on :: port 22."), "cut o")
    assert recognised(line(failed(), at="2026-11-22T10:00:00.123456+01:00"))
    assert recognised(fail2ban(f"[sshd] Ban {ATTACKER}"))
    assert not recognised(cron)
    assert not recognised(
        "We saw this in the log:", "", "    " + line(failed()), "", "and blocked the address.", "Bye."
    )
    assert not recognised('{"message": "sshd[1]: Failed password for root from 192.0.2.1 port 1 ssh2"}')
    assert not recognised("time,program,message", "2026-11-22,sshd,x")
    assert not recognised("", "sshd")


def test_a_line_says_one_thing() -> None:
    """The table gives each message its sign, and whether it named a user that does not exist."""
    said = read_line(line(f"Failed password for invalid user x from {ATTACKER} port 1 ssh2"))
    assert said is not None
    assert (said.sign, said.stranger, said.address, said.times) == (Sign.FAILED, True, ATTACKER, 1)


def test_the_text_reader_leaves_such_logs_alone() -> None:
    """The reader of reports takes none of these logs, so that a log without sshd becomes no list of indicators."""
    log = "\n".join([line(failed())] * 5).encode()
    assert not reader_named("text").recognises(log, "auth.log")
