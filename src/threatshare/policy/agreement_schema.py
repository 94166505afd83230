"""The JSON Schema of agreement files, for editors and for partners' own tools."""

from __future__ import annotations

import ast
import json
from importlib.resources import files
from typing import Any

import msgspec

from threatshare.policy.agreement_terms import Agreement

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Gives the schema of ``agreements/PARTNER.toml`` as JSON Schema 2020-12; TOML's days are texts of format date.

    It follows from the types that read the file; what a key means is the string that stands under it there.
    """
    made = msgspec.json.schema(Agreement)
    for name, meanings in _meanings().items():
        properties = made["$defs"][name]["properties"]
        made["$defs"][name]["description"] = made["$defs"][name]["description"].replace("``", "`")
        for key, about in meanings.items():
            if key in properties:
                properties[key]["description"] = about
    about = "Agreement with a partner on sharing threat intelligence, as the program threatshare reads it."
    return {"$schema": _DIALECT, "title": "agreements/PARTNER.toml", "description": about} | made


def schema_text() -> str:
    """Gives ``schema`` as the text that is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _meanings() -> dict[str, dict[str, str]]:
    """Reads the string under each field, which exists nowhere at run time; by class and by the key in the file."""
    source = files("threatshare.policy").joinpath("agreement_terms.py").read_text("utf-8")
    found: dict[str, dict[str, str]] = {}
    for shape in ast.parse(source).body:
        if isinstance(shape, ast.ClassDef):
            found[shape.name] = {}
            for node, after in zip(shape.body, shape.body[1:], strict=False):
                if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
                    found[shape.name][_key(node)] = _line(ast.literal_eval(after.value))
    return found


def _line(text: object) -> str:
    return " ".join(str(text).split()).replace("``", "`")


def _key(node: ast.AnnAssign) -> str:
    """Gives a field's name in the file."""
    assert isinstance(node.target, ast.Name)
    if isinstance(node.value, ast.Call):
        for keyword in node.value.keywords:
            if keyword.arg == "name":
                return str(ast.literal_eval(keyword.value))
    return node.target.id
