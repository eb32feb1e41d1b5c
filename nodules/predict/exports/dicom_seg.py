"""Writes findings as a DICOM segmentation: a ball for each, on the grid of the images."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.sr.coding import Code

from nodules.predict.exports.dicom_source import (
    LUNG,
    MANUFACTURER,
    MODEL,
    NODULE,
    SERIES_NUMBER_SEG,
    networks_version,
    read_images,
    software_version,
)
from nodules.predict.exports.found import Found, label
from nodules.predict.exports.mask import paint

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_AI = Code("123109", "DCM", "Artificial Intelligence")


def write(path: Path, found: Found) -> None:
    """Write a binary segmentation with a segment for each finding.

    Parameters
    ----------
    path
        The file to write. With no findings, it is not written, because a segmentation has at least
        one segment.
    found
        The findings of a scan in DICOM.
    """
    if found.findings.empty:
        return
    # From the axes of the world back to those of the images.
    labels = paint(found).transpose(np.argsort(found.scan.header.axes_zyx))
    images = read_images(found)
    if len(images) == 1 and len(labels) > 1:
        # From the order of the slices to that of the frames.
        frames = [int(one.instance.rpartition(" ")[2]) for one in found.scan.slices]
        labels = labels[np.argsort(frames)]
    algorithm = hd.AlgorithmIdentificationSequence(
        name=MODEL, family=_AI, version=f"{software_version()}; {networks_version(found)}"
    )
    # A ball that more probable ones cover has no voxel, and so no segment.
    shown = [row for row in range(len(found.findings)) if (labels == row + 1).any()]
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label(row),
            segmented_property_category=_ABNORMAL,
            segmented_property_type=NODULE,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=hd.UID(),
            tracking_id=label(row),
            anatomic_regions=[LUNG],
        )
        for number, row in enumerate(shown, 1)
    ]
    number_of = np.zeros(len(found.findings) + 1, np.uint8)
    number_of[np.add(shown, 1)] = np.arange(1, len(shown) + 1)
    hd.seg.Segmentation(
        source_images=images,
        pixel_array=number_of[labels],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER_SEG,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=software_version(),
        device_serial_number="none",
        content_label="NODULES",
        content_description="Balls of the size of lung nodules that networks found",
        series_description="Lung nodules: balls (research, no diagnosis)",
    ).save_as(path)
