"""People at the command line: each does what their roles say, everybody else is told who may, and all of it is kept.

The whole command line runs as it does for its users; only which user of the operating system the process belongs to is
said by the test, since a test cannot change that. Where sudo tells who it is, real processes run.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite

from nodes import NodeAtWork, make_node
from threatshare.cli import authority, main
from threatshare.model import micros
from threatshare.policy.people import Person, PersonRole, load_people, save_people
from threatshare.store.acts import BEGUN, Act, record_act
from threatshare.store.connection import open_writer, transaction

LATER = str(datetime.now(UTC).date() + timedelta(days=400))
PEOPLE: dict[str, tuple[str, PersonRole]] = {
    "Lead desk": ("lead", "operator"),
    "Night desk": ("night", "releaser"),
    "Day desk": ("day", "releaser"),
    "Hunt desk": ("hunt", "analyst"),
    "Counsel": ("counsel", "auditor"),
}
URL = "http://bad-shop.test/x?e=billing@bad-shop.test"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a node with a partner, an object that privacy holds, and five people."""
    folder = tmp_path_factory.mktemp("people")
    node = make_node(folder / "node")
    (folder / "list.csv").write_text(f"type,value\nurl,{URL}\nip,203.0.113.45\n")
    node.row("ingest", str(folder / "list.csv"))
    node.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    node.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    assert node.row("publish")["held"] == 1
    own = authority.process_user()[1]
    node.row("person", "add", "Test desk", "--login", own, "--role", "operator")
    people = load_people(node.directory)
    assert people is not None
    for name, (login, role) in PEOPLE.items():
        people = people.and_also(Person(name, login, (role,)))
    save_people(node.directory, people)
    assert "was changed by hand" in node.run("person", "list").stderr
    return node.directory


class Desk:
    """A command line at which somebody sits."""

    def __init__(self, directory: Path, sits: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self._sits, self._capsys = directory, sits, capsys

    def run(self, login: str, *arguments: str) -> tuple[int, str, str]:
        """Runs a command as a user; gives exit code, data and talk."""
        self._sits(login)
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["threatshare", "--node", str(self.directory), *arguments])
            with pytest.raises(SystemExit) as end:
                main()
        out, err = self._capsys.readouterr()
        return int(end.value.code or 0), out, err

    def rows(self, login: str, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """Runs a command with --json; gives its lines."""
        done, out, err = self.run(login, *arguments, "--json")
        assert done == code, err
        return [json.loads(line) for line in out.splitlines()]

    def refused(self, login: str, *arguments: str) -> str:
        """Runs a command that must be refused; gives what was said."""
        code, out, err = self.run(login, *arguments)
        assert (code, out) == (1, ""), err
        return err


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A desk at a copy of the node."""
    directory = tmp_path / "node"
    directory.mkdir()
    for name in ("node.toml", "own-assets.toml", "people.toml"):
        (directory / name).write_bytes((made / name).read_bytes())
    (directory / "agreements").mkdir()
    (directory / "agreements" / "isac.toml").write_bytes((made / "agreements" / "isac.toml").read_bytes())
    with sqlite.connect(made / "store.db") as source, sqlite.connect(directory / "store.db") as copy:
        source.backup(copy)
    source.close()
    copy.close()
    for name in ("SUDO_USER", "THREATSHARE_PERSON"):
        monkeypatch.delenv(name, raising=False)

    def sits(login: str) -> None:
        monkeypatch.setattr(authority, "process_user", lambda: (4711, login))

    return Desk(directory, sits, capsys)


def test_roles_are_enforced(desk: Desk) -> None:
    """Whoever lacks the role is refused with exit code 1, and told which it is and who has it."""
    said = desk.refused("hunt", "publish")
    assert "`publish` needs the role releaser, and Hunt desk is analyst; has it: Night desk, Day desk" in said
    said = desk.refused("counsel", "account", "add", "x")
    assert "`account add` needs the role operator, and Counsel is auditor; has it: Test desk, Lead desk" in said
    assert "the login stranger is nobody's in people.toml" in desk.refused("stranger", "lookup", "203.0.113.45")
    assert desk.rows("hunt", "lookup", "203.0.113.45")[0]["known"] is True
    assert desk.rows("hunt", "publish", "--dry-run")[0]["dry_run"] is True
    assert desk.run("stranger", "profile", "list")[0] == 0
    assert desk.run("stranger", "--help")[0] == 0
    assert desk.rows("night", "publish")[0]["released"] == {"siem": 0, "to-isac": 0}


def test_nobody_signs_for_somebody_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """--by and THREATSHARE_PERSON may only name who is there; whose login it is, signs by their name."""
    (group,) = desk.rows("night", "review")
    approve = ("review", "approve", group["group"], "--reason", "seen")
    code, _, said = desk.run("night", *approve, "--by", "Day desk")
    assert (code, "--by says 'Day desk', and you are Night desk" in said) == (2, True)
    monkeypatch.setenv("THREATSHARE_PERSON", "Day desk")
    code, _, said = desk.run("night", *approve)
    assert (code, "THREATSHARE_PERSON says 'Day desk'" in said) == (2, True)
    assert desk.rows("night", "review", "decisions") == []
    monkeypatch.delenv("THREATSHARE_PERSON")
    assert desk.rows("night", *approve, "--by", "night")[0]["by"] == "Night desk"
    (decision,) = desk.rows("counsel", "review", "decisions")
    assert (decision["by"], decision["login"]) == ("Night desk", "night")


def test_two_people_release_what_may_be_private(desk: Desk) -> None:
    """One releaser's approval waits, shown with the name; another's lets it go, and the ledger names both."""
    (group,) = desk.rows("night", "review")
    assert (group["persons"], group["approved_by_one"]) == (2, {})
    approve = ("review", "approve", group["group"], "--reason", "the shop is the phisher's own")
    assert "needs the role releaser" in desk.refused("hunt", *approve)
    assert desk.rows("night", *approve)[0]["waiting"] == 1
    assert "1 of 2, by Night desk" in desk.run("day", "review")[1]
    code, _, said = desk.run("night", *approve)
    assert (code, "a second, different person" in said) == (2, True)
    assert desk.rows("night", "publish", code=1)[0]["held"] == 1
    assert desk.rows("day", *approve)[0]["waiting"] == 0
    assert desk.rows("day", "publish")[0]["released"]["to-isac"] == 1
    last = desk.rows("counsel", "ledger", "show", "--limit", "1")[0]
    assert [one["person"] for one in last["approved"]] == ["Night desk", "Day desk"]
    assert {one["rule"] for one in last["approved"]} == {"privacy-mail"}


def test_two_people_raise_a_ceiling(desk: Desk) -> None:
    """A raised ceiling acts once an operator and a releaser have confirmed it, and everybody is told until then."""
    file = desk.directory / "agreements" / "isac.toml"
    file.write_text(
        file.read_text().replace('max_tlp = "green"', 'max_tlp = "amber"').replace("version = 1", "version = 2")
    )
    (told,) = desk.rows("lead", "agreement", "check")
    assert told["waiting"]["loosens"] == ["outbound.max_tlp"]
    assert desk.rows("lead", "agreement", "list")[0]["max_tlp"] == "green"
    for verb in (("status",), ("doctor",), ("agreement", "check"), ("agreement", "diff", "isac")):
        _, out, _ = desk.run("counsel", *verb)
        assert "waits for two persons to confirm it, nobody has yet" in out, verb
    confirm = ("agreement", "confirm", "isac", "--reason", "signed on paper")
    assert "needs the role operator or releaser" in desk.refused("hunt", *confirm)
    code, _, said = desk.run("lead", *confirm, "--digest", "0000")
    assert (code, f"have the digest {told['digest']}" in said) == (2, True)
    assert desk.rows("lead", *confirm, "--digest", told["digest"][:8])[0]["acts"] is False
    assert desk.run("lead", *confirm)[0] == 2
    assert "1 of 2, by Lead desk" in desk.run("counsel", "agreement", "check")[1]
    assert desk.rows("day", *confirm)[0]["confirmed_by"] == ["Lead desk", "Day desk"]
    assert desk.rows("lead", "agreement", "list")[0]["max_tlp"] == "amber"
    assert desk.run("lead", *confirm)[0] == 2


def test_acts_are_kept(desk: Desk) -> None:
    """Who did what with which roles, and what was refused, is shown; secrets and values are not; the chain holds."""
    key = desk.rows("lead", "account", "add", "partner", "--read", "to-isac")[0]["key"]
    desk.refused("hunt", "account", "revoke", "partner")
    desk.run("hunt", "review", "never-share", "203.0.113.45", "--reason", "it is 203.0.113.45")
    desk.run("lead", "account", "revoke", "nobody-there")
    found = desk.rows("counsel", "person", "acts", "--limit", "4")
    assert [(one["person"], one["verb"], one["outcome"].partition(":")[0]) for one in found] == [
        ("Lead desk", "account revoke", "failed"),
        ("Hunt desk", "review never-share", "done"),
        ("Hunt desk", "account revoke", "refused"),
        ("Lead desk", "account add", "done"),
    ]
    assert (found[1]["plain"]["values"], found[3]["plain"]) == (1, {"name": "partner", "read": ["to-isac"]})
    assert (found[3]["login"], found[3]["roles"]) == ("lead", ["operator"])
    assert [one["verb"] for one in desk.rows("lead", "person", "acts", "--who", "hunt")][:1] == ["review never-share"]
    raw = str(sqlite.connect(desk.directory / "store.db").execute("SELECT told FROM act").fetchall())
    assert key not in raw
    assert "203.0.113" not in raw
    assert "roles" not in desk.refused("night", "person", "acts")
    told = desk.rows("counsel", "ledger", "verify")[0]
    assert (told["holds"], told["acts"]["rows"] > 8) == (True, True)
    with sqlite.connect(desk.directory / "store.db") as conn:
        conn.execute("DROP TRIGGER act_no_update")
        conn.execute(
            "UPDATE act SET told = replace(told, 'Hunt desk', 'Day desk') WHERE number = 3 OR told LIKE '%Hunt%'"
        )
    assert desk.rows("counsel", "ledger", "verify", code=1)[0]["holds"] is False


def test_an_act_that_was_killed_is_not_lost(desk: Desk) -> None:
    """An act is on record before it is done: where its end is not, the process was killed, and it is shown as begun."""
    with closing(open_writer(desk.directory / "store.db")) as conn, transaction(conn):
        record_act(conn, Act("account add", BEGUN, "Lead desk", "lead", ("operator",)), micros(datetime.now(UTC)))
    desk.rows("lead", "account", "add", "x")
    done, begun = desk.rows("lead", "person", "acts", "--limit", "2")
    assert (done["outcome"], begun["outcome"]) == ("done", "begun")
    assert done["begun"] == begun["number"] + 1


def test_people_administer_people(desk: Desk) -> None:
    """The last operator stays, nobody changes their own roles, and what a role allows ends with it at once."""
    assert "needs the role operator" in desk.refused("night", "person", "add", "X", "--login", "x", "--role", "auditor")
    assert "nobody changes their own roles" in desk.refused(
        "lead", "person", "add", "Lead desk", "--login", "lead", "--role", "releaser"
    )
    assert desk.run("lead", "person", "remove", "Test desk")[0] == 0
    assert "nobody changes their own roles" in desk.refused("lead", "person", "remove", "Lead desk")
    code, _, said = desk.run("lead", "person", "add", "Counsel", "--login", "other", "--role", "auditor")
    assert (code, "Counsel has the login counsel" in said) == (2, True)
    assert desk.rows("lead", "person", "add", "Day desk", "--login", "day", "--role", "analyst")[0]["roles"] == [
        "analyst"
    ]
    assert "needs the role releaser" in desk.refused("day", "publish")
    desk.run("lead", "person", "remove", "night desk")
    assert "the login night is nobody's" in desk.refused("night", "publish")
    assert [one["name"] for one in desk.rows("day", "person", "list")] == [
        "Lead desk",
        "Hunt desk",
        "Counsel",
        "Day desk",
    ]


def test_a_change_by_hand_is_told(desk: Desk) -> None:
    """Whoever edits people.toml, or takes it away, is told of by `doctor`, since no act says who it was."""
    assert desk.run("lead", "person", "add", "Desk", "--login", "desk", "--role", "auditor")[0] == 0
    assert "people.toml" not in desk.run("lead", "doctor")[1]
    file = desk.directory / "people.toml"
    file.write_text(file.read_text().replace('"auditor"', '"releaser"'))
    assert "was changed otherwise than by `threatshare person`" in desk.run("lead", "doctor")[1]
    file.chmod(0o666)
    assert f"others can write {file}" in desk.run("lead", "doctor")[1]
    file.unlink()
    assert f"{file} is gone" in desk.refused("lead", "doctor")


def test_what_cannot_be_read_lets_nobody_in(desk: Desk) -> None:
    """A people.toml with a mistake stops every command that needs a role, with the message that mends it."""
    (desk.directory / "people.toml").write_text("[[person]]\nname = 'Lead desk'\nlogon = 'lead'\n")
    code, _, said = desk.run("lead", "status")
    assert (code, "unknown key person[0].logon; did you mean login?" in said) == (3, True)
    assert desk.run("lead", "profile", "list")[0] == 0


def test_the_owner_runs_the_service(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account whose files these are may start daemon and server without being a person; others need an operator."""
    assert "needs the role operator" in desk.refused("night", "daemon")
    assert "needs the role operator" in desk.refused("stranger", "serve")
    owner = (desk.directory / "node.toml").stat().st_uid
    monkeypatch.setattr(authority, "process_user", lambda: (owner, "stranger"))
    assert authority.require(desk.directory, "daemon").person is None
    with pytest.raises(authority.NotAllowed):
        authority.require(desk.directory, "publish")


# --- sudo: real processes ---------------------------------------------------------------------------


def test_sudo_tells_who_it_is_where_people_say_so(desk: Desk) -> None:
    """For the named service user, sudo's word says who is there; for any other user it counts for nothing."""
    own = pwd.getpwuid(os.getuid()).pw_name
    node = NodeAtWork(desk.directory, {"SUDO_USER": "night"})
    file = desk.directory / "people.toml"
    if os.getuid() != 0:
        assert node.run("publish").returncode == 1
    file.write_text(f'through_sudo = "{own}"\n' + file.read_text().replace(f'login = "{own}"', 'login = "elsewhere"'))
    if os.getuid() == 0:
        # The file's owner, whom nobody has sent, takes the change over.
        assert NodeAtWork(desk.directory).run("status").returncode == 1
    assert node.row("publish")["held"] == 0
    assert NodeAtWork(desk.directory, {"SUDO_USER": "hunt"}).run("publish").returncode == 1
    (act,) = NodeAtWork(desk.directory, {"SUDO_USER": "counsel"}).rows("person", "acts", "--who", "night")
    assert (act["person"], act["verb"], act["outcome"]) == ("Night desk", "publish", "done")
