"""Sets what networks run on, before Keras is imported: backend, threads and instruction set.

The last bits of a network's results depend on all three. TensorFlow's own kernels are compiled for
one instruction set. But oneDNN, which computes its convolutions and matrix products, uses the
newest one that the processor has, unless ``ONEDNN_MAX_CPU_ISA`` limits it. And sums over a batch
are divided among the threads.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

from nodules.params.sections import ComputeParams

# The parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_MIB = 1 << 20


def compute_environment(own: ComputeParams) -> dict[str, str]:
    """Give the environment variables that set what networks run on.

    Parameters
    ----------
    own
        The section ``compute`` of params.yaml.

    Returns
    -------
    environment
        The names and values of variables that Keras, TensorFlow and oneDNN read when they are
        imported.

    Raises
    ------
    ValueError
        If a variable already has another value: it would change results without DVC noticing.

    Examples
    --------
    >>> compute_environment(ComputeParams(backend="tensorflow", threads=2, cpu_isa="AVX2"))
    {'KERAS_BACKEND': 'tensorflow', 'ONEDNN_MAX_CPU_ISA': 'AVX2', 'TF_NUM_INTRAOP_THREADS': '2'}
    """
    environment = {
        "KERAS_BACKEND": own.backend,
        "ONEDNN_MAX_CPU_ISA": own.cpu_isa,
        "TF_NUM_INTRAOP_THREADS": str(own.threads),
    }
    for name, value in environment.items():
        received = os.environ.get(name, value)
        if received != value:
            msg = (
                f"{name}: Expected {value}, as compute in params.yaml says, or no such variable. "
                f"Received: {received}"
            )
            raise ValueError(msg)
    return environment


def one_thread(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a process that is one of several.

    Parameters
    ----------
    environment
        The environment from `compute_environment`.

    Returns
    -------
    environment
        The same environment, but with one thread: results then do not depend on the number of
        processes.

    Examples
    --------
    >>> one_thread({"TF_NUM_INTRAOP_THREADS": "2"})["TF_NUM_INTRAOP_THREADS"]
    '1'
    """
    return {
        **environment,
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        # Otherwise the first process on a GPU takes all of its memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def prepare_process(environment: Mapping[str, str]) -> None:
    """Set what networks run on in this process. Keras must not have been imported yet.

    The process also keeps the memory that it frees: otherwise glibc returns the activations of each
    training step to the kernel, which must clear the same pages for the next step.

    Parameters
    ----------
    environment
        The environment from `compute_environment` or `one_thread`.

    Examples
    --------
    >>> prepare_process(
    ...     compute_environment(ComputeParams(backend="tensorflow", threads=2, cpu_isa="AVX2"))
    ... )
    >>> os.environ["TF_NUM_INTRAOP_THREADS"]
    '2'
    """
    os.environ.update(environment)
    # Otherwise TensorFlow prints a dozen lines about its processor.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    libc = ctypes.CDLL(None)
    # Only glibc has it; with another C library there is nothing to set.
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
        libc.mallopt(_M_TRIM_THRESHOLD, 1024 * _MIB)
        libc.mallopt(_M_TOP_PAD, 256 * _MIB)
