"""Lists the scans of a zip with LUNA16's layout.

For each scan, an archive ``subset{k}.zip`` contains the header ``subset{k}/{seriesuid}.mhd`` and
the voxels in a ``.raw`` or ``.zraw`` beside it.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from nodules.scans.header import AT_END, DEFLATE_AT_MOST, TEXT_BYTES, check_file_size
from nodules.scans.metaimage import LOCAL, parse_header
from nodules.scans.scan import Scan, is_clutter, refuse_swapped, sort_scans
from nodules.scans.zip_member import member_path, packed_otherwise, refuse_encrypted


def list_archive(archive: Path) -> list[Scan]:
    """Find the scans of an archive. Headers are read, but no voxels.

    Parameters
    ----------
    archive
        The path of a ``subset{k}.zip``.

    Returns
    -------
    scans
        The scans, in the order of their series UIDs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a zip or has no header, a header is malformed, its voxels are absent or
        have another size than the header says, or two scans have the same series UID.
    """
    if not archive.is_file():
        msg = f"{archive}: Expected a zip archive of scans. Received: no file"
        raise FileNotFoundError(msg)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = scan_members(archive, opened)
            scan_of = {
                path: _scan(archive, path, _read_header(archive, opened, info), members)
                for path, info in members.items()
                if path.suffix.lower() == ".mhd"
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        msg = f"{archive}: Expected a whole zip archive. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(packed_otherwise(archive, error)) from error
    if not scan_of:
        msg = f"{archive}: Expected at least one scan. Received: {len(members)} members, no .mhd"
        raise ValueError(msg)
    path_of = {info.filename: path for path, info in members.items()}
    voxels_of = {path: path_of[scan.member] for path, scan in scan_of.items()}
    refuse_swapped(voxels_of, archive)
    return sort_scans(scan_of.values(), archive)


def scan_members(archive: Path, opened: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """List the files in an archive, without those that an operating system has added.

    Parameters
    ----------
    archive
        The path of the archive, for the error message.
    opened
        The archive, open for reading.

    Returns
    -------
    members
        The files by their paths. Folders, hidden files and files in ``__MACOSX`` are left out.

    Raises
    ------
    ValueError
        If two files have the same path.
    """
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in opened.infolist():
        path = member_path(info)
        if is_clutter(path) or info.is_dir():
            continue
        if path in members:
            msg = f"{archive}: {path}: Expected every member once. Received: one twice"
            raise ValueError(msg)
        members[path] = info
    return members


def _read_header(archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    refuse_encrypted(info)
    if info.file_size > TEXT_BYTES:
        msg = (
            f"{archive}: {info.filename}: Expected a header of at most {TEXT_BYTES:,} bytes. "
            f"Received: {info.file_size:,}"
        )
        raise ValueError(msg)
    return opened.read(info)


def _scan(
    archive: Path,
    path: PurePosixPath,
    text: bytes,
    members: Mapping[PurePosixPath, zipfile.ZipInfo],
) -> Scan:
    header = parse_header(text.decode("utf-8", errors="replace"), f"{archive}: {path}")
    if header.data_file == LOCAL:
        msg = f"{archive}: {path}: Expected its voxels in a member beside it. Received: LOCAL"
        raise ValueError(msg)
    voxels = path.with_name(header.data_file)
    if voxels not in members:
        msg = f"{archive}: Expected the member {voxels}, which {path} names. Received: no such"
        raise ValueError(msg)
    info = members[voxels]
    check_file_size(info.file_size, header, f"{archive}: {voxels}")
    if info.file_size > max(info.compress_size, 1) * DEFLATE_AT_MOST:
        msg = (
            f"{archive}: {voxels}: Expected packed bytes for {info.file_size}. "
            f"Received: {info.compress_size}, too few"
        )
        raise ValueError(msg)
    if header.data_start == AT_END:
        header = replace(header, data_start=info.file_size - header.payload_bytes)
    return Scan(
        seriesuid=path.stem,
        archive=archive,
        member=info.filename,
        header=header,
        checksum=f"crc32 {info.CRC:08x} of {info.file_size} bytes",
        kind="zip",
    )
