"""Describes scans in MetaImage, NIfTI and NRRD: a single file, or a header and a file of voxels."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

from nodules.scans.header import AT_END, TEXT_BYTES, Header, check_file_size
from nodules.scans.metaimage import LOCAL, parse_header
from nodules.scans.nifti import HEADER_BYTES, parse_nifti
from nodules.scans.nrrd import parse_nrrd
from nodules.scans.scan import Scan, stamp
from nodules.scans.streams import GZIP

ENDINGS = (".mhd", ".mha", ".nii", ".nii.gz", ".nrrd", ".nhdr")
_GZIP_MAGIC = b"\x1f\x8b"
_LOCAL_LINE = b"ElementDataFile"


def volume_ending(path: Path) -> str:
    """Give the ending of a file, in lower case, if it is one of `ENDINGS`, otherwise ``""``."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def volume_scan(folder: Path, path: Path) -> Scan:
    """Describe the scan in one file, without reading voxels.

    Parameters
    ----------
    folder
        The folder whose scans are listed.
    path
        The path of the file below the folder. It contains the voxels, or is a header that names
        the file of the voxels.

    Returns
    -------
    scan
        The scan. Its series UID is the file's name without its ending.

    Raises
    ------
    ValueError
        If the header is malformed, or the file of the voxels is missing or has a wrong size.
    """
    ending = volume_ending(path)
    with path.open("rb") as file:
        head = file.read(TEXT_BYTES)
    header = _HEADER_OF[ending](path, head)
    voxels = path
    if header.data_file != path.name:
        # If the header is a link, the voxels may be in the folder of its target.
        beside = (path.with_name(header.data_file), path.resolve().with_name(header.data_file))
        voxels = next((place for place in beside if place.is_file()), beside[0])
        if not voxels.is_file():
            msg = f"{path}: Expected its voxels in {voxels}. Received: no such file"
            raise ValueError(msg)
    size = voxels.stat().st_size
    check_file_size(size, header, str(voxels))
    if header.data_start == AT_END:
        header = replace(header, data_start=size - header.payload_bytes)
    return Scan(
        seriesuid=path.name[: -len(ending)],
        archive=folder,
        member=str(voxels.relative_to(folder)) if voxels.is_relative_to(folder) else str(voxels),
        header=header,
        checksum=stamp(voxels),
        kind="file",
    )


def _metaimage(path: Path, head: bytes) -> Header:
    # The voxels follow the line ElementDataFile = LOCAL.
    key = head.find(_LOCAL_LINE)
    end = head.find(b"\n", max(key, 0)) if key >= 0 else len(head)
    text = head[: end if end >= 0 else len(head)]
    header = parse_header(text.decode("utf-8", "replace"), str(path))
    if header.data_file != LOCAL:
        return header
    start = AT_END if header.data_start == AT_END else end + 1 + header.data_start
    return replace(header, data_file=path.name, data_start=start)


def _nifti(path: Path, head: bytes) -> Header:
    is_gzip = head.startswith(_GZIP_MAGIC)
    if is_gzip:
        try:
            head = zlib.decompressobj(GZIP).decompress(head, HEADER_BYTES)
        except zlib.error as error:
            msg = f"{path}: Expected a whole gzip file. Received: {error}"
            raise ValueError(msg) from error
    return parse_nifti(head[:HEADER_BYTES], path.name, str(path), is_gzip)


def _nrrd(path: Path, head: bytes) -> Header:
    ends = [(at, mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := head.find(mark)) >= 0]
    at, mark = min(ends, default=(len(head), b""))
    text = head[:at].decode("utf-8", "replace")
    return parse_nrrd(text, path.name, str(path), at + len(mark))


_HEADER_OF = {
    ".mhd": _metaimage,
    ".mha": _metaimage,
    ".nii": _nifti,
    ".nii.gz": _nifti,
    ".nrrd": _nrrd,
    ".nhdr": _nrrd,
}
