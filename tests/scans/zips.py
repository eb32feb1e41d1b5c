"""Zips of scans, and changes to them."""

from __future__ import annotations

import zipfile
from pathlib import Path


def zip_files(archive: Path, *paths: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(archive, "w", method) as opened:
        for path in paths:
            opened.write(path, f"subset0/{path.name}")
    return archive


def edit(archive: Path, members: dict[str, bytes | None]) -> None:
    """Replace, add or (None) remove members."""
    with zipfile.ZipFile(archive) as opened:
        held = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in (held | members).items():
            if data is not None:
                opened.writestr(name, data)


def set_method(archive: Path, member: str, method: int) -> None:
    """Say in both of a member's headers that it is packed in another way."""
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo(member).header_offset
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\x01\x02", 0, data.rindex(member.encode()))
    data[start + 8] = data[central + 10] = method
    archive.write_bytes(data)
