"""Changes training patches at random, and moves their labels with them exactly.

A change of place is an affine map about the patch's centre, (size - 1) / 2: a point p of the patch
goes to ``matrix @ (p - centre) + centre + shift``. The same map moves a nodule's centre. The
nodule's diameter is multiplied by the square root of the map's determinant: if shear makes an
ellipse of a disc, the diameter is that of the disc with the ellipse's area.

The values are changed after the places. The whole patch gets one offset, because scanners differ in
calibration, and each pixel gets noise. Air that comes into view gets noise too: otherwise a network
could recognise it because it is constant.
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
    """The largest changes of a patch.

    Parameters
    ----------
    rotation_deg
        The largest angle of rotation, degrees, in both directions.
    shift
        The largest shift along x and along y, as a share of the patch's side, in both directions.
    shear_deg
        The largest angle of shear, degrees, in both directions.
    zoom
        The largest change of scale, relative to 1, in both directions. The scale is the same along
        x and y, so that discs stay discs.
    flips
        Whether to mirror patches left to right and top to bottom, each with probability 1/2.
    jitter_hu
        The largest offset of a patch's values, HU, in both directions; 0 for none.
    noise_hu
        The standard deviation of the Gaussian noise of each pixel, HU; 0 for none.
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
            The source of all randomness.
        count
            The number of maps.
        size_px
            The side of the patches, pixels.

        Returns
        -------
        matrices
            The matrices of the maps, shape (count, 2, 2). They act on columns (x, y).
        shifts_px
            The shifts of the maps, pixels, shape (count, 2), ordered x, y.
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
        """Add an offset to each patch and noise to each pixel.

        Parameters
        ----------
        rng
            The source of all randomness. Nothing is drawn from it if both changes are off.
        images_hu
            The patches, int16 HU of shape (N, depth, size, size).

        Returns
        -------
        noisy_hu
            The changed patches, int16 HU of the same shape. Values are rounded, and values beyond
            int16 are set to its least or largest value.
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
    """Apply one map to each patch, by linear interpolation. What comes into view is air.

    Parameters
    ----------
    images_hu
        The patches, int16 HU of shape (N, depth, size, size).
    matrices, shifts_px
        The N maps, from `Augmentation.draw`.

    Returns
    -------
    moved_hu
        The moved patches, int16 HU of the same shape.
    """
    center = (images_hu.shape[-1] - 1) / 2
    # SciPy needs the inverse maps, from output pixels to input pixels, in (row, column) order.
    backward = np.linalg.inv(matrices)[:, ::-1, ::-1]
    starts = center - np.einsum("nij,nj->ni", backward, center + shifts_px[:, ::-1])
    moved_hu = np.empty_like(images_hu)
    for patch, out, matrix, start in zip(images_hu, moved_hu, backward, starts, strict=True):
        for level in range(len(patch)):
            # SciPy rounds and writes into the result. This takes a third less time than to go by
            # way of floats.
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
        The x and y of each centre and the diameter, in patch pixels, shape (N, 3).
    matrices, shifts_px
        The N maps, from `Augmentation.draw`.
    size_px
        The side of the patches, pixels.

    Returns
    -------
    moved_px
        The moved x, y and diameter, in patch pixels, shape (N, 3).
    """
    center = (size_px - 1) / 2
    moved_px = np.empty_like(x_y_diameter_px)
    from_center = x_y_diameter_px[:, :2] - center
    moved_px[:, :2] = np.einsum("nij,nj->ni", matrices, from_center) + center + shifts_px
    moved_px[:, 2] = x_y_diameter_px[:, 2] * np.sqrt(np.abs(np.linalg.det(matrices)))
    return moved_px
