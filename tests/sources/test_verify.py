"""Compares files that are whole, missing, damaged and cut short with their pins."""

from dataclasses import asdict
from hashlib import md5
from pathlib import Path

import pytest

from nodules.files import write_json
from nodules.sources.verify import verify
from nodules.sources.zenodo_pins import Pin


def pin_of(data: bytes) -> Pin:
    return Pin(len(data), md5(data, usedforsecurity=False).hexdigest())


def test_whole_is_told_from_missing_and_from_different(tmp_path: Path) -> None:
    names = [f"subset{k}.zip" for k in range(4)]
    whole = {name: f"content of {name}".encode() * 100 for name in names}
    registry = tmp_path / "zenodo.json"
    write_json(registry, {name: asdict(pin_of(data)) for name, data in whole.items()})
    damaged, short = b"d" + whole[names[1]][1:], whole[names[3]][:-7]
    targets = {name: tmp_path / name for name in names}
    for name, data in {names[0]: whole[names[0]], names[1]: damaged, names[3]: short}.items():
        targets[name].write_bytes(data)
    findings = verify(registry, targets)
    assert [finding.name for finding in findings] == names
    assert [finding.status for finding in findings] == ["ok", "differs", "missing", "differs"]
    lines = [str(finding) for finding in findings]
    assert lines[0] == f"ok       subset0.zip: md5 {pin_of(whole[names[0]]).md5}"
    assert pin_of(whole[names[1]]).md5 in lines[1]
    assert pin_of(damaged).md5 in lines[1]
    assert lines[2] == f"missing  subset2.zip: expected {targets[names[2]]}"
    assert f"{len(whole[names[3]]):,} bytes" in lines[3]
    assert f"{len(short):,} bytes" in lines[3]


def test_pins_are_needed(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"zenodo.json: Expected a checksum of subset0\.zip\. Received: .*first download",
    ):
        verify(tmp_path / "zenodo.json", {"subset0.zip": tmp_path / "0.zip"})
