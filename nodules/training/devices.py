"""Trains on several devices and hosts, which share each batch.

Each batch is split evenly. Every device computes the gradient of its own rows, and all devices take
the same step, by the mean of the gradients. If a batch cannot be split evenly, rows with weight 0
are added to it. The result is that of one device, up to the order of sums, with two exceptions in
TensorFlow. A network that normalises over the batch (`resnet`, `efficientnet`) does so on each
device by that device's rows, and the added rows count too. If gradients are clipped, each device
clips its own.

TensorFlow shares batches among the devices of one process, with ``tf.distribute.MirroredStrategy``.
JAX also shares them among processes, on one host or several, with
``keras.distribution.DataParallel``. Each process runs the same code, with Keras's own environment
variables set: ``KERAS_DISTRIBUTION_JOB_ADDRESSES``, ``KERAS_DISTRIBUTION_NUM_PROCESSES`` and
``KERAS_DISTRIBUTION_PROCESS_ID``.
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
_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Devices:
    """The devices and processes that share each batch.

    Parameters
    ----------
    per_process
        The number of devices that each process uses.
    processes
        The number of processes that share each batch.
    process
        The number of this process; the first is 0. Only process 0 should write files.
    scope
        A function that gives the context in which the model must be built and trained.
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
            The whole batches, the same in every process. They are read anew in each epoch, after
            ``fit`` has told its callbacks that the epoch begins.

        Returns
        -------
        share
            This process's part of each batch, in a form that ``fit`` takes. With one process, this
            is the whole batch.
        """
        share = Share(batches, self)
        return _stream(share) if keras.backend.backend() == "tensorflow" else share


class Share(keras.utils.PyDataset):  # type: ignore[misc]
    """One process's part of each batch, of a size that its devices can split evenly.

    If a batch cannot be split evenly, its first row is repeated with weight 0. The loss is a sum
    divided by the number of rows, so the other weights are made larger, and the loss stays the
    same. In the reported means of an epoch, such a batch counts for at most one row per device more
    than it has.
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


def _stream(share: Share) -> Any:  # noqa: ANN401 (a type of TensorFlow, which may not be installed)
    """Read a share ahead in a thread.

    Keras would do the same, but with tf.data's automatic tuning. Measured on two cores, the tuning
    delayed the end of every other epoch by most of a second.
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
        .prefetch(_BATCHES_AHEAD)
        .with_options(untuned)
    )


def find_devices(count: int) -> Devices:
    """Choose this host's devices, and join the other processes that the environment names.

    Parameters
    ----------
    count
        The number of devices of each process. They are GPUs if the host has any, otherwise CPU
        devices.

    Returns
    -------
    devices
        The devices and processes to train with.

    Raises
    ------
    ValueError
        If the host has fewer devices, or the environment names several processes and the backend is
        not JAX.
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
    # Keras would divide a tf.data dataset among the processes, but `Share` has done so already.
    sharing = keras.distribution.DataParallel(devices=taken, auto_shard_dataset=False)
    return Devices(count, jax.process_count(), jax.process_index(), sharing.scope)


def _check_enough(wanted: int, there: int, kind: str) -> None:
    if wanted > there:
        msg = f"devices: Expected at most {there}, the {kind}s of this host. Received: {wanted}"
        raise ValueError(msg)
