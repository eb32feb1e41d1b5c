"""What a training ran on and how long it took: what its outputs, alike everywhere, cannot say."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy
from numpy.typing import NDArray

# Patches hashed at a time: what is read from a memory map stays small.
_CHUNK = 4096


def environment() -> dict[str, Any]:
    """Describe machine and software as far as they decide a training's bits.

    Returns
    -------
    environment
        ``python``, ``platform`` (system and architecture), ``processor`` (the model's name),
        ``simd`` (the kinds of instructions that NumPy found), ``cores`` (that this process may
        use), ``threads`` and ``cpu_isa`` (TensorFlow's and oneDNN's, None where not settled; see
        `nodules.networks.compute`), ``devices`` (the backend's), ``backend`` and ``versions`` of
        keras, numpy, scipy and the backend.
    """
    backend: str = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "simd": np.show_config(mode="dicts")["SIMD Extensions"].get("found", []),
        "cores": _cores(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS"),
        "cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA"),
        "devices": list(keras.distribution.list_devices()),
        "backend": backend,
        "versions": {
            "keras": keras.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            backend: str(sys.modules[backend].__version__),
        },
    }


def data_sha256(arrays: Iterable[NDArray[Any]]) -> str:
    """Hash arrays with their shapes and types.

    Parameters
    ----------
    arrays
        In memory or mapped.

    Returns
    -------
    digest
        64 hexadecimal digits.
    """
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape} {array.dtype.str};".encode())
        for start in range(0, len(array), _CHUNK):
            total.update(np.ascontiguousarray(array[start : start + _CHUNK]).data)
    return total.hexdigest()


def _cores() -> int:
    # Not everywhere can a process be told which cores are its own.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    # platform.processor() is empty or "x86_64" on Linux.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
