"""Learning curves for TensorBoard, as they grow."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd


class TensorBoardLog:
    """Writes each epoch's scalars where TensorBoard looks for them.

    TensorFlow itself writes the file, so that TensorBoard need not be installed; where there is no
    TensorFlow either, nothing is written.

    Parameters
    ----------
    folder
        Of this run alone: emptied first, since a resumed training gives all its epochs again.
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
        """Add the epochs that are new.

        Parameters
        ----------
        history
            All epochs so far: ``epoch`` and one column a scalar.
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
