"""Phantom scans as files: subsets and tables in the layout of LUNA16.

A phantom is anatomically structured, but no patient's: it exercises the pipeline and is no proof of
quality. `nodules.phantom_plan` says what each scan contains, `nodules.phantom_render` makes voxels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from nodules.files import atomic_file
from nodules.luna16 import subset_name
from nodules.metaimage import format_header
from nodules.phantom_lesions import Lesion
from nodules.phantom_plan import ScanPlan
from nodules.phantom_render import render
from nodules.tables import COORDINATES

_Row = tuple[str | float, ...]

# Fixed, so that equal scans make equal archives: the earliest date a zip can hold.
_MEMBER_DATE = (1980, 1, 1, 0, 0, 0)
_COMPRESS_LEVEL = 1


def phantom_tables(plans: Sequence[ScanPlan]) -> dict[str, pd.DataFrame]:
    """Tables of planned scans, in LUNA16's schemas and world mm.

    Parameters
    ----------
    plans
        The scans, in the order in which the tables list them.

    Returns
    -------
    tables
        ``annotations`` and ``annotations_excluded`` (seriesuid, coordX, coordY, coordZ,
        diameter_mm; of an excluded finding that is no nodule, -1), ``candidates_V2`` (seriesuid,
        coordX, coordY, coordZ, class), ``seriesuids`` (seriesuid; LUNA16's file has no header row)
        and, which LUNA16 lacks, ``patients`` (seriesuid, patient).
    """
    uids = [plan.seriesuid for plan in plans]
    nodules: list[_Row] = []
    excluded: list[_Row] = []
    candidates: list[_Row] = []
    for plan in plans:
        uid = plan.seriesuid
        nodules += [(uid, *n.center_xyz_mm, n.diameter_mm) for n in plan.nodules]
        excluded += [(uid, *f.center_xyz_mm, _reported_diameter_mm(f)) for f in plan.excluded]
        labelled = zip(plan.candidates_xyz_mm, plan.candidate_classes, strict=True)
        candidates += [(uid, *point, label) for point, label in labelled]
    return {
        "annotations": _point_table(nodules, "diameter_mm", "float64"),
        "annotations_excluded": _point_table(excluded, "diameter_mm", "float64"),
        "candidates_V2": _point_table(candidates, "class", "int64"),
        "seriesuids": pd.DataFrame({"seriesuid": uids}),
        "patients": pd.DataFrame({"seriesuid": uids, "patient": [plan.patient for plan in plans]}),
    }


def write_subset(plans: Sequence[ScanPlan], subset: int, path: Path, n_jobs: int = 1) -> None:
    """Render a subset's scans into an archive laid out as LUNA16's ``subset{k}.zip``.

    The archive's bytes depend on the plans alone (and on the versions of numpy and zlib), not on
    `n_jobs` nor the time. It appears whole or not at all.

    Parameters
    ----------
    plans
        Planned scans; those of other subsets are passed over.
    subset
        Which to write.
    path
        The archive to write.
    n_jobs
        Processes that render, as joblib counts them.

    Raises
    ------
    ValueError
        If no plan is of that subset.
    """
    chosen = [plan for plan in plans if plan.subset == subset]
    if not chosen:
        found = sorted({plan.subset for plan in plans})
        msg = f"Expected plans of subset {subset}. Received: plans of subsets {found}"
        raise ValueError(msg)
    rendered = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_raw_voxels)(plan) for plan in chosen
    )
    folder = subset_name(subset)
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        progress = tqdm(rendered, f"phantom {folder}", len(chosen), disable=None)
        for plan, voxels in zip(chosen, progress, strict=True):
            header = format_header(plan.geometry, f"{plan.seriesuid}.raw")
            _add_member(archive, f"{folder}/{plan.seriesuid}.mhd", header.encode())
            _add_member(archive, f"{folder}/{plan.seriesuid}.raw", voxels)


def _point_table(rows: Iterable[_Row], value: str, dtype: str) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=["seriesuid", *COORDINATES, value])
    return frame.astype({"seriesuid": str, **dict.fromkeys(COORDINATES, "float64"), value: dtype})


def _reported_diameter_mm(lesion: Lesion) -> float:
    return lesion.diameter_mm if lesion.is_nodular else -1.0


def _raw_voxels(plan: ScanPlan) -> bytes:
    return render(plan).astype("<i2", copy=False).tobytes()


def _add_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _MEMBER_DATE)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    archive.writestr(info, content, zipfile.ZIP_DEFLATED, _COMPRESS_LEVEL)
