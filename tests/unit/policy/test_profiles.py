"""Profiles are closed data: what is wrong with a file is said, and no site changes what is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from profile_builders import PROFILES, bundled, held, submission
from threatshare.errors import ConfigurationError, UsageError
from threatshare.policy.profile_bundles import read_bundle
from threatshare.policy.profile_terms import SEVERITY
from threatshare.policy.profiles import MOST_FAULTS, check, chosen, digest, load_profile, load_profiles

RULE = """
[[rule]]
id = "OUR-01"
title = "A rule"
check = "tlp-within"
on_fail = "queue"
verified = true
source = "a paper"
[rule.parameters]
levels = ["green"]
"""
SMALLEST = f"""
name = "ours"
version = "1"
title = "A profile"
source = "a paper"
{RULE}
"""


def write(folder: Path, text: str, name: str = "ours") -> Path:
    """Writes a profile of the site."""
    (folder / "profiles").mkdir(exist_ok=True)
    file = folder / "profiles" / f"{name}.toml"
    file.write_text(text, "utf-8")
    return file


def test_what_is_shipped() -> None:
    """AIS-01 to AIS-11 in order, and the ISAC's; nothing in them claims to be confirmed."""
    assert set(PROFILES) == {"ais", "isac"}
    assert [one.id for one in PROFILES["ais"].rules] == [f"AIS-{number:02}" for number in range(1, 12)]
    assert not any(rule.verified for one in PROFILES.values() for rule in one.rules)
    assert all(rule.source and rule.title for one in PROFILES.values() for rule in one.rules)


def test_what_happens_on_failure_in_ais() -> None:
    """Private data waits for a person, what the server answers is an alert, all else blocks."""
    assert {one.id: one.on_fail for one in PROFILES["ais"].rules if one.on_fail != "block"} == {
        "AIS-08": "queue",
        "AIS-11": "alert",
    }


def test_a_site_adds_its_own(tmp_path: Path) -> None:
    """A file in profiles/ is there beside the shipped ones, and does what it says."""
    write(tmp_path, SMALLEST)
    found = load_profiles(tmp_path)
    assert list(found) == ["ais", "isac", "ours"]
    assert not found["ours"].shipped
    report = check(found["ours"], read_bundle(bundled(submission())))
    assert {(one.rule, one.on_fail) for one in report.faults} == {("OUR-01", "queue")}


def test_no_site_changes_what_is_shipped(tmp_path: Path) -> None:
    """A profile of the site with a shipped name is an error, not an override."""
    write(tmp_path, SMALLEST.replace('"ours"', '"ais"'), "ais")
    with pytest.raises(ConfigurationError, match="ais comes with the program"):
        load_profiles(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALLEST.replace("tlp-within", "tlp-witin"), "no check 'tlp-witin'; did you mean tlp-within"),
        (SMALLEST.replace("levels =", "level ="), "unknown parameter 'level'; did you mean levels"),
        (SMALLEST.replace('["green"]', '["grue"]'), "OUR-01: parameters: Invalid enum value 'grue'"),
        (SMALLEST.replace('levels = ["green"]', ""), "missing required field `levels`"),
        (SMALLEST.replace("on_fail", "on_fial"), "unknown key rule[0].on_fial; did you mean on_fail"),
        (SMALLEST.replace('"queue"', '"drop"'), "'drop' was given"),
        (SMALLEST.replace("verified = true", 'verified = "yes"'), "rule[0].verified"),
        (SMALLEST.replace("OUR-01", "one"), "rule[0].id"),
        (SMALLEST.replace('name = "ours"', 'name = "theirs"'), "the file is named after it"),
        (SMALLEST + RULE, "two rules OUR-01"),
        (SMALLEST + "[rule]", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake is named with file, rule and the nearest that there is."""
    file = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as problem:
        load_profile(file)
    assert said in str(problem.value)
    assert str(file) in str(problem.value)


def test_the_digest_changes_with_every_parameter(tmp_path: Path) -> None:
    """Two files that say the same have one digest; another parameter gives another, even under the same version."""
    first = digest(load_profile(write(tmp_path, SMALLEST)))
    assert digest(load_profile(write(tmp_path, SMALLEST + "\n# a remark"))) == first
    assert digest(load_profile(write(tmp_path, SMALLEST.replace('["green"]', '["clear"]')))) != first


def test_an_unknown_detector_is_named(tmp_path: Path) -> None:
    """A detector that does not exist is an error, with the nearest."""
    text = SMALLEST.replace("tlp-within", "no-personal-data").replace(
        'levels = ["green"]', 'detectors = ["privacy-cart"]'
    )
    with pytest.raises(ConfigurationError, match="did you mean privacy-card"):
        load_profile(write(tmp_path, text))


def test_a_wrong_name_names_the_nearest() -> None:
    """Whoever misspells a profile is told which there is."""
    with pytest.raises(UsageError, match="did you mean isac"):
        chosen("issac", PROFILES)


def test_the_most_severe_stand_first() -> None:
    """Faults come by severity, then in the order of the rules."""
    objects = submission()
    objects[-1] = objects[-1] | {"description": "to jane@example.com", "object_marking_refs": [], "created_by_ref": "x"}
    objects.append(objects[0] | {"labels": []})
    report = held(objects)
    severities = [SEVERITY[one.on_fail] for one in report.faults]
    assert severities == sorted(severities)
    assert report.count("queue") == 0
    assert report.count("block") == len(severities)
    mended = [*objects[:-2], objects[-2] | {"object_marking_refs": ["x"], "created_by_ref": objects[0]["id"]}]
    assert [one.rule for one in held(mended).faults] == ["AIS-05", "AIS-08"]


def test_many_faults_are_counted_and_not_all_kept() -> None:
    """A file of nothing but mistakes costs no more than the most that are kept of a rule."""
    one = submission()[-1]
    report = held([one | {"object_marking_refs": []}] * (MOST_FAULTS + 5), "isac")
    assert sum(fault.rule == "ISAC-03" for fault in report.faults) == MOST_FAULTS
    assert report.left_off >= 5
    assert not report.passes


def test_many_doubts_do_not_hide_what_blocks() -> None:
    """After a thousand things that a person may judge, one that blocks still blocks."""
    references = [{"source_name": "x", "description": "C:\\Users\\jdoe\\x"}] * (MOST_FAULTS + 1)
    objects = submission()
    objects[-1] = objects[-1] | {"external_references": [*references, {"source_name": "x", "url": "45.10.3.4"}]}
    found = {(one.rule, one.on_fail) for one in held(objects).faults}
    assert {("AIS-07", "queue"), ("AIS-07", "block")} <= found
