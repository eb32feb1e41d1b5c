"""Damaged files of every kind that is read, and what reading them comes to.

An outcome is ``right``: what is read is what was written or, where the damage makes another valid
file (a digit of an origin, a voxel that nothing protects), what SimpleITK or pydicom reads;
``clear``: one line of ValueError or OSError that names the file; or ``bad``: anything else.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nodules.scans.geometry import Geometry
from nodules.scans.read import list_scans, read_slices
from nodules.scans.write import write_archive
from nodules.sources.archive_check import check_archive
from tests.scans.dicoms import write_dicom, write_series
from tests.scans.zips import zip_files
from tests.small_luna import FLIPPED, itk_image, noise

VOLUME = noise("1.2.3", (30, 26, 9), FLIPPED, seed=4)
Read = tuple[Geometry, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A kind of file: how it is written, and which file is then damaged.

    Parameters
    ----------
    write
        Writes into a folder; gives the file to damage.
    is_sealed
        Whether a checksum protects the voxels, so that no other reader is asked.
    """

    write: Callable[[Path], Path]
    is_sealed: bool = False


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


KINDS = {
    "mhd": Kind(_itk("1.2.3.mhd", "1.2.3.mhd")),
    "raw": Kind(_itk("1.2.3.mhd", "1.2.3.raw")),
    "zraw": Kind(_itk("1.2.3.mhd", "1.2.3.zraw", True), is_sealed=True),
    "mha": Kind(_itk("1.2.3.mha", "1.2.3.mha")),
    "mha compressed": Kind(_itk("1.2.3.mha", "1.2.3.mha", True)),
    "nii": Kind(_itk("1.2.3.nii", "1.2.3.nii")),
    "nii.gz": Kind(_itk("1.2.3.nii.gz", "1.2.3.nii.gz"), is_sealed=True),
    "nrrd": Kind(_itk("1.2.3.nrrd", "1.2.3.nrrd")),
    "nrrd compressed": Kind(_itk("1.2.3.nrrd", "1.2.3.nrrd", True)),
    "dcm": Kind(_series),
    "dcm compressed": Kind(_compressed_series),
    "zip": Kind(_archive, is_sealed=True),
    "zip stored": Kind(_stored_archive, is_sealed=True),
}


def damages(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Cut, flip, zero, insert and remove bytes, half of the time among the first 1,000."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        end = len(data) if rng.integers(2) else min(len(data), 1000)
        at = int(rng.integers(end))
        damaged = bytearray(data)
        match number % 6:
            case 0:
                del damaged[at:]
            case 1:
                damaged[at] ^= 1 << int(rng.integers(8))
            case 2:
                damaged[at] = int(rng.integers(256))
            case 3:
                damaged[at : at + int(rng.integers(1, 65))] = bytes(rng.integers(0, 256, 4, "u1"))
            case 4:
                size = min(int(rng.integers(1, 513)), len(data) - at)
                damaged[at : at + size] = bytes(size)
            case 5:
                damaged[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 9)), "u1"))
        yield bytes(damaged)


def read_folder(folder: Path) -> Read:
    """Read the folder's, or its archive's, one scan, in axial order."""
    archive = folder / "subset0.zip"
    if archive.exists():
        check_archive(archive)
    (scan,) = list_scans(archive if archive.exists() else folder)
    geometry = scan.header.geometry
    return geometry, read_slices(scan, range(geometry.size_xyz[2]))


def attempt(kind: Kind, folder: Path, damaged: Path, data: bytes) -> str:
    """Damage the file, read, and say what it comes to; the file is whole again afterwards."""
    whole = damaged.read_bytes()
    damaged.write_bytes(data)
    try:
        return _outcome(kind, folder, damaged)
    finally:
        damaged.write_bytes(whole)


def _outcome(kind: Kind, folder: Path, damaged: Path) -> str:
    try:
        geometry, voxels_hu = read_folder(folder)
    except (ValueError, OSError) as error:
        text = str(error)
        if "\n" in text or str(folder) not in text:
            return f"bad: a message of {text!r}"
        return "clear"
    except BaseException as error:
        return f"bad: {type(error).__name__} ({error})"
    if _is_near(geometry, VOLUME.geometry) and np.array_equal(voxels_hu, VOLUME.voxels_hu):
        return "right"
    if kind.is_sealed:
        return "bad: another scan, in spite of its checksum"
    return _as_itk(damaged, geometry, voxels_hu)


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


def campaign(kind: Kind, folder: Path, count: int, seed: int) -> dict[str, int]:
    """Count the outcomes of many damages of one kind.

    Parameters
    ----------
    kind
        Of `KINDS`.
    folder
        To write in; it is emptied first.
    count, seed
        How many, and which.

    Returns
    -------
    counts
        By outcome.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    damaged = kind.write(folder)
    assert _outcome(kind, folder, damaged) == "right"
    counts: dict[str, int] = {}
    for data in damages(damaged.read_bytes(), count, seed):
        outcome = attempt(kind, folder, damaged, data)
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
