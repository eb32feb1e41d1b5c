"""The same data on every processor: made here as on each of those that this one can pass for."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.places import ROOT

# Of `tests.stages.small_data`, whatever the processor. Renewed on purpose only, where a change to
# phantoms, sampling or the split is meant to change the data: put in what
#     python -m tests.stages.small_data "$(mktemp -d)" 1
# prints as contents.
CONTENTS = {
    "unrounded": "311b2a90728bc9614a8796637716a615",
    "tables": "dc243a0dedff0c88eda6b78684e51397",
    "voxels": "58b7628eaa09ca4276d59006396dc809",
    "patches": "8011284dff5ba31144548162ccf21c70",
    "index": "f221d9f2a14135f482df0962369b8fed",
    "split": "caaad57df87ec2ee40cf30c82e5b0b26",
}

pytestmark = pytest.mark.slow

# NumPy's kinds of code that this processor can run beyond the least, the lowest first.
LEVELS = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])


def older_processor(level: int) -> dict[str, str]:
    """Variables that have libraries see a processor with only the first so many of `LEVELS`."""
    variables = {"NPY_DISABLE_CPU_FEATURES": " ".join(LEVELS[level:])}
    if platform.machine() == "x86_64":
        # Of BLAS, the C library and Parquet the kinds that go with it, as near as may be.
        has_avx512, has_avx2 = "X86_V4" in LEVELS[:level], "X86_V3" in LEVELS[:level]
        blas = "SkylakeX" if has_avx512 else "Haswell" if has_avx2 else "Nehalem"
        variables["OPENBLAS_CORETYPE"] = blas
        if not has_avx512:
            missing = ["AVX512F", "AVX512VL"] + ([] if has_avx2 else ["AVX", "AVX2", "FMA", "FMA4"])
            variables["GLIBC_TUNABLES"] = "glibc.cpu.hwcaps=" + ",".join(f"-{m}" for m in missing)
            variables["ARROW_USER_SIMD_LEVEL"] = "AVX2" if has_avx2 else "NONE"
    return variables


def threads(count: int) -> dict[str, str]:
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(count))


def small_data(folder: Path, jobs: int = 1, **variables: str) -> dict[str, dict[str, str]]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.stages.small_data", str(folder), str(jobs)]
    environment = os.environ | variables
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> dict[str, dict[str, str]]:
    return small_data(tmp_path_factory.mktemp("here"), **threads(1))


def test_this_processor_makes_the_committed_data(here):
    assert here["contents"] == CONTENTS


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_an_older_processor_makes_the_same_files(here, tmp_path, level):
    assert small_data(tmp_path, **threads(2), **older_processor(level)) == here


def test_two_jobs_make_the_same_files(here, tmp_path):
    assert small_data(tmp_path, jobs=2, **threads(2)) == here
