"""Series of DICOM files, written by pydicom and by SimpleITK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from nodules.scans.write import Volume
from tests.small_luna import FLIPPED, itk_image, noise

VOLUME = noise("1.2.3", (30, 26, 9), FLIPPED, seed=4)
CT = "1.2.840.10008.5.1.4.1.1.2"


def write_dicom(
    folder: Path, skip: int | None = None, writer: sitk.ImageFileWriter | None = None
) -> None:
    """One file a slice, the way SimpleITK's examples write a series."""
    image = itk_image(VOLUME)
    direction = np.reshape(image.GetDirection(), (3, 3))
    writer = writer or sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    folder.mkdir(parents=True, exist_ok=True)
    for z in range(image.GetSize()[2]):
        if z == skip:
            continue
        one = image[:, :, z]
        position = image.TransformIndexToPhysicalPoint((0, 0, z))
        tags = {
            "0008|0060": "CT",
            "0020|000e": VOLUME.seriesuid,
            "0020|000d": "1.2",
            "0020|0032": "\\".join(map(str, position)),
            "0020|0037": "\\".join(map(str, direction[:, :2].T.ravel())),
            "0020|0013": str(z),
            "0008|0018": f"1.2.3.{z}",
            "0028|1052": "0",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            one.SetMetaData(tag, value)
        # Names in another order than the slices.
        writer.SetFileName(str(folder / f"{(z * 5) % 9}.dcm"))
        writer.Execute(one)


def dataset(volume: Volume, z: int) -> Dataset:
    """What pydicom writes of one slice: stored numbers are HU + 1024."""
    geometry = volume.geometry
    direction = np.reshape(geometry.direction, (3, 3))
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = CT
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.SOPInstanceUID = f"{volume.seriesuid}.{z}"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.SeriesInstanceUID, made.StudyInstanceUID = volume.seriesuid, "1.2"
    made.FrameOfReferenceUID, made.PatientID = "1.2.9", "someone"
    made.Modality, made.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.InstanceNumber = z + 1
    made.ImageOrientationPatient = direction[:, :2].T.ravel().tolist()
    made.ImagePositionPatient = [f"{mm:.4f}" for mm in geometry.world_from_index((0, 0, z))]
    made.PixelSpacing = [geometry.spacing_xyz_mm[1], geometry.spacing_xyz_mm[0]]
    made.SliceThickness = geometry.spacing_xyz_mm[2]
    made.Columns, made.Rows = geometry.size_xyz[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, -1024, "HU"
    made.PixelData = (volume.voxels_hu[z] + 1024).astype("<i2").tobytes()
    made["PixelData"].VR = "OW"
    return made


def write_series(
    folder: Path,
    volume: Volume = VOLUME,
    change: Callable[[Dataset, int], Any] = lambda tags, z: None,
    name: str = "IM{:04d}",
) -> list[Path]:
    """Write a series by pydicom, each slice changed first; gives the paths by slice."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for z in range(len(volume.voxels_hu)):
        made = dataset(volume, z)
        change(made, z)
        paths.append(folder / name.format(z))
        made.save_as(paths[-1], enforce_file_format=True)
    return paths
