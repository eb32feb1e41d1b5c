"""docs/reference/params.md has every value of params.yaml, with its default and its range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from nodules.params.sections import Params
from tests.docs.pages import DOCS, code, tables
from tests.places import ROOT

PAGE = DOCS / "reference/params.md"
SCHEMA = Params.model_json_schema()
DEFAULTS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TASKS = ("classifier", "localizer")
# Of a network's settings that the other task has not.
ABSENT = "—"


def leaves(schema: dict[str, Any], values: Any, key: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every value below a section: its key, its default and what is allowed."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        for name, own in schema["properties"].items():
            yield from leaves(own, values[name], f"{key}.{name}".strip("."))
    else:
        yield key, values, allowed(schema)


def allowed(schema: dict[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "anyOf" in schema:
        value, null = schema["anyOf"]
        assert null == {"type": "null"}
        return f"{allowed(value)}, or `null`"
    if "enum" in schema:
        *others, last = (f"`{value}`" for value in schema["enum"])
        return f"{', '.join(others)} or {last}"
    if schema["type"] == "boolean":
        return "`true` or `false`"
    if schema["type"] == "string":
        return "text"
    if schema["type"] == "array":
        kind = schema.get("items") or schema["prefixItems"][0]
        count = f" of {len(schema['prefixItems'])}" if "prefixItems" in schema else ""
        return f"list{count}, each: {allowed(kind)}"
    return " ".join(
        [{"integer": "whole number", "number": "number"}[schema["type"]], *span(schema)]
    )


def span(schema: dict[str, Any]) -> list[str]:
    if "minimum" in schema and "maximum" in schema:
        return [f"{schema['minimum']:g} to {schema['maximum']:g}"]
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "up to",
        "exclusiveMaximum": "below",
    }
    ends = [f"{word} {number(schema[key])}" for key, word in words.items() if key in schema]
    return [" and ".join(ends)] if ends else []


def number(value: float) -> str:
    is_power = value > 1e6 and math.log2(value).is_integer()
    return f"2^{math.log2(value):.0f}" if is_power else f"{value:g}"


WANTED = {key: (value, words) for key, value, words in leaves(SCHEMA, DEFAULTS)}
TOLD = {}
for _table in tables(PAGE):
    for _row in _table.rows:
        for _task in TASKS if "classifier" in _row else ("",):
            _value = _row[_task or "default"]
            if _value != ABSENT:
                _key = f"{_task}.{code(_row['key'])}".strip(".")
                assert _key not in TOLD, f"{_key} twice"
                TOLD[_key] = (_value, _row["allowed"], _row["meaning"])


def test_every_key_is_told_and_no_other():
    assert set(TOLD) == set(WANTED)


@pytest.mark.parametrize("key", WANTED)
def test_default_and_range_are_right(key):
    value, words = WANTED[key]
    told_value, told_words, meaning = TOLD[key]
    assert yaml.safe_load(code(told_value)) == value
    # What the types cannot say may follow.
    assert told_words == words or told_words.startswith(f"{words};")
    assert meaning
