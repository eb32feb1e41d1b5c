"""The first stage, as the networks that ship search with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.detection.dense import make_scorer
from nodules.detection.linking import Linking
from nodules.detection.search import Detection, detect_scan
from nodules.networks.file import load_model, predict
from nodules.patches.grid import PatchShape
from studies.real_nodules.orientations import average_localizers
from studies.real_nodules.scans import WholeScan
from studies.real_nodules.windows import SIZE_PX

# The choices come from what nodules are, and not from the three scans, which are too few to choose
# by: a nodule of 3 mm or more shows over about 4 mm, and a vessel that looks round in one slice
# does not.
STRIDE_PX = 4
LINKING = Linking(gap_mm=3.0, aggregation="mean_over_length", length_mm=4.0)
THRESHOLD, MOST_PER_SCAN = 0.3, 1000
DETECTION = Detection(PatchShape(size_px=SIZE_PX, depth=1), STRIDE_PX, LINKING, MOST_PER_SCAN)


@dataclass(frozen=True)
class Detector:
    """The first stage's networks.

    Parameters
    ----------
    classifier, localizer
        The networks.
    """

    classifier: keras.Model
    localizer: keras.Model

    def search(self, scan: WholeScan) -> pd.DataFrame:
        """Search a scan; see `nodules.detection.search.detect_scan`."""
        return detect_scan(
            scan.volume_hu,
            scan.grid.native,
            scan.seriesuid,
            make_scorer(self.classifier, STRIDE_PX),
            self._localize,
            THRESHOLD,
            DETECTION,
        )

    def _localize(self, patches_hu: NDArray[np.int16]) -> NDArray[np.float32]:
        return predict(self.localizer, patches_hu)


def detector_without(fold: int, trained: Path) -> Detector:
    """Read the networks of a fold; the localizer is averaged over the eight orientations.

    Parameters
    ----------
    fold
        The fold whose patients the networks have not seen.
    trained
        The folder of the trained networks.

    Returns
    -------
    detector
        The networks.
    """
    classifier = load_model(trained / f"classifier_without_{fold}.keras", "classifier")
    localizer = load_model(trained / f"localizer_without_{fold}.keras", "localizer")
    return Detector(classifier, average_localizers([localizer]))
