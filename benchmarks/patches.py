"""Measure the time and memory of cutting patches, and compare them with other ways of doing it.

    python -m benchmarks.patches [--scans 1 4 16 64]

Phantom scans are 512x512x300 of noise that deflates like CT. Real scans are taken from
../shared/data/scans if this folder exists. Each way runs in its own process, on files in the page
cache. A time is the best of three, without imports. This project's time is that of a stage over
eight scans (one scan under eight names), divided by eight; a subset of LUNA16 has 88.
Run it on an otherwise idle machine with two cores and 3 GB of free space for temporary files.
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
from isal import isal_zlib

from benchmarks.patch_scans import add_scans, pack, tables_of, unpack_real, write_phantom
from nodules.jobs.workers import Workers
from nodules.patches.grid import PatchShape
from nodules.patches.sample import Sampling
from nodules.patches.store import make_patches

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
    # The other ways cannot read a zip that lists the same voxels several times.
    one = pack(header, folder / "one.zip", zipfile.ZIP_DEFLATED)
    volume_mib = header.with_suffix(".raw").stat().st_size / 2**20
    share = deflated.stat().st_size / stored.stat().st_size
    print(
        f"\n{name}: {volume_mib:.0f} MiB of voxels, deflated to {share:.0%}; 20 patches a scan, "
        "1 process"
    )
    rows: list[tuple[str, Callable[..., None], tuple[object, ...]]] = [
        ("ReadImage for each patch, from raw", itk_for_each_patch, (header,)),
        ("ReadImage once, from raw", itk_once, (header,)),
        ("unpack the zip, ReadImage once", itk_from_zip, (one,)),
        ("inflate only, zipfile", inflate_with_zlib, (one,)),
        ("inflate only, isal", inflate_with_isal, (one,)),
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

    All scans are the same scan under different names, but each is read separately.
    """
    print("\nscans of 850 candidates, from zip    seconds   per scan    its CPU   peak MiB")
    archive = pack(header, folder / "many.zip", zipfile.ZIP_DEFLATED)
    arguments = (archive, header, ALL_CANDIDATES)
    held = 1
    for count in sorted(counts):
        add_scans(archive, header, range(held, count))
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
    archive = pack(header, folder / "one.zip", zipfile.ZIP_DEFLATED)
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
