"""Searches one scan as the stages ``candidates`` and ``reduce`` do, to the same bits."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nodules.detection.region import region_of_lungs
from nodules.detection.search import search_scan
from nodules.predict.lungs import read_lungs
from nodules.predict.settings import Settings
from nodules.predict.table import make_table
from nodules.reduction.rank import rank_scan
from nodules.scans.scan import Scan


def search(
    scan: Scan, volume_hu: NDArray[np.int16], settings: Settings, threads: int, label: str | None
) -> pd.DataFrame:
    """Search one scan.

    Parameters
    ----------
    scan
        The scan.
    volume_hu
        Its voxels, int16 of shape (slices, rows, columns), HU.
    settings
        What it is searched with.
    threads
        How many slices are searched at a time. The findings do not depend on it, because each
        slice is computed by one thread.
    label
        The words of the progress bar; None for no bar.

    Returns
    -------
    findings
        The table of `nodules.predict.table.make_table`.

    Raises
    ------
    FileNotFoundError
        If a network or the mask of the lungs is missing.
    ValueError
        If a network is damaged or of another shape, or the mask does not fit the scan.
    """
    geometry = scan.header.geometry
    region = None
    if settings.lungs is not None:
        region = region_of_lungs(read_lungs(settings.lungs, geometry), geometry)
    with _through(threads, label, geometry.size_xyz[2]) as through:
        found = search_scan(
            volume_hu,
            geometry,
            scan.seriesuid,
            settings.searching,
            settings.detection,
            region,
            through,
        )
    _return_freed_memory()
    with _through(threads, None, 0) as through:
        marks = rank_scan(volume_hu, geometry, found, settings.reducer, settings.shape, through)
    _return_freed_memory()
    return make_table(marks, geometry, settings.threshold)


def _return_freed_memory() -> None:
    """Give the system back what networks have freed, which the process keeps for training's sake.

    See `nodules.networks.compute.prepare_process`.
    """
    libc = ctypes.CDLL(None)
    # Only glibc has it.
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


@contextmanager
def _through(threads: int, label: str | None, total: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Give a function like `map` that does several at a time, and draws a bar on a terminal."""
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(desc=label, total=total, unit="slice", disable=True if label is None else None) as bar,
    ):

        def through(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            for result in pool.map(function, items):
                # What comes after the slices is not counted.
                bar.update(bar.n < total)
                yield result

        yield through
