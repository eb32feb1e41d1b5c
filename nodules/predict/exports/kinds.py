"""The formats that findings can be exported to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from nodules.predict.exports.found import Found
from nodules.reading import tell
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
        if name in _OF_DICOM and find_spec("highdicom") is None:
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

    Raises
    ------
    ValueError
        If the images have tags that a DICOM object cannot refer to.
    """
    with warnings.catch_warnings():
        # highdicom warns of unusual values that it takes over from the images.
        warnings.simplefilter("ignore")
        try:
            _writer(name)(folder / FILES[name], found)
        except Exception as error:
            # Unusual tags of the images make highdicom raise errors of any kind.
            if name not in _OF_DICOM:
                raise
            msg = (
                f"{found.scan.source}: Expected images that --export {name} can refer to. "
                f"Received: {type(error).__name__} ({tell(error)})"
            )
            raise ValueError(msg) from error


def _writer(name: str) -> Callable[[Path, Found], None]:
    # Imported here, because highdicom is optional, and SimpleITK takes 130 MB.
    if name == "dicom-sr":
        from nodules.predict.exports.dicom_sr import write
    elif name == "dicom-seg":
        from nodules.predict.exports.dicom_seg import write
    elif name == "nifti":
        from nodules.predict.exports.mask import write
    elif name == "slicer":
        from nodules.predict.exports.slicer import write
    else:
        from nodules.predict.exports.grand_challenge import write
    return write
