from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from nodules.report.page.html import number
from nodules.report.page.scan import write_scan_page
from tests.report.page.scans import make_balls

HOSTILE = "</script><script>alert(1)</script>\"'&<b>"


def page_of(path, **changes) -> str:
    balls = make_balls()
    content = {
        "volume_hu": balls.volume_hu,
        "geometry": balls.geometry,
        "seriesuid": "1.2.826",
        "findings": balls.table,
        "annotated": None,
        "about": {},
    }
    write_scan_page(path, **content | changes)
    return path.read_text(encoding="utf-8")


def test_text_is_escaped_wherever_it_comes_from(tmp_path):
    text = page_of(tmp_path / "a.html", seriesuid=HOSTILE, about={HOSTILE: {HOSTILE: HOSTILE}})
    assert "<script>alert" not in text
    assert "<b>&" not in text
    assert text.count("<script") == 2


def test_the_policy_lets_the_pages_script_run_and_nothing_be_fetched(tmp_path):
    text = page_of(tmp_path / "a.html")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    addresses = re.findall(r'(?:src|href)="([^"#][^"]{0,4})', text)
    assert set(addresses) == {"data:"}


def test_the_same_scan_gives_the_same_bytes(tmp_path):
    assert page_of(tmp_path / "a.html") == page_of(tmp_path / "b.html")


def test_the_scans_data_are_json(tmp_path):
    text = page_of(tmp_path / "a.html")
    data = json.loads(text.partition('class="scan-data">')[2].partition("</script>")[0])
    assert len(data["slices"]) == len(data["numbers"]) == len(data["z_mm"]) == 20
    assert [mark["label"] for mark in data["marks"]] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("value", "text"), [(1.234, "1.23"), (-2.0, "\N{MINUS SIGN}2.00"), (None, "n/a")]
)
def test_numbers_are_written_for_readers(value, text):
    assert number(value) == text
    assert number(float("nan")) == number(float("-inf")) == "n/a"
