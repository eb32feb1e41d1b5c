"""Draw a scan's most probable findings, and its annotated nodules.

    python -m docs.findings_picture ARCHIVE SERIESUID FINDINGS.csv ANNOTATIONS.csv OUT.png

Each tile is 65x65 pixels of the slice nearest to a finding, its circle in orange. Annotated nodules
come last, in green, with the finding that hits them, if one does, in orange.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from docs.picture import GREEN, ORANGE, SCALE, ring
from nodules.luna16.rules import ANNOTATION_COLUMNS
from nodules.luna16.tables import FINDINGS, read_table
from nodules.patches.grid import PatchShape, make_grid
from nodules.patches.windows import cut_patches, needed_slices
from nodules.scans.read import list_scans, read_slices

SIZE_PX = 65
COLUMNS = 8


def main() -> None:
    """Write the picture and print the ranks of the hits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("seriesuid")
    parser.add_argument("findings", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    scan = next(s for s in list_scans(options.archive) if s.seriesuid == options.seriesuid)
    grid = make_grid(scan.header.geometry, PatchShape(size_px=SIZE_PX, depth=1))
    tables = [read_table(path, FINDINGS) for path in (options.findings, options.annotations)]
    findings, nodules = (
        table.loc[table["seriesuid"] == options.seriesuid, ANNOTATION_COLUMNS[1:]].to_numpy()
        for table in tables
    )
    # From the most probable on, as the file has them.
    shown = [(row, ORANGE, None) for row in findings[:COLUMNS]]
    for nodule in nodules:
        apart_mm = np.linalg.norm(findings[:, :3] - nodule[:3], axis=1)
        hits = np.flatnonzero(apart_mm < nodule[3] / 2)
        print(f"nodule of {nodule[3]:.1f} mm: hit by findings {(hits + 1).tolist()}")
        shown.append((nodule, GREEN, findings[hits[0]] if len(hits) else None))
    index = grid.geometry.index_from_world(np.array([row[:3] for row, _, _ in shown]))
    centers = np.rint(index).astype(np.int64)
    z_indices = needed_slices(grid, centers)
    slices = zip(z_indices, read_slices(scan, z_indices), strict=True)
    tiles = []
    for patch, center, (row, color, hit) in zip(
        cut_patches(slices, grid, centers), centers, shown, strict=True
    ):
        grey = np.clip((patch[0] + 1000.0) / 1400, 0, 1) * 255
        tile = np.repeat(np.kron(grey, np.ones((SCALE, SCALE)))[..., None], 3, axis=2)
        for circle, its_color in ((row, color), (hit, ORANGE)):
            if circle is not None:
                x, y, _ = grid.geometry.index_from_world(circle[:3]) - center + SIZE_PX // 2
                ring(tile, x, y, circle[3] / grid.geometry.spacing_xyz_mm[0], its_color)
        tiles.append(np.pad(tile, ((3, 3), (3, 3), (0, 0)), constant_values=255))
    image = sitk.GetImageFromArray(np.hstack(tiles).astype(np.uint8), isVector=True)
    sitk.WriteImage(image, str(options.out))


if __name__ == "__main__":
    main()
