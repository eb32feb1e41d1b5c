"""Writes phantom scans as files: subsets and tables in the layout of LUNA16.

A phantom has the structure of a chest but is not a patient: it tests that the pipeline works, not
how well it finds nodules. `nodules.sources.phantom.plan` decides what each scan contains, and
`nodules.sources.phantom.render` makes the voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from nodules.luna16.rules import ANNOTATION_COLUMNS, CANDIDATE_COLUMNS
from nodules.scans.write import Volume, write_archive
from nodules.sources.phantom.lesions import Lesion
from nodules.sources.phantom.plan import ScanPlan
from nodules.sources.phantom.render import render


def phantom_tables(plans: Sequence[ScanPlan]) -> dict[str, pd.DataFrame]:
    """Make the tables of planned scans, in LUNA16's schemas and world mm.

    Parameters
    ----------
    plans
        The scans, in the order in which the tables list them.

    Returns
    -------
    tables
        The tables by their file names, the keys of `nodules.luna16.tables.SCHEMAS`. An excluded
        finding that is not a nodule has the diameter -1.
    """
    uids = [plan.seriesuid for plan in plans]
    return {
        "annotations.csv": pd.DataFrame(
            [
                (plan.seriesuid, *lesion.center_xyz_mm, lesion.diameter_mm)
                for plan in plans
                for lesion in plan.nodules
            ],
            columns=ANNOTATION_COLUMNS,
        ),
        "annotations_excluded.csv": pd.DataFrame(
            [
                (plan.seriesuid, *lesion.center_xyz_mm, _excluded_diameter_mm(lesion))
                for plan in plans
                for lesion in plan.excluded
            ],
            columns=ANNOTATION_COLUMNS,
        ),
        "candidates_V2.csv": pd.DataFrame(
            [
                (plan.seriesuid, *point, label)
                for plan in plans
                for point, label in zip(plan.candidates_xyz_mm, plan.candidate_classes, strict=True)
            ],
            columns=CANDIDATE_COLUMNS,
        ),
        "seriesuids.csv": pd.DataFrame({"seriesuid": uids}),
        "patients.csv": pd.DataFrame(
            {"seriesuid": uids, "patient": [plan.patient for plan in plans]}
        ),
    }


def write_subset(plans: Sequence[ScanPlan], subset: int, path: Path, n_jobs: int = 1) -> None:
    """Render a subset's scans into an archive laid out as LUNA16's ``subset{k}.zip``.

    The bytes of the archive depend only on the plans (and on the versions of NumPy and zlib), not
    on the processor, on `n_jobs` or on the time.

    Parameters
    ----------
    plans
        Planned scans; those of other subsets are skipped.
    subset
        The number of the subset to write.
    path
        The archive to write, completely or not at all.
    n_jobs
        The number of processes that render, as joblib counts them.

    Raises
    ------
    ValueError
        If there is no plan for that subset.
    """
    chosen = [plan for plan in plans if plan.subset == subset]
    if not chosen:
        found = sorted({plan.subset for plan in plans})
        msg = f"Expected plans of subset {subset}. Received: plans of subsets {found}"
        raise ValueError(msg)
    rendered = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(render)(plan) for plan in chosen
    )
    progress = tqdm(rendered, f"phantom subset {subset}", len(chosen), disable=None)
    volumes = (
        Volume(plan.seriesuid, plan.geometry, voxels_hu)
        for plan, voxels_hu in zip(chosen, progress, strict=True)
    )
    write_archive(path, f"subset{subset}", volumes)


def _excluded_diameter_mm(lesion: Lesion) -> float:
    return lesion.diameter_mm if lesion.is_nodular else -1.0
