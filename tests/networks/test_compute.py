from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from nodules.networks.compute import compute_environment, one_thread
from nodules.params.sections import ComputeParams
from tests.places import ROOT

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into Linux")
OWN = ComputeParams(backend="tensorflow", threads=2, cpu_isa="AVX2")
VARIABLES = ("KERAS_BACKEND", "ONEDNN_MAX_CPU_ISA", "TF_NUM_INTRAOP_THREADS")

# Keeps what it allocates, as a training step does, and counts pages that the kernel had to clear.
FAULTS = """
import json, resource, sys
import numpy as np
from nodules.networks.compute import prepare_process
if sys.argv[1] == "keep":
    prepare_process({})
for _ in range(3):
    blocks = [np.ones(3_000_000, np.float64) for _ in range(8)]
    del blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    blocks = [np.ones(3_000_000, np.float64) for _ in range(8)]
    del blocks
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""

THREADS = """
import json, os, sys
from nodules.networks.compute import prepare_process
prepare_process(json.loads(sys.argv[1]))
import keras
import tensorflow as tf
tf.linalg.matmul(tf.ones((512, 512)), tf.ones((512, 512)))
print(json.dumps([keras.backend.backend(), len(os.listdir("/proc/self/task"))]))
"""


def run(code: str, *words: str) -> Any:
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_says_otherwise_is_refused(monkeypatch, name):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    wanted = compute_environment(OWN)
    assert set(wanted) == set(VARIABLES)
    monkeypatch.setenv(name, wanted[name])
    assert compute_environment(OWN) == wanted
    monkeypatch.setenv(name, "other")
    with pytest.raises(ValueError, match=rf"{name}: Expected {wanted[name]}.* Received: other"):
        compute_environment(OWN)


@linux
@pytest.mark.slow
def test_the_process_runs_on_what_the_parameters_say(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    one, five = (compute_environment(OWN.model_copy(update={"threads": n})) for n in (1, 5))
    backend, threads = run(THREADS, json.dumps(one))
    assert backend == "tensorflow"
    assert run(THREADS, json.dumps(five)) == ["tensorflow", threads + 4]
    assert one_thread(five).items() >= one.items()


@linux
def test_memory_that_is_freed_is_kept():
    assert run(FAULTS, "keep") < 0.01 * run(FAULTS, "leave")
