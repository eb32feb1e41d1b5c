"""Makes the archives and tables that `benchmarks.patches` cuts patches from.

An archive contains the voxels of one scan only once, but its directory lists them under many names.
It is therefore small and made quickly, and each scan is still read by itself.
"""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from isal import isal_zlib

from nodules.luna16.rules import COORDINATES
from nodules.patches.store import Tables
from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import format_header, parse_header


def write_phantom(folder: Path) -> Path:
    """Write a phantom scan as .mhd and .raw; give the path of the header."""
    geometry = Geometry((512, 512, 300), (0.7, 0.7, 1.0), (-180.0, -180.0, -300.0))
    rng = np.random.default_rng(0)
    y, x = (np.indices((512, 512)) - 256) / 256
    body = np.where(np.hypot(x / 0.95, y / 0.7) < 1, 40, -1000)
    body[np.hypot((np.abs(x) - 0.4) / 0.3, y / 0.5) < 1] = -850
    path = folder / "2.25.1.mhd"
    path.write_text(format_header(geometry, "2.25.1.raw"), encoding="utf-8")
    with path.with_suffix(".raw").open("wb") as raw:
        for _ in range(300):
            slice_hu = body + rng.normal(0, 40, body.shape)
            raw.write(np.maximum(np.rint(slice_hu), -1024).astype("<i2").tobytes())
    return path


def unpack_real(header: Path, folder: Path) -> Path:
    """Write a real scan as .mhd and .raw; give the path of the header."""
    own = parse_header(header.read_text(), str(header))
    path = folder / header.name
    path.write_text(format_header(own.geometry, f"{header.stem}.raw"), encoding="utf-8")
    voxels = isal_zlib.decompress(header.with_name(own.data_file).read_bytes())
    path.with_suffix(".raw").write_bytes(voxels)
    return path


def pack(header: Path, archive: Path, method: int, scans: int = 1) -> Path:
    """Write a zip with one scan, and list it `scans` times under different names; give its path."""
    with zipfile.ZipFile(archive, "w", method, compresslevel=6) as opened:
        opened.write(header.with_suffix(".raw"), f"subset0/{header.stem}.raw")
        opened.write(header, f"subset0/{header.name}", zipfile.ZIP_STORED)
    add_scans(archive, header, range(1, scans))
    return archive


def add_scans(archive: Path, header: Path, numbers: range) -> None:
    """List the scan in a zip again under other names. Only headers are added to the file."""
    text = header.read_text(encoding="utf-8")
    with zipfile.ZipFile(archive, "a") as opened:
        voxels = opened.getinfo(f"subset0/{header.stem}.raw")
        for number in numbers:
            name = f"{header.stem}.{number}"
            own = text.replace(f"{header.stem}.raw", f"{name}.raw")
            opened.writestr(f"subset0/{name}.mhd", own)
            again = copy.copy(voxels)
            again.filename = again.orig_filename = f"subset0/{name}.raw"
            opened.filelist.append(again)


def tables_of(archive: Path, header: Path) -> Tables:
    """Make tables with one nodule and 850 candidates for each scan."""
    geometry = parse_header(header.read_text(), str(header)).geometry
    with zipfile.ZipFile(archive) as opened:
        uids = [Path(name).stem for name in opened.namelist() if name.endswith(".mhd")]
    rng = np.random.default_rng(1)
    share = rng.uniform((0.2, 0.2, 0.02), (0.8, 0.8, 0.98), (850, 3))
    candidates = geometry.world_from_index(share * geometry.size_xyz)
    nodule = geometry.world_from_index(np.array([[0.3, 0.5, 0.5]]) * geometry.size_xyz)

    def table(points: np.ndarray, **values: float) -> pd.DataFrame:
        frame = pd.DataFrame(points, columns=COORDINATES).assign(**values)
        frames = [frame.assign(seriesuid=uid) for uid in uids]
        return pd.concat(frames, ignore_index=True).astype({"seriesuid": "str"})

    return Tables(
        annotations=table(nodule, diameter_mm=6.0),
        excluded=table(nodule[:0], diameter_mm=6.0),
        candidates=table(candidates, **{"class": 0}),
        patients=pd.DataFrame({"seriesuid": uids, "patient": uids}),
    )
