"""The two locks: the same versions of everything, but for TensorFlow's build."""

from __future__ import annotations

import re

import pytest

from tests.places import ROOT


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.!+]+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-gpu.lock"])
def test_every_pin_has_hashes_and_none_an_address(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    # Results come from versions, so these are the same for every Python.
    assert len(blocks) == len(pins(name))
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_locks_differ_in_tensorflows_build_only():
    cpu, gpu = pins("requirements.lock"), pins("requirements-gpu.lock")
    assert cpu.pop("tensorflow-cpu") == cpu["tensorflow"] == gpu["tensorflow"]
    added = {name for name in gpu if name not in cpu}
    assert added
    assert all(name.startswith("nvidia-") for name in added)
    assert {name: gpu[name] for name in cpu} == cpu
