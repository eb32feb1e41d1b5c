"""Phantom scans as files: subsets and tables in the layout of LUNA16.

A phantom is anatomically structured, but no patient's: it exercises the pipeline and is no proof of
quality. `nodules.phantom_plan` says what each scan contains, `nodules.phantom_render` makes voxels.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from nodules.geometry import Geometry
from nodules.phantom_lesions import Lesion
from nodules.phantom_plan import ScanPlan
from nodules.phantom_render import render

_POSITION_COLUMNS = ["seriesuid", "coordX", "coordY", "coordZ"]
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
    return {
        "annotations": pd.DataFrame(
            [
                (plan.seriesuid, *lesion.center_xyz_mm, lesion.diameter_mm)
                for plan in plans
                for lesion in plan.nodules
            ],
            columns=[*_POSITION_COLUMNS, "diameter_mm"],
        ),
        "annotations_excluded": pd.DataFrame(
            [
                (plan.seriesuid, *lesion.center_xyz_mm, _excluded_diameter_mm(lesion))
                for plan in plans
                for lesion in plan.excluded
            ],
            columns=[*_POSITION_COLUMNS, "diameter_mm"],
        ),
        "candidates_V2": pd.DataFrame(
            [
                (plan.seriesuid, *point, label)
                for plan in plans
                for point, label in zip(plan.candidates_xyz_mm, plan.candidate_classes, strict=True)
            ],
            columns=[*_POSITION_COLUMNS, "class"],
        ),
        "seriesuids": pd.DataFrame({"seriesuid": uids}),
        "patients": pd.DataFrame({"seriesuid": uids, "patient": [plan.patient for plan in plans]}),
    }


def mhd_header(geometry: Geometry, data_file: str) -> str:
    """Header of an uncompressed int16 MetaImage, line for line as LUNA16's.

    Parameters
    ----------
    geometry
        Of the volume.
    data_file
        Name of the file of voxels beside it.

    Returns
    -------
    text
        The header. Numbers have 17 significant digits: they read back bit for bit.
    """

    def numbers(values: Iterable[float]) -> str:
        return " ".join(f"{value:.17g}" for value in values)

    # MetaIO names the side each axis comes from: R to L, A to P, I to S for the identity.
    letters = ["RL", "AP", "IS"]
    orientation = "".join(
        pair[geometry.direction[4 * axis] < 0] for axis, pair in enumerate(letters)
    )
    return (
        "ObjectType = Image\n"
        "NDims = 3\n"
        "BinaryData = True\n"
        "BinaryDataByteOrderMSB = False\n"
        "CompressedData = False\n"
        f"TransformMatrix = {numbers(geometry.direction)}\n"
        f"Offset = {numbers(geometry.origin_xyz_mm)}\n"
        "CenterOfRotation = 0 0 0\n"
        f"AnatomicalOrientation = {orientation}\n"
        f"ElementSpacing = {numbers(geometry.spacing_xyz_mm)}\n"
        f"DimSize = {numbers(geometry.size_xyz)}\n"
        "ElementType = MET_SHORT\n"
        f"ElementDataFile = {data_file}\n"
    )


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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            progress = tqdm(rendered, f"phantom subset {subset}", len(chosen), disable=None)
            for plan, voxels in zip(chosen, progress, strict=True):
                header = mhd_header(plan.geometry, f"{plan.seriesuid}.raw")
                _add_member(archive, f"subset{subset}/{plan.seriesuid}.mhd", header.encode())
                _add_member(archive, f"subset{subset}/{plan.seriesuid}.raw", voxels)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def _excluded_diameter_mm(lesion: Lesion) -> float:
    return lesion.diameter_mm if lesion.is_nodular else -1.0


def _raw_voxels(plan: ScanPlan) -> bytes:
    return render(plan).astype("<i2", copy=False).tobytes()


def _add_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _MEMBER_DATE)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    archive.writestr(info, content, zipfile.ZIP_DEFLATED, _COMPRESS_LEVEL)
