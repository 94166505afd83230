"""The published JSON Schema is the current one, and takes and refuses the files that the program does."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from threatshare.errors import ConfigurationError
from threatshare.policy.agreement_files import parse_agreement
from threatshare.policy.agreement_schema import schema, schema_text

SMALLEST = """
partner = "north"
effective_from = 2026-01-01
expires_on = 2026-12-31
[outbound]
max_tlp = "green"
"""


def dialect() -> Any:
    """The version of JSON Schema that ours is in; its library takes seconds to load."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    return Draft202012Validator


def faults(text: str) -> list[str]:
    """Validates an agreement as an editor does, to which TOML's days are texts."""
    data = json.loads(json.dumps(tomllib.loads(text), default=str))
    validator = dialect()(schema(), format_checker=dialect().FORMAT_CHECKER)
    return [one.message for one in validator.iter_errors(data)]


def test_the_published_schema_is_current(root: Path) -> None:
    """The file in the reference is what `agreement schema` prints; after a change of the terms it is written anew."""
    assert (root / "docs/reference/agreement.schema.json").read_text("utf-8") == schema_text()


def test_it_is_a_schema() -> None:
    """It is valid JSON Schema of the version that it names."""
    dialect().check_schema(schema())


def test_it_says_what_every_key_means() -> None:
    """Every key but the tables bears a description, which editors show."""
    silent = [path for path, one in _properties(schema()["$defs"]) if "description" not in one]
    assert sorted(silent) == []


def _properties(shapes: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, shape in shapes.items():
        for key, one in shape["properties"].items():
            inner = one.get("$ref") or one.get("items", {}).get("$ref")
            yield f"{name}.{key}", shapes[inner.rpartition("/")[2]] if inner else one


def test_it_takes_the_examples(root: Path) -> None:
    """The annotated example and the smallest file are valid under it."""
    assert faults((root / "config/agreement.toml").read_text("utf-8")) == []
    assert faults(SMALLEST) == []


@pytest.mark.parametrize(
    "change",
    [
        ("max_tlp", "max_tpl"),
        ('"green"', '"white"'),
        ("expires_on = 2026-12-31\n", ""),
        ("2026-12-31", '"June"'),
        ('"north"', '"../north"'),
        ("[outbound]", "[outbound]\nmin_score = 101"),
        ("[outbound]", "[outbound]\nmax_age_days = 0"),
        ("[outbound]", "[outbound]\napproval = 'robot'"),
        ("[outbound]", "[event]\nstrat = 2026-01-01\n[outbound]"),
        ("[outbound]", "[[contacts]]\nrole = 'legal'\n[outbound]"),
    ],
)
def test_it_refuses_what_the_program_refuses(change: tuple[str, str]) -> None:
    """What an editor marks with it is what the program would refuse."""
    text = SMALLEST.replace(*change)
    assert faults(text)
    with pytest.raises(ConfigurationError):
        parse_agreement(text, "file")
