"""The scans of a zip that is laid out as LUNA16's.

An archive ``subset{k}.zip`` holds ``subset{k}/{seriesuid}.mhd`` and ``.raw``, or ``.zraw``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from nodules.scans.metaimage import parse_header
from nodules.scans.scan import Scan, check_payload, sort_scans
from nodules.scans.zip_member import member_path, packed_otherwise, refuse_encrypted


def list_archive(archive: Path) -> list[Scan]:
    """Find the scans of an archive, reading headers but no voxels.

    Parameters
    ----------
    archive
        A ``subset{k}.zip``.

    Returns
    -------
    scans
        In the order of their series UIDs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no zip or has no header, a header is malformed, its voxels are absent, their
        size is not what the header says, or a series UID comes twice.
    """
    if not archive.is_file():
        msg = f"{archive}: Expected a zip archive of scans. Received: no file"
        raise FileNotFoundError(msg)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {member_path(info): info for info in opened.infolist()}
            scans = [
                _scan(archive, path, _read_header(opened, info), members)
                for path, info in members.items()
                if info.filename.endswith(".mhd")
            ]
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        msg = f"{archive}: Expected a whole zip archive. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(packed_otherwise(archive, error)) from error
    if not scans:
        msg = f"{archive}: Expected at least one scan. Received: {len(members)} members, no .mhd"
        raise ValueError(msg)
    return sort_scans(scans, archive)


def _read_header(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    refuse_encrypted(info)
    return opened.read(info)


def _scan(
    archive: Path,
    path: PurePosixPath,
    text: bytes,
    members: Mapping[PurePosixPath, zipfile.ZipInfo],
) -> Scan:
    header = parse_header(text.decode("utf-8", errors="replace"), f"{archive}: {path}")
    voxels = path.with_name(header.data_file)
    if voxels not in members:
        msg = f"{archive}: Expected the member {voxels}, which {path} names. Received: no such"
        raise ValueError(msg)
    info = members[voxels]
    if not header.is_compressed:
        check_payload(info.file_size, header, f"{archive}: {voxels}")
    return Scan(
        seriesuid=path.stem,
        archive=archive,
        member=info.filename,
        header=header,
        checksum=f"crc32 {info.CRC:08x} of {info.file_size} bytes",
        kind="zip",
    )
