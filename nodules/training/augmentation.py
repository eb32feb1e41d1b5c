"""Random changes of training patches, with labels that move along exactly.

A change is an affine map about the patch's centre, (size - 1) / 2: a point p of the patch goes to
``matrix @ (p - centre) + centre + shift``. A nodule's centre goes where that map sends it, and its
diameter grows with the square root of the area's growth, so that under shear it stays the diameter
of the disc with the ellipse's area.

The values change after the places: an offset of the whole patch, as scanners differ in calibration,
and noise. Air that came into view gets noise like all else, so that no network can tell it by its
constancy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nodules.scans.geometry import AIR_HU

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far patches may change.

    Parameters
    ----------
    rotation_deg
        Largest rotation either way.
    shift
        Largest shift either way, a share of the patch's side, along x and y each.
    shear_deg
        Largest shear either way.
    zoom
        Largest change of scale, the same along x and y so that discs stay discs.
    flips
        Whether to mirror left-right and up-down, each by a coin.
    jitter_hu
        Largest offset of a patch's values either way; 0 for none.
    noise_hu
        Standard deviation of the Gaussian noise of each pixel; 0 for none.
    """

    rotation_deg: float
    shift: float
    shear_deg: float
    zoom: float
    flips: bool
    jitter_hu: float = 0.0
    noise_hu: float = 0.0

    def draw(self, rng: np.random.Generator, count: int, size_px: int) -> tuple[Floats, Floats]:
        """Draw random maps.

        Parameters
        ----------
        rng
            Where the randomness comes from.
        count
            How many maps.
        size_px
            Side of the patches.

        Returns
        -------
        matrices
            Shape (count, 2, 2), acting on columns (x, y).
        shifts_px
            Shape (count, 2), ordered x, y.
        """
        angle = np.deg2rad(rng.uniform(-self.rotation_deg, self.rotation_deg, count))
        shear = np.tan(np.deg2rad(rng.uniform(-self.shear_deg, self.shear_deg, count)))
        scale = rng.uniform(1 - self.zoom, 1 + self.zoom, count)
        mirror = rng.choice([-1.0, 1.0], (count, 2)) if self.flips else np.ones((count, 2))
        cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros(count), np.ones(count)
        rotation = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0)
        shearing = np.moveaxis(np.array([[one, shear], [zero, one]]), -1, 0)
        matrices = scale[:, None, None] * rotation @ shearing * mirror[:, None, :]
        return matrices, rng.uniform(-self.shift, self.shift, (count, 2)) * size_px

    def add_noise(
        self, rng: np.random.Generator, images_hu: NDArray[np.int16]
    ) -> NDArray[np.int16]:
        """Change the values of patches, by an offset and noise, not their places.

        Parameters
        ----------
        rng
            Where the randomness comes from; untouched where both changes are off.
        images_hu
            int16 of shape (N, depth, size, size).

        Returns
        -------
        noisy_hu
            int16 of the same shape, rounded; what would leave int16 stays at its end.
        """
        if not (self.jitter_hu or self.noise_hu):
            return images_hu
        noisy_hu = images_hu.astype(np.float32)
        if self.jitter_hu:
            offsets = rng.uniform(-self.jitter_hu, self.jitter_hu, (len(images_hu), 1, 1, 1))
            noisy_hu += offsets.astype(np.float32)
        if self.noise_hu:
            noise = rng.standard_normal(images_hu.shape, np.float32)
            noisy_hu += np.float32(self.noise_hu) * noise
        ends = np.iinfo(np.int16)
        return np.rint(np.clip(noisy_hu, ends.min, ends.max)).astype(np.int16)


def move_patches(
    images_hu: NDArray[np.int16], matrices: Floats, shifts_px: Floats
) -> NDArray[np.int16]:
    """Apply one map to each patch, by linear interpolation; what comes into view is air.

    Parameters
    ----------
    images_hu
        int16 of shape (N, depth, size, size).
    matrices, shifts_px
        From `Augmentation.draw`.

    Returns
    -------
    moved_hu
        int16 of the same shape.
    """
    center = (images_hu.shape[-1] - 1) / 2
    # Reading goes backwards, from an output pixel to where it came from, in (row, column) order.
    backward = np.linalg.inv(matrices)[:, ::-1, ::-1]
    starts = center - np.einsum("nij,nj->ni", backward, center + shifts_px[:, ::-1])
    moved_hu = np.empty_like(images_hu)
    for patch, out, matrix, start in zip(images_hu, moved_hu, backward, starts, strict=True):
        for level in range(len(patch)):
            # Into the result, which it rounds for: a third faster than by way of floats.
            ndimage.affine_transform(
                patch[level], matrix, start, order=1, cval=AIR_HU, output=out[level]
            )
    return moved_hu


def move_labels(
    x_y_diameter_px: Floats, matrices: Floats, shifts_px: Floats, size_px: int
) -> Floats:
    """Apply one map to each nodule's centre and diameter.

    Parameters
    ----------
    x_y_diameter_px
        Shape (N, 3), in patch pixels.
    matrices, shifts_px
        From `Augmentation.draw`.
    size_px
        Side of the patches.

    Returns
    -------
    moved_px
        Shape (N, 3).
    """
    center = (size_px - 1) / 2
    moved_px = np.empty_like(x_y_diameter_px)
    from_center = x_y_diameter_px[:, :2] - center
    moved_px[:, :2] = np.einsum("nij,nj->ni", matrices, from_center) + center + shifts_px
    moved_px[:, 2] = x_y_diameter_px[:, 2] * np.sqrt(np.abs(np.linalg.det(matrices)))
    return moved_px
