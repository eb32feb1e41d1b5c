"""Writes findings as a DICOM structured report: TID 1500, with points in space (SCOORD3D).

Each finding is a group of measurements (TID 1410). Its region is a point and no ellipsoid, because
viewers do not draw ellipsoids.
"""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from nodules.predict.exports.dicom_source import (
    LUNG,
    MANUFACTURER,
    MODEL,
    NODULE,
    SERIES_NUMBER_SR,
    networks_version,
    read_images,
    software_version,
)
from nodules.predict.exports.found import Found, label

_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
_DIAMETER = Code("81827009", "SCT", "Diameter")
_VOLUME = Code("118565006", "SCT", "Volume")


def write(path: Path, found: Found) -> None:
    """Write a Comprehensive 3D SR.

    Parameters
    ----------
    path
        The file to write. With no findings, it is not written, because TID 1500 asks for at least
        one group of measurements.
    found
        The findings of a scan in DICOM.
    """
    if found.findings.empty:
        return
    images = read_images(found)
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=hd.UID(), manufacturer_name=MANUFACTURER, model_name=MODEL
        ),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[_group(found, images[0], row) for row in range(len(found.findings))],
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = hd.sr.Comprehensive3DSR(
        evidence=images,
        content=report,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER_SR,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
    )
    document.ManufacturerModelName = MODEL
    document.SoftwareVersions = software_version()
    document.SeriesDescription = "Lung nodules: measurements (research, no diagnosis)"
    document.save_as(path)


def _group(
    found: Found, image: Dataset, row: int
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    finding = found.findings.iloc[row]
    values = (
        (_DIAMETER, finding["diameter_mm"], codes.UCUM.Millimeter),
        (_VOLUME, finding["volume_mm3"], codes.UCUM.CubicMillimeter),
        (_CERTAINTY, 100 * finding["probability"], codes.UCUM.Percent),
    )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=label(row)),
        referenced_region=hd.sr.ImageRegion3D(
            graphic_type=hd.sr.GraphicTypeValues3D.POINT,
            graphic_data=found.points_mm[[row]].astype(np.float64),
            frame_of_reference_uid=image.FrameOfReferenceUID,
        ),
        finding_type=NODULE,
        finding_sites=[hd.sr.FindingSite(anatomic_location=LUNG)],
        algorithm_id=hd.sr.AlgorithmIdentification(
            name=MODEL, version=f"{software_version()}; {networks_version(found)}"
        ),
        measurements=[
            # A number of DICOM has at most 16 characters.
            hd.sr.Measurement(name=name, value=float(f"{value:.9g}"), unit=unit)
            for name, value, unit in values
        ],
    )
