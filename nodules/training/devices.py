"""Several devices and hosts that share each batch of a training.

Each batch is split evenly: every device takes as many rows, computes its gradient, and all take the
step of the gradients' mean, so that the result is that of one device up to the order of sums. What
does not divide evenly is padded with rows that weigh nothing. It is another only where a network
normalises over the batch (`resnet`, `efficientnet`), each device of TensorFlow by its own share, in
which padding counts, and where gradients are clipped: each device of TensorFlow clips its own.

TensorFlow shares among the devices of one process, by ``tf.distribute.MirroredStrategy``. JAX also
shares among processes, on one host or several, by ``keras.distribution.DataParallel``: each process
runs the same code with Keras's own variables set, ``KERAS_DISTRIBUTION_JOB_ADDRESSES``,
``KERAS_DISTRIBUTION_NUM_PROCESSES`` and ``KERAS_DISTRIBUTION_PROCESS_ID``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from nodules.training.batches import Batch, BatchSource

_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
# Batches.
_READ_AHEAD = 4


@dataclass(frozen=True)
class Devices:
    """Who shares each batch.

    Parameters
    ----------
    per_process
        Devices that each process uses.
    processes
        How many processes share each batch.
    process
        Which of them this one is, from 0. Only process 0 should write files.
    scope
        Gives the context in which the model must be built and trained.
    """

    per_process: int = 1
    processes: int = 1
    process: int = 0
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext

    def share(self, batches: BatchSource) -> Any:  # noqa: ANN401
        """Split every batch among the devices.

        Parameters
        ----------
        batches
            The same in every process. Read anew each epoch, once
            ``fit`` has told its callbacks that the epoch begins.

        Returns
        -------
        share
            For ``fit``: this process's part of each batch; all of it where there is one device.
        """
        share = Share(batches, self)
        return _stream(share) if keras.backend.backend() == "tensorflow" else share


class Share(keras.utils.PyDataset):  # type: ignore[misc]
    """One process's part of each batch, of a size that its devices can split evenly.

    Padding repeats a batch's first row with weight 0, and the other weights grow so that the
    batch's loss, a sum over its rows' number, stays the same. In an epoch's reported means such a
    batch counts for at most one row a device more than it has.
    """

    def __init__(self, batches: BatchSource, devices: Devices) -> None:
        super().__init__()
        self._batches = batches
        self._devices = devices

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, batch: int) -> Batch:
        images, targets, weights = self._batches[batch]
        count = len(images)
        absent = -count % (self._devices.per_process * self._devices.processes)
        if absent:
            rows = np.append(np.arange(count), np.zeros(absent, np.int64))
            images, targets, weights = images[rows], targets[rows], weights[rows]
            weights = weights * np.float32(len(rows) / count)
            weights[count:] = 0
        here = len(images) // self._devices.processes
        own = slice(self._devices.process * here, (self._devices.process + 1) * here)
        return images[own], targets[own], weights[own]


def _stream(share: Share) -> Any:  # noqa: ANN401 (of TensorFlow, which need not be there)
    """Read a share ahead, in a thread.

    Keras would do the same, but leave tf.data to tune itself: measured on two cores, its tuner
    then held up the end of every other epoch for most of a second.
    """
    import tensorflow as tf

    def batches() -> Iterator[Batch]:
        return (share[batch] for batch in range(len(share)))

    signature = tuple(tf.TensorSpec((None, *of.shape[1:]), of.dtype) for of in share[0])
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    return (
        tf.data.Dataset.from_generator(batches, output_signature=signature)
        .apply(tf.data.experimental.assert_cardinality(len(share)))
        .prefetch(_READ_AHEAD)
        .with_options(untuned)
    )


def find_devices(count: int) -> Devices:
    """Take this host's devices, and join the other processes that the environment names.

    Parameters
    ----------
    count
        Devices of each process: GPUs where there are any, else CPU devices.

    Returns
    -------
    devices
        Ready to train with.

    Raises
    ------
    ValueError
        If there are fewer devices, or several processes without JAX.
    """
    backend = keras.backend.backend()
    if backend != "jax" and _PROCESSES in os.environ:
        msg = f"{_PROCESSES}: Expected KERAS_BACKEND=jax for several processes. Received: {backend}"
        raise ValueError(msg)
    if _PROCESSES in os.environ:
        keras.distribution.initialize()
    elif count == 1:
        return Devices()
    if backend == "jax":
        return _jax_devices(count)
    if backend == "tensorflow":
        return _tensorflow_devices(count)
    msg = f"devices: Expected 1 with KERAS_BACKEND={backend}. Received: {count}"
    raise ValueError(msg)


def _tensorflow_devices(count: int) -> Devices:
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    _check_enough(count, len(names), kind)
    return Devices(count, scope=tf.distribute.MirroredStrategy(names[:count]).scope)


def _jax_devices(count: int) -> Devices:
    import jax

    _check_enough(count, jax.local_device_count(), jax.default_backend().upper())
    taken = [
        f"{device.platform}:{device.id}"
        for process in range(jax.process_count())
        for device in jax.local_devices(process_index=process)[:count]
    ]
    # Keras shards data of tf.data by itself; ours come in shares already.
    sharing = keras.distribution.DataParallel(devices=taken, auto_shard_dataset=False)
    return Devices(count, jax.process_count(), jax.process_index(), sharing.scope)


def _check_enough(wanted: int, there: int, kind: str) -> None:
    if wanted > there:
        msg = f"devices: Expected at most {there}, the {kind}s of this host. Received: {wanted}"
        raise ValueError(msg)
