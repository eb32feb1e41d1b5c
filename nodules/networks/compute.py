"""What networks run on, settled before Keras is imported: backend, threads and instructions.

The last bits of a network's results depend on all three. TensorFlow's own kernels are compiled for
one set of instructions, but oneDNN, which computes its convolutions and matrix products, takes the
newest that the processor has, unless ``ONEDNN_MAX_CPU_ISA`` caps it; and sums over a batch are
divided among the threads.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

from nodules.params.sections import ComputeParams

# mallopt's parameters, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_MIB = 1 << 20


def compute_environment(own: ComputeParams) -> dict[str, str]:
    """Give the environment variables that settle what networks run on.

    Parameters
    ----------
    own
        The section ``compute`` of params.yaml.

    Returns
    -------
    environment
        Name to value, of variables that Keras, TensorFlow and oneDNN read when they are imported.

    Raises
    ------
    ValueError
        If a variable has another value already: DVC would not see it.
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
        From `compute_environment`.

    Returns
    -------
    environment
        The same but for one thread: results then do not depend on how many processes there are.
    """
    return {
        **environment,
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        # Else the first process on a GPU takes all of its memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def prepare_process(environment: Mapping[str, str]) -> None:
    """Settle what networks run on in this process; Keras must not have been imported yet.

    Memory that is freed is kept, as well: otherwise glibc gives each training step's activations
    back to the kernel, which must clear the same pages for the next step.

    Parameters
    ----------
    environment
        From `compute_environment` or `one_thread`.
    """
    os.environ.update(environment)
    # TensorFlow greets with a dozen lines on its processor.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    libc = ctypes.CDLL(None)
    # glibc's; elsewhere there is no such thing to settle.
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
        libc.mallopt(_M_TRIM_THRESHOLD, 1024 * _MIB)
        libc.mallopt(_M_TOP_PAD, 256 * _MIB)
