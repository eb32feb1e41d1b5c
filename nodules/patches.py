"""Cutting patches out of an archive's scans and storing them.

A patch holds raw HU as int16, shape (depth, size, size). Its central pixel, (size - 1) / 2, is the
voxel that the index names. Whatever lies outside the volume is air.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nodules.files import atomic_folder, write_csv, write_json
from nodules.geometry import AIR_HU
from nodules.sampling import Sampling, ScanSample, locate_nodules, sample_scan
from nodules.volume import Scan, list_scans, read_slices


def cut_patches(
    slices_hu: NDArray[np.int16],
    z_indices: Sequence[int],
    centers_xyz: NDArray[np.int64],
    depth: int,
    size_px: int,
) -> NDArray[np.int16]:
    """Cut patches from slices of one scan, padding with air.

    Parameters
    ----------
    slices_hu
        The slices `z_indices` of the volume, int16 of shape (len(z_indices), rows, columns).
    z_indices
        Ascending; every slice of the volume that a patch needs is among them.
    centers_xyz
        Voxel at the centre of each patch, shape (N, 3).
    depth
        Slices in a patch, odd.
    size_px
        Side of a patch, odd.

    Returns
    -------
    patches
        int16 of shape (N, depth, size_px, size_px), HU.
    """
    patches = np.full((len(centers_xyz), depth, size_px, size_px), AIR_HU, dtype=np.int16)
    rows, columns = slices_hu.shape[1:]
    row_of = {z: row for row, z in enumerate(z_indices)}
    half = size_px // 2
    for patch, (x, y, z) in zip(patches, centers_xyz.tolist(), strict=True):
        x0, x1 = max(x - half, 0), min(x + half + 1, columns)
        y0, y1 = max(y - half, 0), min(y + half + 1, rows)
        if x0 >= x1 or y0 >= y1:
            continue
        to_y, to_x = slice(y0 - y + half, y1 - y + half), slice(x0 - x + half, x1 - x + half)
        for level in range(depth):
            row = row_of.get(z + level - depth // 2)
            if row is not None:
                patch[level, to_y, to_x] = slices_hu[row, y0:y1, x0:x1]
    return patches


def needed_slices(centers_z: NDArray[np.int64], depth: int, n_slices: int) -> list[int]:
    """List the slices of a volume that patches show.

    Parameters
    ----------
    centers_z
        Central slice of each patch.
    depth
        Slices in a patch, odd.
    n_slices
        Slices of the volume; those beyond it are left out.

    Returns
    -------
    z_indices
        Ascending.
    """
    spread = np.arange(-(depth // 2), depth // 2 + 1)
    wanted = np.unique(centers_z[:, None] + spread[None])
    return wanted[(wanted >= 0) & (wanted < n_slices)].tolist()


def make_patches(
    archive: Path,
    subset: int,
    annotations: pd.DataFrame,
    candidates: pd.DataFrame,
    patients: pd.DataFrame,
    sampling: Sampling,
    out: Path,
    jobs: int = 1,
) -> dict[str, Any]:
    """Cut and store the patches of one archive.

    Parameters
    ----------
    archive
        ``subset{k}.zip``.
    subset
        Its number.
    annotations, candidates, patients
        LUNA16's tables, for all scans or more than these.
    sampling
        What to cut.
    out
        The folder to make, whole or not at all: ``patches.npy`` (N, depth, size, size) int16 HU,
        ``index.parquet`` (a row a patch), ``scans.csv`` (a row a scan, those without patches
        too) and ``counts.json``.
    jobs
        Processes; -1 for one a core. The bytes written do not depend on it.

    Returns
    -------
    counts
        What ``counts.json`` holds.

    Raises
    ------
    ValueError
        If a scan has no patient, a nodule lies outside its volume, or voxels are damaged.
    """
    scans = list_scans(archive)
    patient_of = _patients(scans, patients)
    samples = _samples(scans, annotations, candidates, sampling)
    index = _index(scans, samples, patient_of, subset, sampling)
    counts = _counts(samples)
    firsts = np.cumsum([0, *(len(sample.patches) for sample in samples)])
    with atomic_folder(out) as folder:
        shape = (len(index), sampling.depth, sampling.size_px, sampling.size_px)
        store = folder / "patches.npy"
        np.lib.format.open_memmap(store, "w+", np.int16, shape).flush()
        tasks = (
            joblib.delayed(_cut_into)(store, first, scan, sample.patches, sampling)
            for scan, sample, first in zip(scans, samples, firsts, strict=False)
            if len(sample.patches)
        )
        results = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
        total = sum(len(sample.patches) > 0 for sample in samples)
        for _ in tqdm(results, f"patches of subset {subset}", total, unit="scan", disable=None):
            pass
        index.to_parquet(folder / "index.parquet", index=False)
        write_csv(folder / "scans.csv", _scan_table(scans, samples, patient_of, subset))
        write_json(folder / "counts.json", counts)
    return counts


def _patients(scans: list[Scan], patients: pd.DataFrame) -> dict[str, str]:
    known = dict(zip(patients["seriesuid"], patients["patient"], strict=True))
    for scan in scans:
        if scan.seriesuid not in known:
            msg = f"{scan.source}: Expected its patient in patients.csv. Received: no such row"
            raise ValueError(msg)
    return known


def _samples(
    scans: list[Scan], annotations: pd.DataFrame, candidates: pd.DataFrame, sampling: Sampling
) -> list[ScanSample]:
    nodules_of = dict(list(annotations.groupby("seriesuid")))
    candidates_of = dict(list(candidates.groupby("seriesuid")))
    samples = []
    for scan in scans:
        uid, geometry = scan.seriesuid, scan.header.geometry
        nodules = locate_nodules(
            nodules_of.get(uid, annotations.iloc[:0]), geometry, uid, "annotations.csv"
        )
        scan_candidates = candidates_of.get(uid, candidates.iloc[:0])
        samples.append(sample_scan(uid, geometry, nodules, scan_candidates, sampling))
    return samples


def _cut_into(
    store: Path, first: int, scan: Scan, patches: pd.DataFrame, sampling: Sampling
) -> None:
    centers = patches[["center_x", "center_y", "center_z"]].to_numpy(np.int64)
    z_indices = needed_slices(centers[:, 2], sampling.depth, scan.header.geometry.size_xyz[2])
    slices_hu = read_slices(scan, z_indices)
    cut = cut_patches(slices_hu, z_indices, centers, sampling.depth, sampling.size_px)
    stored = np.lib.format.open_memmap(store, "r+")
    stored[first : first + len(cut)] = cut
    stored.flush()


def _index(
    scans: list[Scan],
    samples: list[ScanSample],
    patient_of: dict[str, str],
    subset: int,
    sampling: Sampling,
) -> pd.DataFrame:
    frames = [
        _scan_index(scan, sample, patient_of[scan.seriesuid], subset, sampling)
        for scan, sample in zip(scans, samples, strict=True)
    ]
    return pd.concat(frames, ignore_index=True)


def _scan_index(
    scan: Scan, sample: ScanSample, patient: str, subset: int, sampling: Sampling
) -> pd.DataFrame:
    geometry = scan.header.geometry
    frame = sample.patches.astype({"kind": "str", "label": "int8"})
    for name in ("center_x", "center_y", "center_z", "jitter_x_px", "jitter_y_px", "nodule"):
        frame[name] = frame[name].astype("int32")
    centers = frame[["center_x", "center_y", "center_z"]].to_numpy(np.float64)
    columns, rows, slices = geometry.size_xyz
    reach = np.asarray([sampling.size_px // 2, sampling.size_px // 2, sampling.depth // 2])
    last = np.asarray([columns, rows, slices]) - 1
    frame["is_padded"] = ((centers - reach < 0) | (centers + reach > last)).any(axis=1)
    world = geometry.world_from_index(centers)
    for axis, name in enumerate("xyz"):
        frame[f"center_{name}_mm"] = world[:, axis]
        frame[f"spacing_{name}_mm"] = geometry.spacing_xyz_mm[axis]
    # Rows of negatives reindex to NaN: they have no nodule.
    nodule = sample.nodules.reindex(frame["nodule"]).reset_index(drop=True)
    for axis, name in enumerate("xyz"):
        frame[f"nodule_{name}_mm"] = nodule[f"coord{name.upper()}"]
        if name != "z":
            middle = (sampling.size_px - 1) / 2
            frame[f"{name}_px"] = nodule[f"index_{name}"] - centers[:, axis] + middle
    frame["diameter_px"] = nodule["diameter_px"]
    frame["diameter_mm"] = nodule["diameter_mm"]
    frame.insert(0, "seriesuid", pd.Series(scan.seriesuid, index=frame.index, dtype="str"))
    frame.insert(1, "patient", pd.Series(patient, index=frame.index, dtype="str"))
    frame.insert(2, "subset", pd.Series(subset, index=frame.index, dtype="int8"))
    return frame


def _scan_table(
    scans: list[Scan], samples: list[ScanSample], patient_of: dict[str, str], subset: int
) -> pd.DataFrame:
    rows = [
        {
            "seriesuid": scan.seriesuid,
            "patient": patient_of[scan.seriesuid],
            "subset": subset,
            "nodules": len(sample.nodules),
            "positives": int((sample.patches["label"] == 1).sum()),
            "negatives": int((sample.patches["label"] == 0).sum()),
        }
        for scan, sample in zip(scans, samples, strict=True)
    ]
    return pd.DataFrame(rows)


def _counts(samples: list[ScanSample]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for sample in samples:
        total.update(sample.counts)
    return {
        "scans": len(samples),
        "scans_without_nodule": sum(len(sample.nodules) == 0 for sample in samples),
        "nodules": sum(len(sample.nodules) for sample in samples),
        "patches": sum(len(sample.patches) for sample in samples),
        "requests": {key: total[key] for key in sorted(total)},
    }
