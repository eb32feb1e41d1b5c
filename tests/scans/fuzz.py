"""Scans of every kind that is read, to be damaged.

Where the damage makes another valid file (a digit of an origin, a voxel that nothing protects),
what is read must be what SimpleITK reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nodules.scans.geometry import Geometry
from nodules.scans.read import list_scans, read_slices
from nodules.scans.write import write_archive
from nodules.sources.archive_check import check_archive
from tests.fuzz import Kind
from tests.scans.dicoms import write_dicom, write_series
from tests.scans.zips import zip_files
from tests.small_luna import FLIPPED, itk_image, noise

VOLUME = noise("1.2.3", (30, 26, 9), FLIPPED, seed=4)
Read = tuple[Geometry, np.ndarray]


def _itk(name: str, damaged: str, compressed: bool = False) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        sitk.WriteImage(itk_image(VOLUME), folder / name, compressed)
        return folder / damaged

    return write


def _series(folder: Path) -> Path:
    return write_series(folder)[4]


def _compressed_series(folder: Path) -> Path:
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    write_dicom(folder, writer=writer)
    return folder / "2.dcm"


def _archive(folder: Path) -> Path:
    write_archive(folder / "subset0.zip", "subset0", [VOLUME])
    return folder / "subset0.zip"


def _stored_archive(folder: Path) -> Path:
    sitk.WriteImage(itk_image(VOLUME), folder / "1.2.3.mhd")
    files = [folder / "1.2.3.mhd", folder / "1.2.3.raw"]
    made = zip_files(folder / "subset0.zip", *files, method=0)
    for path in files:
        path.unlink()
    return made


def read_folder(folder: Path) -> Read:
    """Read the folder's, or its archive's, one scan, in axial order."""
    archive = folder / "subset0.zip"
    if archive.exists():
        check_archive(archive)
    (scan,) = list_scans(archive if archive.exists() else folder)
    geometry = scan.header.geometry
    return geometry, read_slices(scan, range(geometry.size_xyz[2]))


def _judge(is_sealed: bool) -> Callable[[Path, Read], str]:
    """Compare with what was written or, where no checksum protects it, with SimpleITK."""

    def judge(damaged: Path, read: Read) -> str:
        geometry, voxels_hu = read
        if _is_near(geometry, VOLUME.geometry) and np.array_equal(voxels_hu, VOLUME.voxels_hu):
            return "right"
        if is_sealed:
            return "bad: another scan, in spite of its checksum"
        return _as_itk(damaged, geometry, voxels_hu)

    return judge


def _is_near(one: Geometry, other: Geometry) -> bool:
    if one.size_xyz != other.size_xyz:
        return False
    corners = np.array([(0, 0, 0), np.array(one.size_xyz) - 1])
    apart = one.world_from_index(corners) - other.world_from_index(corners)
    return bool(np.abs(apart).max() < 0.1)


def _as_itk(damaged: Path, geometry: Geometry, voxels_hu: np.ndarray) -> str:
    """Compare with what SimpleITK reads: of DICOM, the slice that was damaged."""
    is_slice = not damaged.suffix or damaged.suffix == ".dcm"
    try:
        image = sitk.ReadImage(damaged.with_suffix(".mhd") if damaged.suffix == ".raw" else damaged)
    except RuntimeError as error:
        return f"bad: read, but not by SimpleITK ({' '.join(str(error).split())[-120:]})"
    expected = sitk.GetArrayFromImage(image)
    if is_slice:
        if not _is_near(geometry, VOLUME.geometry):
            return "bad: a series in another place"
        differs = (voxels_hu != VOLUME.voxels_hu).any(axis=(1, 2))
        is_same = differs.sum() == 1 and np.array_equal(voxels_hu[differs], expected)
        return "right" if is_same else "bad: other voxels than SimpleITK's"
    stored = Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    axial, axes = stored.axial()
    with contextlib.suppress(ValueError):
        expected = np.rint(expected).astype(np.int16)
    if not np.array_equal(voxels_hu, expected.transpose(axes)):
        return "bad: other voxels than SimpleITK's"
    return "right" if _is_near(geometry, axial) else "bad: another place than SimpleITK's"


def _kind(write: Callable[[Path], Path], is_sealed: bool = False) -> Kind:
    return Kind(write, read_folder, _judge(is_sealed))


KINDS = {
    "mhd": _kind(_itk("1.2.3.mhd", "1.2.3.mhd")),
    "raw": _kind(_itk("1.2.3.mhd", "1.2.3.raw")),
    "zraw": _kind(_itk("1.2.3.mhd", "1.2.3.zraw", True), is_sealed=True),
    "mha": _kind(_itk("1.2.3.mha", "1.2.3.mha")),
    "mha compressed": _kind(_itk("1.2.3.mha", "1.2.3.mha", True)),
    "nii": _kind(_itk("1.2.3.nii", "1.2.3.nii")),
    "nii.gz": _kind(_itk("1.2.3.nii.gz", "1.2.3.nii.gz"), is_sealed=True),
    "nrrd": _kind(_itk("1.2.3.nrrd", "1.2.3.nrrd")),
    "nrrd compressed": _kind(_itk("1.2.3.nrrd", "1.2.3.nrrd", True)),
    "dcm": _kind(_series),
    "dcm compressed": _kind(_compressed_series),
    "zip": _kind(_archive, is_sealed=True),
    "zip stored": _kind(_stored_archive, is_sealed=True),
}
