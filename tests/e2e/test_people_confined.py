"""People who reach a node only through sudo stay within their roles: with a directory of their own, a file, a pager.

Which account the process belongs to is said by the test, which cannot change that everywhere; all else is the command
line as it is, or real processes.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodes import NodeAtWork, make_node
from threatshare.cli import authority, main
from threatshare.model import micros
from threatshare.policy.people import Person, PersonRole, load_people, save_people
from threatshare.store.accounts import add_account, grant, list_accounts, verify
from threatshare.store.connection import open_reader, open_writer, transaction

LATER = str(datetime.now(UTC).date() + timedelta(days=400))
URL = "http://bad-shop.test/x?e=billing@bad-shop.test"
PEOPLE: dict[str, tuple[str, PersonRole]] = {
    "Night desk": ("night", "releaser"),
    "Hunt desk": ("hunt", "analyst"),
    "Counsel": ("counsel", "auditor"),
}
# Root is believed and trusted otherwise; where the tests run as root, the files are given away.
SERVICE = os.getuid() or 4711

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a node with a partner, an object that privacy holds, an operator and three people more."""
    tmp_path = tmp_path_factory.mktemp("confined")
    made = make_node(tmp_path / "node")
    (tmp_path / "list.csv").write_text(f"type,value\nurl,{URL}\nip,203.0.113.45\n")
    made.row("ingest", str(tmp_path / "list.csv"))
    made.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    made.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER, "--source", "isac-reader")
    assert made.row("publish")["held"] == 1
    made.row("person", "add", "Lead desk", "--login", "lead", "--role", "operator")
    people = load_people(made.directory)
    assert people is not None
    for name, (login, role) in PEOPLE.items():
        people = people.and_also(Person(name, login, (role,)))
    save_people(made.directory, people)
    file = made.directory / "people.toml"
    file.write_text('through_sudo = "threatshare"\n' + file.read_text())
    # The owner of the file takes it over.
    assert "was changed by hand" in made.run("status").stderr
    return made.directory


@pytest.fixture
def node(made: Path, tmp_path: Path) -> NodeAtWork:
    """A copy of it that belongs to a service account."""
    copy = NodeAtWork(tmp_path / "node")
    shutil.copytree(made, copy.directory)
    if os.getuid() == 0:
        for path in (copy.directory, *copy.directory.rglob("*")):
            os.chown(path, SERVICE, -1)
    return copy


@pytest.fixture
def sudo(node: NodeAtWork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as somebody who was let through sudo as the service account."""
    monkeypatch.setattr(authority, "process_user", lambda: (SERVICE, "threatshare"))
    monkeypatch.delenv("THREATSHARE_PERSON", raising=False)

    def run(login: str | None, *arguments: str, directory: Path = node.directory) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["threatshare", "--node", str(directory), *arguments])
            if login is None:
                patch.delenv("SUDO_USER", raising=False)
            else:
                patch.setenv("SUDO_USER", login)
            with pytest.raises(SystemExit) as end:
                main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def linked(node: NodeAtWork, folder: Path) -> Path:
    """A directory with links to a node's files, and no people in it."""
    folder.mkdir()
    for one in node.directory.iterdir():
        if one.name != "people.toml":
            (folder / one.name).symlink_to(one)
    return folder


def test_a_directory_of_links_is_no_way_round_roles(node: NodeAtWork, sudo: Run, tmp_path: Path) -> None:
    """Neither roles nor two persons are got round by a directory that links to the node's files without its people."""
    fake = linked(node, tmp_path / "fake")
    for verb in (("review",), ("publish",), ("person", "add", "Me", "--login", "hunt", "--role", "operator")):
        code, out, said = sudo("hunt", *verb, directory=fake)
        assert (code, out, "through sudo only a node of the account threatshare is used" in said) == (1, "", True), verb
    assert sudo("hunt", "review")[0] == 0
    # Without sudo's word the store itself remembers that there are people.
    code, _, said = sudo(None, "publish", directory=fake)
    assert (code, "people.toml is gone" in said) == (1, True)


@pytest.mark.parametrize("name", ["node.toml", "store.db", "people.toml"])
def test_no_file_of_a_node_is_a_link(node: NodeAtWork, sudo: Run, name: str) -> None:
    """Through sudo a node is not used one of whose files is a link."""
    file = node.directory / name
    file.rename(node.directory / f"{name}.real")
    file.symlink_to(f"{name}.real")
    code, _, said = sudo("hunt", "status")
    assert (code, f"{file} is a link" in said) == (1, True)


def test_a_place_that_others_can_write_is_no_nodes(node: NodeAtWork, sudo: Run) -> None:
    """Through sudo a node is not used that others could swap or write into."""
    node.directory.chmod(0o777)
    assert "others can write" in sudo("hunt", "status")[2]
    node.directory.chmod(0o700)
    parent = node.directory.parent
    parent.chmod(0o777)
    assert "into the place of" in sudo("hunt", "status")[2]
    parent.chmod(0o700)
    assert sudo("hunt", "lookup", "203.0.113.45")[0] == 0


def test_no_node_is_made_through_sudo_where_anybody_likes(node: NodeAtWork, sudo: Run, tmp_path: Path) -> None:
    """A second node, in which nobody is told apart, is not made with the account's rights."""
    for place in (tmp_path / "mine", node.directory / "agreements"):
        code, _, said = sudo("hunt", "init", str(place), "--name", "x", "--sector", "energy", "--country", "US")
        assert (code, "through sudo only" in said) == (1, True), place
    assert sudo("hunt", "demo", "--directory", str(tmp_path / "demo"))[0] == 2


def test_node_is_named_once(node: NodeAtWork) -> None:
    """A node that a line for sudo names is not overruled by what is typed behind it."""
    done = node.run("--node", "elsewhere", "status")
    assert (done.returncode, "--node is given twice" in done.stderr) == (2, True)


def test_people_that_are_gone_are_put_back(node: NodeAtWork, sudo: Run) -> None:
    """Where people.toml is gone everybody waits, the owner too, until somebody who was an operator puts it back."""
    file = node.directory / "people.toml"
    before = load_people(node.directory)
    file.unlink()
    for login in ("lead", "hunt", None):
        code, _, said = sudo(login, "publish")
        assert (code, "`threatshare person restore`" in said) == (1, True), login
    assert "needs the role operator" in sudo("hunt", "person", "restore")[2]
    assert not file.exists()
    assert sudo("lead", "person", "restore")[0] == 0
    assert load_people(node.directory) == before
    assert sudo("night", "publish")[0] == 1
    assert sudo(None, "person", "restore")[0] == 0


def test_a_change_by_hand_waits_for_an_operator_of_before(node: NodeAtWork, sudo: Run) -> None:
    """Whoever makes themselves operator with an editor is none before one of the list before goes on with it."""
    file = node.directory / "people.toml"
    file.write_text(file.read_text().replace('["analyst"]', '["operator", "releaser"]'))
    for login in ("hunt", "night"):
        code, _, said = sudo(login, "status")
        assert (code, "holds once somebody who was an operator before" in said, "Lead desk" in said) == (1, True, True)
    code, _, said = sudo("lead", "person", "list")
    assert (code, "was changed by hand; it holds from now on, as an act of lead" in said) == (0, True)
    assert sudo("hunt", "account", "add", "x")[0] == 0
    assert "people file" in sudo("counsel", "person", "acts")[1]
    assert "by an act of lead" in sudo("lead", "doctor")[1]


def test_no_file_is_read_or_written_through_sudo(node: NodeAtWork, sudo: Run, tmp_path: Path) -> None:
    """Through sudo data goes by stdin and stdout alone: no path is opened with the rights of the account."""
    secret = tmp_path / "secret.toml"
    secret.write_text("key = 1\n")
    people, store = node.directory / "people.toml", node.directory / "store.db"
    before = people.read_bytes()
    for login, *arguments in (
        ("lead", "partner", "checkin", "isac", "--out", str(people)),
        ("lead", "ledger", "export", str(store)),
        ("lead", "ledger", "export", "-", "--with-verifier", str(node.directory)),
        ("counsel", "ledger", "anchor", str(tmp_path / "anchors")),
        ("counsel", "ledger", "verify", "--anchor", str(secret)),
        ("lead", "export", "csv", "--output", str(node.directory / "own-assets.toml")),
        ("hunt", "incident", "write", "--title", "x", "--description-file", str(secret)),
        ("hunt", "incident", "write", "--from-toml", str(secret)),
        ("hunt", "ingest", str(secret)),
        ("hunt", "profile", "check", str(secret), "--profile", "ais"),
        ("hunt", "agreement", "diff", "isac", "--against", str(secret)),
    ):
        code, out, said = sudo(login, *arguments)
        assert (code, out, "through sudo no file is read or written" in said) == (2, "", True), arguments
    assert people.read_bytes() == before
    assert sudo("lead", "ledger", "export", "-")[0] == 0
    code, line, _ = sudo("counsel", "ledger", "anchor", "-")
    assert (code, line.startswith('{"at":')) == (0, True)
    assert sudo("lead", "export", "csv")[0] == 0


def test_no_file_of_the_node_is_overwritten(
    node: NodeAtWork, sudo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without sudo too, nothing that a command writes lands among the node's files, but in its exports folder."""
    monkeypatch.setattr(authority, "process_user", lambda: (SERVICE, "lead"))
    people = (node.directory / "people.toml").read_bytes()
    for path in ("store.db", "people.toml", "new.csv", "agreements/isac.toml", "exports/../node.toml"):
        for verb in (("export", "csv", "--output"), ("ledger", "export"), ("partner", "checkin", "isac", "--out")):
            code, _, said = sudo(None, *verb, str(node.directory / path))
            assert (code, "lies in the node directory" in said) == (2, True), (verb, path)
    os.link(node.directory / "people.toml", tmp_path / "other.csv")
    assert "under another name" in sudo(None, "ledger", "export", str(tmp_path / "other.csv"))[2]
    assert (node.directory / "people.toml").read_bytes() == people
    (node.directory / "exports").mkdir()
    assert sudo(None, "ledger", "export", str(node.directory / "exports" / "all.jsonl"))[0] == 0
    assert sudo(None, "ledger", "export", str(tmp_path / "all.jsonl"))[0] == 0


def test_partners_read_neither_ours_nor_anothers(node: NodeAtWork, sudo: Run) -> None:
    """An account that an agreement or a collection names reads nothing of our own tools, nor of another partner."""
    for name in ("isac", "isac-reader"):
        for alias in ("siem", "to-isac"):
            code, _, said = sudo("lead", "account", "add", f"{name}", "--read", alias)
            refused = f"account {name} is isac's, and the collection siem is for our own tools" in said
            assert (code, refused) == ((2, True) if alias == "siem" else (0, False)), said
        assert sudo("lead", "account", "grant", name, "--read", "siem")[0] == 2
    assert sudo("lead", "collection", "add", "to-north", "--title", "To the north", "--partner", "north")[0] == 0
    assert "is for isac" in sudo("lead", "account", "add", "north", "--read", "to-isac")[2]
    assert sudo("lead", "account", "add", "edr", "--read", "siem", "--read", "to-isac")[0] == 0
    assert sudo("lead", "account", "grant", "isac", "--write", "siem")[0] == 0


def test_an_agreement_that_makes_a_partner_of_a_reader_is_told(node: NodeAtWork, sudo: Run) -> None:
    """Where an agreement is added later, `doctor` names the account that reads what is ours, until it does no more."""
    assert sudo("lead", "account", "add", "edr", "--read", "siem")[0] == 0
    assert "account edr" not in sudo("lead", "doctor")[1]
    add = ("agreement", "add", "south", "--max-tlp", "green", "--until", LATER, "--source", "edr")
    assert sudo("lead", *add)[0] == 0
    told = "account edr is south's, and the collection siem is for our own tools"
    assert told in sudo("lead", "doctor")[1]
    assert sudo("lead", "account", "withdraw", "edr", "--read", "siem")[0] == 0
    assert told not in sudo("lead", "doctor")[1]


def test_the_walk_starts_no_pager(node: NodeAtWork, tmp_path: Path) -> None:
    """What `review walk` shows goes through no other program, from which there would be a way to a shell."""
    marker = tmp_path / "paged"
    if os.getuid() == 0:
        for path in (node.directory, *node.directory.rglob("*")):
            os.chown(path, 0, -1)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "threatshare", "--node", str(node.directory), "review", "walk"]
    walker = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"SUDO_USER": "night", "PAGER": f"tee {marker}", "TERM": "vt100"},
    )
    os.close(theirs)
    said = read_until(ours, "q quit", 1)
    os.write(ours, b"v")
    said += read_until(ours, "q quit", 1)
    os.write(ours, b"q")
    assert walker.wait(30) == 0, said
    os.close(ours)
    assert "indicator--" in said, said
    assert not marker.exists()


def read_until(handle: int, words: str, times: int) -> str:
    """Reads a terminal until some words have come."""
    said, end = "", time.monotonic() + 60
    while said.count(words) < times and time.monotonic() < end:
        if select.select([handle], [], [], 0.2)[0]:
            try:
                said += os.read(handle, 65536).decode("utf-8", "replace")
            except OSError:
                break
    # Keys that come before the terminal waits for one are lost.
    time.sleep(0.3)
    return said


def test_a_partners_account_is_served_its_own_alone(node: NodeAtWork) -> None:
    """Whatever it was granted earlier, an account named as a collection's partner is served no other's collection."""
    with closing(open_writer(node.directory / "store.db")) as conn, transaction(conn):
        key = add_account(conn, "isac", ["to-isac"], [], micros(datetime.now(UTC)))
        grant(conn, "isac", ["siem"])
    with closing(open_reader(node.directory / "store.db")) as conn:
        account = verify(conn, "isac", key, micros(datetime.now(UTC)))
        assert account is not None
        assert account.read == {"to-isac"}
        (listed,) = [one for one in list_accounts(conn) if one.account.name == "isac"]
        assert listed.account.read == {"siem", "to-isac"}


def test_names_from_before_logins_confirm_no_terms(node: NodeAtWork, sudo: Run) -> None:
    """What somebody confirmed by a name, before there were logins, is not one of the two confirmations."""
    file = node.directory / "agreements" / "isac.toml"
    file.write_text(
        file.read_text().replace('max_tlp = "green"', 'max_tlp = "amber"').replace("version = 1", "version = 2")
    )
    confirm = ("agreement", "confirm", "isac", "--reason", "signed on paper")
    assert sudo("lead", *confirm)[0] == 0
    with closing(open_writer(node.directory / "store.db")) as conn, transaction(conn):
        conn.execute("UPDATE agreement_confirmation SET login = NULL, person = 'Somebody'")
    assert "nobody has yet" in sudo("lead", "agreement", "check")[1]
    assert "waits for a second" in sudo("night", *confirm)[2]
    assert "acts from the next publish on" in sudo("lead", *confirm)[2]


def test_versions_that_are_missing_are_told(node: NodeAtWork, sudo: Run) -> None:
    """Whoever deletes the version of an agreement that a change is held against is told of by `ledger verify`."""
    assert sudo("counsel", "ledger", "verify")[0] == 0
    with closing(open_writer(node.directory / "store.db")) as conn, transaction(conn):
        conn.execute("DELETE FROM agreement_version")
    code, out, _ = sudo("counsel", "ledger", "verify")
    assert (code, "agreement with isac: 1 of the versions" in out) == (1, True)
