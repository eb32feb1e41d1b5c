"""Unpacks a zip of DICOM files or volumes into a folder that is removed afterwards."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nodules.scans.archive import scan_members
from nodules.scans.header import DEFLATE_AT_MOST
from nodules.scans.zip_member import packed_otherwise, refuse_encrypted


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a place where scans can be read that may be packed in a zip.

    Parameters
    ----------
    path
        A file or folder.

    Yields
    ------
    place
        A temporary folder with the members, if the path is a zip without LUNA16's headers;
        otherwise the same path.

    Raises
    ------
    ValueError
        If the zip is damaged, or a member has no place in a folder or unpacks beyond measure.
    """
    if path.is_dir() or path.suffix.lower() != ".zip" or not path.is_file():
        yield path
        return
    with TemporaryDirectory(prefix="nodules-") as name:
        folder = Path(name, path.stem)
        folder.mkdir()
        try:
            yield folder if _unpack(path, folder) else path
        except ValueError as error:
            # The folder is gone when the user reads it.
            raise ValueError(str(error).replace(str(folder), str(path))) from error


def _unpack(path: Path, folder: Path) -> bool:
    """Unpack a zip. An archive of scans, which is read as it is, is left alone."""
    try:
        with zipfile.ZipFile(path) as opened:
            members = scan_members(path, opened)
            if any(member.suffix.lower() == ".mhd" for member in members):
                return False
            _refuse_too_large(path, folder, list(members.values()))
            for member, info in members.items():
                if member.is_absolute() or ".." in member.parts or ":" in member.parts[0]:
                    msg = f"{path}: Expected members below a folder. Received: {member}"
                    raise ValueError(msg)
                refuse_encrypted(info)
                target = folder / member
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(info) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
                # Results are found again by the time of the files, among others.
                changed = time.mktime((*info.date_time, 0, 0, -1))
                os.utime(target, (changed, changed))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        msg = f"{path}: Expected a whole zip archive. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(packed_otherwise(path, error)) from error
    return True


def _refuse_too_large(path: Path, folder: Path, members: list[zipfile.ZipInfo]) -> None:
    for info in members:
        if info.file_size > max(info.compress_size, 1) * DEFLATE_AT_MOST:
            msg = (
                f"{path}: {info.filename}: Expected packed bytes for {info.file_size}. "
                f"Received: {info.compress_size}, too few"
            )
            raise ValueError(msg)
    wanted, free = sum(info.file_size for info in members), shutil.disk_usage(folder).free
    if wanted > free:
        msg = f"{folder.parent}: Expected {wanted} bytes free, to unpack {path}. Received: {free}"
        raise ValueError(msg)
