"""The formats that findings can be exported to."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from nodules.predict.exports import grand_challenge, mask, slicer
from nodules.predict.exports.found import Found
from nodules.scans.scan import Scan

# By the name of each format: the file that it writes.
FILES = {
    "dicom-sr": "findings.sr.dcm",
    "dicom-seg": "findings.seg.dcm",
    "nifti": "findings.nii.gz",
    "slicer": "findings.mrk.json",
    "grand-challenge": "nodule-locations.json",
}
_OF_DICOM = ("dicom-sr", "dicom-seg")


def refuse_without_highdicom(exports: tuple[str, ...]) -> None:
    """Refuse formats that need a package which is not installed.

    Parameters
    ----------
    exports
        The names of the formats.

    Raises
    ------
    ValueError
        If highdicom is needed and absent.
    """
    for name in exports:
        if name in _OF_DICOM and importlib.util.find_spec("highdicom") is None:
            msg = (
                f"--export {name}: Expected the package highdicom (pip install "
                "'lung-nodules[dicom]'). Received: no such package"
            )
            raise ValueError(msg)


def refuse_other_source(exports: tuple[str, ...], scan: Scan) -> None:
    """Refuse DICOM objects about a scan that is not stored as DICOM.

    Parameters
    ----------
    exports
        The names of the formats.
    scan
        The scan.

    Raises
    ------
    ValueError
        If a DICOM object would have no images to refer to.
    """
    for name in exports:
        if name in _OF_DICOM and scan.kind != "dicom":
            msg = (
                f"--export {name}: Expected a scan in DICOM, whose images the object refers to. "
                f"Received: {scan.source}"
            )
            raise ValueError(msg)


def write_export(name: str, folder: Path, found: Found) -> None:
    """Write findings in one format.

    Parameters
    ----------
    name
        A key of `FILES`.
    folder
        The folder to write to.
    found
        The findings. With none, DICOM objects are not written, because they cannot be empty.
    """
    _writer(name)(folder / FILES[name], found)


def _writer(name: str) -> Callable[[Path, Found], None]:
    if name in _OF_DICOM:
        # Imported here, because highdicom is optional.
        from nodules.predict.exports import dicom_seg, dicom_sr

        return {"dicom-sr": dicom_sr.write, "dicom-seg": dicom_seg.write}[name]
    writers = {
        "nifti": mask.write,
        "slicer": slicer.write,
        "grand-challenge": grand_challenge.write,
    }
    return writers[name]
