"""The real data, and what each fold trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.jobs.checkpoint import digest
from studies.real_nodules.data import FOLDS, NoduleCrops, deal_folds, read_nodule_crops
from studies.real_patches.data import LabelledPatches, make_folds, read_labelled_patches

SEED = 16
NODULES = "nodules/luna16_nodules_128.npz"
OTHERS = "nodules/luna16_other_findings_128.npz"
PATCHES = "patches/luna16_patches_50x50.npz"
_TARGETS = ["x_px", "y_px", "diameter_px"]


@dataclass(frozen=True, eq=False)
class NoduleSet:
    """The nodules and their folds.

    Parameters
    ----------
    crops
        The crops.
    fold_of
        The fold of each patient, 0 to 4; those of the whole scans included.
    folds
        The fold of each crop, int64 of shape (N,).
    """

    crops: NoduleCrops
    fold_of: dict[str, int]
    folds: NDArray[np.int64]

    def training(self, fold: int | None) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
        """Give the crops and targets that a fold trains on; None for all."""
        rows = np.flatnonzero(self.folds != (-1 if fold is None else fold))
        targets = self.crops.table[_TARGETS].to_numpy(np.float64)
        return self.crops.images_hu[rows], targets[rows]

    def patients(self, fold: int | None) -> list[str]:
        """Give the patients that a fold may train on; None for all."""
        return sorted(patient for patient, own in self.fold_of.items() if own != fold)


def read_nodules(data: Path) -> NoduleSet:
    """Read the nodules, and deal their patients to folds."""
    crops = read_nodule_crops(data / NODULES)
    fold_of = deal_folds(crops.table, SEED)
    folds = crops.table["patient"].map(fold_of).to_numpy(np.int64)
    return NoduleSet(crops, fold_of, folds)


@dataclass(frozen=True, eq=False)
class PatchSet:
    """LUNA16's candidates that are no nodules.

    Parameters
    ----------
    images_hu
        int16 HU of shape (N, 1, 65, 65), mirrored at the edges.
    folds
        The fold of each, int64 of shape (N,): runs of candidates, since there are no patient ids.
    clusters
        A name for about one scan's candidates each, to resample.
    """

    images_hu: NDArray[np.int16]
    folds: NDArray[np.int64]
    clusters: list[str]


def read_patches(data: Path) -> PatchSet:
    """Read the candidates that are no nodules; those that are nodules are left out."""
    patches: LabelledPatches = read_labelled_patches(data / PATCHES)
    folds = make_folds(patches, FOLDS, SEED)
    rows = np.flatnonzero(patches.labels == 0)
    clusters = patches.clusters()
    return PatchSet(patches.images_hu[rows], folds[rows], [clusters[row] for row in rows])


def digest_files(data: Path, names: Sequence[str]) -> str:
    """Compute one digest of files of the data."""
    return digest(*[(data / name).read_bytes() for name in names])
