"""What DICOM objects about findings have in common: their source images and what made them."""

from __future__ import annotations

import warnings
from importlib.metadata import version

from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from nodules.predict.exports.found import Found

MANUFACTURER = "lung-nodules"
MODEL = "nodules predict"
NODULE = Code("27925004", "SCT", "Nodule")
LUNG = Code("39607008", "SCT", "Lung")
# What viewers show beside the patient's own series.
SERIES_NUMBER_SR, SERIES_NUMBER_SEG = 9001, 9002
# Type 2 tags of patient and study, which a DICOM object must have, if only empty.
_MUST_BE_THERE = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)


def software_version() -> str:
    """Give the version of this package."""
    return version("lung-nodules")


def read_images(found: Found) -> list[Dataset]:
    """Read the tags of the images that a scan was made of, without their pixels.

    Parameters
    ----------
    found
        The findings of a scan in DICOM.

    Returns
    -------
    images
        One dataset for each file, in the order of the slices.
    """
    images: list[Dataset] = []
    with warnings.catch_warnings():
        # pydicom warns of unusual values. Those that matter were checked when the scan was found.
        warnings.simplefilter("ignore")
        for path in dict.fromkeys(one.path for one in found.scan.slices):
            image = dcmread(path, stop_before_pixels=True, force=True)
            for keyword in _MUST_BE_THERE:
                if keyword not in image:
                    setattr(image, keyword, None)
            # Some scanners write it empty, which what refers to the image must not.
            if not image.get("LossyImageCompression", "00"):
                del image.LossyImageCompression
            images.append(image)
    return images


def networks_version(found: Found) -> str:
    """Give a version of the networks for tags of at most 64 characters."""
    return " ".join(f"{name} {sha256[:8]}" for name, sha256 in sorted(found.networks.items()))
