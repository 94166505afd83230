"""people.toml: who may do what is read closed and exact, written so that it is read back, and never locks all out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import ConfigurationError
from threatshare.policy.people import FILE, ROLES, People, Person, impossible, load_people, people_text, save_people

LEAD = Person("Lead desk", "lead", ("operator",))
NIGHT = Person("Night desk", "night", ("analyst", "releaser"))
GOOD = '[[person]]\nname = "Lead desk"\nlogin = "lead"\nroles = ["operator"]\n'


def test_without_a_file_nobody_is_told_apart(tmp_path: Path) -> None:
    """A node without people.toml has no people, which is not the same as a file that names none."""
    assert load_people(tmp_path) is None
    (tmp_path / FILE).write_text("")
    with pytest.raises(ConfigurationError, match="nobody is operator"):
        load_people(tmp_path)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    """Persons, logins, roles and the sudo user come back as they were saved, and are found by login and name."""
    people = People((LEAD, NIGHT), "service")
    save_people(tmp_path, people)
    assert load_people(tmp_path) == people
    assert people.at("night") == NIGHT
    assert people.named("NIGHT DESK") == NIGHT
    assert people.at("nobody") is None
    assert people.holding({"releaser", "auditor"}) == ["Night desk"]
    assert [one.name for one in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("login", "logon"), "unknown key person[0].logon; did you mean login?"),
        (GOOD.replace('"operator"', '"boss"'), "person[0].roles[0]: 'boss' was given. Invalid enum value 'boss'"),
        (GOOD.replace('["operator"]', "[]"), "person[0].roles: is empty, wanted some of analyst, releaser"),
        (GOOD.replace("operator", "analyst"), "nobody is operator, so nobody could change this any more"),
        (GOOD + GOOD, "person[1].name: 'Lead desk' is another's already, wanted one name each that"),
        (GOOD + GOOD.replace("Lead desk", "Day"), "person[1].login: 'lead' is another's already"),
        (GOOD + GOOD.replace("Lead", "LEAD").replace('"lead"', '"two"'), "person[1].name: 'LEAD desk' is another's"),
        (GOOD.replace("Lead desk", "A; and B"), "person[0].name: 'A; and B' was given."),
        (GOOD.replace("Lead desk", "A on 2026-01-01"), "cannot be told from a name and a day"),
        ('through_sudo = "lead"\n' + GOOD, "through_sudo: 'lead' is a person's login"),
        ("[[person]\n", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    """A file that is wrong is not used, and the message names file, key, value and what was wanted."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigurationError) as problem:
        load_people(tmp_path)
    assert str(problem.value).startswith(f"{tmp_path / FILE}")
    assert said in str(problem.value)


def test_what_cannot_be_read_gives_nobody_a_right(tmp_path: Path) -> None:
    """Where people.toml is there and cannot be read, that is an error, and not a node without people."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_people(tmp_path)


def test_nothing_impossible_is_saved(tmp_path: Path) -> None:
    """The last operator stays: a change that would lock everybody out leaves the file as it was."""
    save_people(tmp_path, People((LEAD, NIGHT)))
    with pytest.raises(ConfigurationError, match="is left as it is: nobody is operator"):
        save_people(tmp_path, People((LEAD, NIGHT)).without("lead DESK"))
    assert load_people(tmp_path) == People((LEAD, NIGHT))


@pytest.mark.parametrize(
    "other", ["lead  desk", "Lead dеsk", "Ｌead desk", "Leаd desk", "LEAD DESK", "Lead\u3164 desk", "Ⅼead desk"]
)
def test_look_alikes_are_one_name(tmp_path: Path, other: str) -> None:
    """Nobody is on the list twice by two blanks, full-width letters, or Cyrillic ones that look the same."""
    assert People((LEAD,)).named(other) == LEAD
    with pytest.raises(ConfigurationError, match="is another's already"):
        save_people(tmp_path, People((LEAD, Person(other, "other", ("releaser",)))))
    assert People((LEAD,)).named("Led desk") is None


names = st.from_regex(r"\A\w[\w .'@-]{0,59}\Z")
persons = st.builds(
    Person,
    names,
    st.from_regex(r"\A[\w][\w.@\\-]{0,63}\Z"),
    st.lists(st.sampled_from(ROLES), min_size=1, unique=True).map(tuple),
)


@given(st.lists(persons, min_size=1, max_size=4).map(tuple))
def test_any_people_come_back(tmp_path_factory: pytest.TempPathFactory, some: tuple[Person, ...]) -> None:
    """Whatever names and logins are made of, the written file says the same when it is read."""
    people = People(some)
    folder = tmp_path_factory.mktemp("people")
    (folder / FILE).write_text(people_text(people), "utf-8")
    if list(impossible(people)):
        with pytest.raises(ConfigurationError):
            load_people(folder)
    else:
        assert load_people(folder) == people
