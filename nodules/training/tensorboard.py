"""Writes learning curves for TensorBoard after every epoch."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd


class TensorBoardLog:
    """Writes the scalars of each epoch to a file that TensorBoard reads.

    TensorFlow writes the file, so TensorBoard does not have to be installed. Without TensorFlow,
    nothing is written.

    Parameters
    ----------
    folder
        A folder for this run alone. It is deleted first, because a training that goes on after an
        interruption writes all its epochs again.
    """

    def __init__(self, folder: Path) -> None:
        self._written = 0
        self._writer: Any = None
        shutil.rmtree(folder, ignore_errors=True)
        if importlib.util.find_spec("tensorflow") is None:
            return
        import tensorflow as tf

        folder.mkdir(parents=True)
        now = time.time()
        self._writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{int(now)}"))
        self._write(wall_time=now, file_version="brain.Event:2")

    def write(self, history: pd.DataFrame) -> None:
        """Write the epochs that have not been written yet.

        Parameters
        ----------
        history
            All epochs so far, one row each: the column ``epoch``, and one column for each scalar.
        """
        if self._writer is None:
            return
        for row in history.iloc[self._written :].to_dict("records"):
            step = int(row.pop("epoch"))
            values = [{"tag": name, "simple_value": value} for name, value in row.items()]
            self._write(wall_time=time.time(), step=step, summary={"value": values})
        self._written = len(history)
        self._writer.flush()

    def _write(self, **event: Any) -> None:  # noqa: ANN401 (fields of TensorFlow's own message)
        import tensorflow as tf

        self._writer.write(tf.compat.v1.Event(**event).SerializeToString())
