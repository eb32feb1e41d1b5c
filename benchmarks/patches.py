"""Cutting patches against other ways of doing it: time and memory, ratios of one run.

    python -m benchmarks.patches [--scans 1 4 16 64]

Phantom scans are 512x512x300 of noise that deflates like CT; real ones are taken from
../shared/data/scans where present. Every way runs in a process of its own, on files in the page
cache; times are the best of three and leave out imports. Ours are of a stage over eight scans (one
scan's voxels under eight headers), divided by eight: a subset of LUNA16 has 88. Run it on an
otherwise idle machine with two cores and 3 GB of free space for temporary files.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import pstats
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from isal import isal_zlib

from nodules.jobs.workers import Workers
from nodules.luna16.rules import COORDINATES
from nodules.patches.grid import PatchShape
from nodules.patches.sample import Sampling
from nodules.patches.store import Tables, make_patches
from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import format_header, parse_header

REAL = Path(__file__).parents[2] / "shared" / "data" / "scans"
SIZE_PX = 65
SCANS = 8
# All of LUNA16, by its headers and candidates_V2.csv.
LUNA16_SCANS, LUNA16_BYTES, LUNA16_CANDIDATES = 888, 118e9, 754_975
TWENTY = Sampling(
    shape=PatchShape(size_px=SIZE_PX, depth=1),
    jitter_px=10,
    positives_per_nodule=4,
    other_slices_per_scan=8,
    candidates_per_scan=8,
    seed=0,
)
ALL_CANDIDATES = Sampling(
    shape=PatchShape(size_px=SIZE_PX, depth=1),
    jitter_px=10,
    positives_per_nodule=4,
    other_slices_per_scan=8,
    candidates_per_scan=850,
    seed=0,
)
LUNGS = Sampling(
    shape=PatchShape(size_px=SIZE_PX, depth=1),
    jitter_px=10,
    positives_per_nodule=4,
    other_slices_per_scan=0,
    candidates_per_scan=0,
    seed=0,
    random_lung_per_scan=16,
)
RESAMPLED = Sampling(
    shape=PatchShape(size_px=SIZE_PX, depth=3, in_plane_mm=0.8, z_mm=1.0),
    jitter_px=10,
    positives_per_nodule=4,
    other_slices_per_scan=8,
    candidates_per_scan=8,
    seed=0,
)


def write_phantom(folder: Path) -> Path:
    """Write a phantom scan as .mhd and .raw; give the header."""
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
    """Write a real scan as .mhd and .raw; give the header."""
    own = parse_header(header.read_text(), str(header))
    path = folder / header.name
    path.write_text(format_header(own.geometry, f"{header.stem}.raw"), encoding="utf-8")
    voxels = isal_zlib.decompress(header.with_name(own.data_file).read_bytes())
    path.with_suffix(".raw").write_bytes(voxels)
    return path


def pack(header: Path, archive: Path, method: int, scans: int) -> Path:
    """Zip one scan's voxels, under so many headers."""
    with zipfile.ZipFile(archive, "w", method, compresslevel=6) as opened:
        opened.write(header.with_suffix(".raw"), f"subset0/{header.stem}.raw")
    add_headers(archive, header, range(scans))
    return archive


def add_headers(archive: Path, header: Path, numbers: range) -> None:
    """Add headers of the one scan, under other names."""
    with zipfile.ZipFile(archive, "a") as opened:
        for number in numbers:
            opened.write(header, f"subset0/{header.stem}.{number}.mhd")


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


def ours(archive: Path, header: Path, sampling: Sampling = TWENTY, jobs: int = 1) -> None:
    """Cut with this project; record the seconds for each scan, without making the tables."""
    tables = tables_of(archive, header)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        start = time.perf_counter()
        make_patches(archive, 0, tables, sampling, Path(folder) / "out", Workers(jobs))
        ours.seconds = (time.perf_counter() - start) / tables.patients.shape[0]  # type: ignore[attr-defined]


def windows() -> list[tuple[slice, slice]]:
    """Give the positions of twenty patches."""
    starts = np.random.default_rng(2).integers(0, 512 - SIZE_PX, (20, 2)).tolist()
    return [(slice(y, y + SIZE_PX), slice(x, x + SIZE_PX)) for y, x in starts]


def itk_for_each_patch(header: Path) -> None:
    """Read the whole volume for each patch, as most notebooks do."""
    import SimpleITK as sitk

    for y, x in windows():
        volume = sitk.GetArrayFromImage(sitk.ReadImage(header))
        volume[len(volume) // 2, y, x].copy()


def itk_once(header: Path) -> None:
    """Read the volume once with SimpleITK, then slice it."""
    import SimpleITK as sitk

    volume = sitk.GetArrayFromImage(sitk.ReadImage(header))
    for y, x in windows():
        volume[len(volume) // 2, y, x].copy()


def itk_from_zip(archive: Path) -> None:
    """Unpack the archive to disk, then read the volume once with SimpleITK."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        header = next(Path(folder).rglob("*.mhd"))
        itk_once(header)


def inflate_with_zlib(archive: Path) -> None:
    """Only read the members, with Python's own zipfile."""
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            with opened.open(name) as member:
                while member.read(1 << 20):
                    pass


def inflate_with_isal(archive: Path) -> None:
    """Only inflate the members and check their CRC, with the inflater that this project uses."""
    with zipfile.ZipFile(archive) as opened, archive.open("rb") as file:
        for info in opened.infolist():
            if info.compress_type == zipfile.ZIP_STORED:  # a header
                continue
            file.seek(info.header_offset + 26)
            name_bytes, extra_bytes = np.frombuffer(file.read(4), "<u2").tolist()
            file.seek(name_bytes + extra_bytes, 1)
            inflater, crc, left = isal_zlib.decompressobj(-15), 0, info.compress_size
            pending = b""
            while not inflater.eof:
                if not pending:
                    pending = file.read(min(left, 1 << 18))
                    left -= len(pending)
                piece = inflater.decompress(pending, 1 << 19)
                crc = isal_zlib.crc32(piece, crc)
                pending = inflater.unconsumed_tail
            assert crc == info.CRC


def _child(pipe: object, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        function(*arguments)
        best = min(best, getattr(function, "seconds", time.perf_counter() - start))
    pipe.send(best)  # type: ignore[attr-defined]


def _memory(pipe: object, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    function(*arguments)
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    pipe.send(int(peak_kib) / 1024)  # type: ignore[attr-defined]


def in_a_process(
    body: Callable[..., None], function: Callable[..., None], *arguments: object
) -> float:
    """Call a function in its own process; give what `body` measures."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=body, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    result = mine.recv()
    process.join()
    return float(result)


def compare(name: str, header: Path, folder: Path) -> None:
    """Print the table for one scan."""
    deflated = pack(header, folder / "deflated.zip", zipfile.ZIP_DEFLATED, SCANS)
    stored = pack(header, folder / "stored.zip", zipfile.ZIP_STORED, SCANS)
    volume_mib = header.with_suffix(".raw").stat().st_size / 2**20
    share = deflated.stat().st_size / stored.stat().st_size
    print(
        f"\n{name}: {volume_mib:.0f} MiB of voxels, deflated to {share:.0%}; 20 patches a scan, "
        "1 process"
    )
    rows: list[tuple[str, Callable[..., None], tuple[object, ...]]] = [
        ("ReadImage for each patch, from raw", itk_for_each_patch, (header,)),
        ("ReadImage once, from raw", itk_once, (header,)),
        ("unpack the zip, ReadImage once", itk_from_zip, (deflated,)),
        ("inflate only, zipfile", inflate_with_zlib, (deflated,)),
        ("inflate only, isal", inflate_with_isal, (deflated,)),
        ("ours, from raw (stored)", ours, (stored, header)),
        ("ours, from zip", ours, (deflated, header)),
        ("ours, from zip, 850 candidates", ours, (deflated, header, ALL_CANDIDATES)),
        ("ours, from zip, 0.8x0.8x1 mm, 3 slices", ours, (deflated, header, RESAMPLED)),
        ("ours, from zip, random_lung", ours, (deflated, header, LUNGS)),
    ]
    seconds = {}
    for label, function, arguments in rows:
        seconds[label] = in_a_process(_child, function, *arguments)
        peak_mib = in_a_process(_memory, function, *arguments)
        print(f"  {label:42}{seconds[label]:8.3f} s{peak_mib:8.0f} MiB")
    each, once, unzipped, zlib_only, isal_only, raw, zipped, *_ = seconds.values()
    print(
        f"  ratios: {each / raw:.1f}x from raw and {each / zipped:.1f}x from zip against ReadImage "
        f"for each patch;\n  {once / raw:.1f}x from raw against ReadImage once; from zip "
        f"{unzipped / zipped:.1f}x against unpacking and ReadImage,\n  {zipped / zlib_only:.2f} of "
        f"zipfile's and {zipped / isal_only:.2f} of isal's time for inflating alone"
    )


def scale(header: Path, folder: Path, counts: list[int]) -> None:
    """Print time and memory over numbers of scans, and what all of LUNA16 would take.

    All scans are the same voxels under different headers, but each scan is read separately.
    """
    print("\nscans of 850 candidates, from zip    seconds   per scan    its CPU   peak MiB")
    archive = pack(header, folder / "many.zip", zipfile.ZIP_DEFLATED, 0)
    arguments = (archive, header, ALL_CANDIDATES)
    held = 0
    for count in sorted(counts):
        add_headers(archive, header, range(held, count))
        held = count
        seconds = in_a_process(_once, ours, *arguments)
        peak_mib = in_a_process(_memory, ours, *arguments)
        # On a machine with other work, the processor's time tells more than the clock's.
        cpu_s = in_a_process(_cpu, ours, *arguments) / count
        print(
            f"  {count:4} in 1 process  {seconds * count:22.2f}{seconds:11.3f}{cpu_s:11.3f}"
            f"{peak_mib:11.0f}"
        )
    for _ in range(2):  # the second time, the processes are there already
        ours(archive, header, ALL_CANDIDATES, 2)
        seconds = ours.seconds  # type: ignore[attr-defined]
        print(f"  {count:4} in 2 processes{seconds * count:22.2f}{seconds:11.3f}")
    scan_bytes = header.with_suffix(".raw").stat().st_size
    hours = seconds / scan_bytes * LUNA16_BYTES / 3600
    print(
        f"all of LUNA16 ({LUNA16_SCANS} scans, {LUNA16_BYTES / 1e9:.0f} GB of voxels, "
        f"{LUNA16_CANDIDATES:,} candidates), by the\nvoxels: {hours:.2f} hours in 2 processes, "
        "from a disk that reads as fast as the page cache"
    )


def _once(pipe: object, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    function(*arguments)
    pipe.send(function.seconds)  # type: ignore[attr-defined]


def _cpu(pipe: object, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    start = time.process_time()
    function(*arguments)
    pipe.send(time.process_time() - start)  # type: ignore[attr-defined]


def profile(header: Path, folder: Path) -> None:
    """Print the functions that take most of the time."""
    archive = pack(header, folder / "one.zip", zipfile.ZIP_DEFLATED, 1)
    ours(archive, header, ALL_CANDIDATES)
    profiler = cProfile.Profile()
    profiler.runcall(ours, archive, header, ALL_CANDIDATES)
    print("\nprofile of one scan, 850 candidates, from zip")
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(10)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, nargs="+", default=[1, 4, 16, 64])
    counts = parser.parse_args().scans
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantom = write_phantom(folder)
        compare("phantom", phantom, folder)
        for header in sorted(REAL.glob("*.mhd")):
            compare(f"real scan ..{header.stem[-6:]}", unpack_real(header, folder), folder)
        scale(phantom, folder, counts)
        profile(phantom, folder)


if __name__ == "__main__":
    main()
