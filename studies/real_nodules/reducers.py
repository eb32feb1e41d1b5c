"""Trains the network of the second stage on transplanted nodules and real false positives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.detection.dense import make_scorer
from nodules.detection.linking import Linking
from nodules.detection.search import Detection, detect_scan
from nodules.luna16.nodules import is_on_finding
from nodules.luna16.rules import COORDINATES
from nodules.networks.file import load_model, predict
from nodules.networks.reducer import build_reducer
from nodules.patches.grid import PatchShape
from nodules.reduction.batches import CropBatches, Drawing
from nodules.reduction.read import CropStores
from nodules.training.devices import Devices
from nodules.training.fit import fix_seeds
from nodules.training.optimizers import make_optimizer
from studies.real_nodules.cubes import SHAPE, cut_around, cut_cubes, transplant, world_places
from studies.real_nodules.recipes import WINDOW_HU
from studies.real_nodules.scans import WholeScan
from studies.real_nodules.sets import SEED, NoduleSet
from studies.real_nodules.windows import SIZE_PX

# How whole scans are searched. The choices come from what nodules are, and not from the three
# scans, which are too few to choose by: a nodule of 3 mm or more shows over about 4 mm, and a
# vessel that looks round in one slice does not.
STRIDE_PX = 4
LINKING = Linking(gap_mm=3.0, aggregation="mean_over_length", length_mm=4.0)
THRESHOLD, MOST_PER_SCAN = 0.3, 1000
_SHAPE = PatchShape(size_px=SIZE_PX, depth=1)
DETECTION = Detection(_SHAPE, STRIDE_PX, LINKING, MOST_PER_SCAN)

# A reducer must also know what a surer detector would not have found.
_LEARNT_THRESHOLD = 0.1
_TRANSPLANTS, _RANDOM_PLACES, _CANDIDATES = 700, 200, 800
# Places are drawn so many times as often as needed, since half of them lie on tissue.
_DRAWN, _LUNG_BELOW_HU = 5, -700
# How often a scan's own nodule is shown, for each transplant.
_OWN_NODULES = 20
_DRAWING = Drawing(batch_size=64, steps=50, negatives_per_positive=3.0, seed=SEED)
_EPOCHS = 8
_LEARNING_RATE, _WEIGHT_DECAY, _WARMUP_STEPS = 2e-3, 1e-3, 20


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

    def search(self, scan: WholeScan, threshold: float = THRESHOLD) -> pd.DataFrame:
        """Search a scan; see `nodules.detection.search.detect_scan`."""
        return detect_scan(
            scan.volume_hu,
            scan.grid.native,
            scan.seriesuid,
            make_scorer(self.classifier, STRIDE_PX),
            self._localize,
            threshold,
            DETECTION,
        )

    def _localize(self, patches_hu: NDArray[np.int16]) -> NDArray[np.float32]:
        return predict(self.localizer, patches_hu)


def read_detector(classifier: Path, localizer: Path) -> Detector:
    """Read the networks of the first stage."""
    return Detector(load_model(classifier, "classifier"), load_model(localizer, "localizer"))


def train_reducer(
    nodules: NoduleSet, fold: int | None, scans: Sequence[WholeScan], detector: Detector
) -> keras.Model:
    """Train a reducer.

    Parameters
    ----------
    nodules
        The nodules, of which those of a fold are left out.
    fold
        The fold that the reducer must not see; None for none.
    scans
        Whole scans of other patients.
    detector
        Finds the false positives.

    Returns
    -------
    model
        The reducer.
    """
    rng = np.random.default_rng(SEED)
    rows = np.flatnonzero(nodules.folds != (-1 if fold is None else fold))
    cubes, labels = [], []
    for scan in scans:
        own = _cubes_of(scan, nodules, rows, detector, rng)
        cubes += own
        labels += [1, 1, 0, 0]
    label = np.repeat(labels, [len(some) for some in cubes])
    index = pd.DataFrame({"label": label, "store": 0, "row": np.arange(len(label))})
    stores = CropStores(index, (np.concatenate(cubes),), pd.DataFrame())
    fix_seeds(SEED, deterministic=True)
    model = build_reducer("views", SHAPE.size_px, WINDOW_HU, 0.0)
    model.compile(
        make_optimizer(
            model,
            _LEARNING_RATE,
            _WEIGHT_DECAY,
            "cosine",
            warmup_steps=_WARMUP_STEPS,
            total_steps=_EPOCHS * _DRAWING.steps,
        ),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    batches = CropBatches(stores, np.arange(len(label)), SHAPE.margin_px, _DRAWING)
    no_rows = np.empty(0, np.int64)
    begin: Callable[[int, object], None] = lambda epoch, _: batches.begin(epoch, no_rows)  # noqa: E731
    model.fit(
        Devices().share(batches),
        epochs=_EPOCHS,
        shuffle=False,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=begin)],
        verbose=0,
    )
    return model


def _cubes_of(
    scan: WholeScan,
    nodules: NoduleSet,
    rows: NDArray[np.int64],
    detector: Detector,
    rng: np.random.Generator,
) -> list[NDArray[np.int16]]:
    """Give a scan's transplants, its own nodules, its false positives, and random places."""
    table = nodules.crops.table
    slice_mm = scan.grid.native.spacing_xyz_mm[2]
    # In walls and vessels nothing of a transplant would be seen.
    places = scan.random_places(_DRAWN * _TRANSPLANTS, rng)
    places = places[scan.volume_hu[tuple(places[:, ::-1].T)] < _LUNG_BELOW_HU][:_TRANSPLANTS]
    lungs = cut_cubes(scan, world_places(scan, places))
    # Large nodules are rare. They are drawn more often, by their diameter.
    diameter_mm = (table["diameter_px"] * table["spacing_mm"]).to_numpy()[rows]
    drawn = rng.choice(rows, len(lungs), p=diameter_mm / diameter_mm.sum())
    transplants = np.stack(
        [
            transplant(cube, nodules.crops.images_hu[row], table.iloc[row], slice_mm, rng)
            for cube, row in zip(lungs, drawn, strict=True)
        ]
    )
    own = cut_around(scan, _OWN_NODULES, rng)
    found = detector.search(scan, _LEARNT_THRESHOLD)
    is_finding = is_on_finding(found, scan.annotations) | is_on_finding(found, scan.excluded)
    wrong = cut_cubes(scan, found.loc[~is_finding, COORDINATES].head(_CANDIDATES))
    random = cut_cubes(scan, world_places(scan, scan.random_places(_RANDOM_PLACES, rng)))
    return [transplants, own, wrong, random]
