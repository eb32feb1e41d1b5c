"""Describes the machine, the software and the data of a training, for its record."""

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

# Patches are hashed in pieces of so many, so that little of a memory map is read at once.
_CHUNK = 4096


def environment() -> dict[str, Any]:
    """Describe the machine and the software, as far as they decide the exact result of a training.

    Returns
    -------
    environment
        ``python``: its version. ``platform``: the system and the architecture. ``processor``: the
        name of the model. ``simd``: the kinds of instructions that NumPy found. ``cores``: the
        number of cores that this process may use. ``threads``: the number of TensorFlow's threads,
        and ``cpu_isa``: the instructions that oneDNN may use; both are None if they are not set
        (see `nodules.networks.compute`). ``devices``: the names of the backend's devices.
        ``backend``: its name. ``versions``: those of keras, numpy, scipy and the backend.
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
    """Compute one SHA-256 of arrays, with their shapes and types.

    Parameters
    ----------
    arrays
        The arrays, in memory or memory-mapped.

    Returns
    -------
    digest
        The SHA-256, 64 hexadecimal digits.
    """
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape} {array.dtype.str};".encode())
        for start in range(0, len(array), _CHUNK):
            total.update(np.ascontiguousarray(array[start : start + _CHUNK]).data)
    return total.hexdigest()


def _cores() -> int:
    # Only some systems can tell which cores a process may use.
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
