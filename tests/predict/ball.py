"""A chest with one ball in its lungs, and networks made by hand that find it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import SimpleITK as sitk
import yaml
from keras import layers

from nodules.jobs.workers import Workers
from nodules.networks.file import save_model
from nodules.params.file import load_params
from nodules.predict.settings import Settings, make_settings
from nodules.scans.geometry import IDENTITY, Geometry
from nodules.scans.write import Volume
from tests.places import ROOT

RADIUS_MM = 6.0
DIAMETER_PX = 7.5
_SIZE_PX, _CUBE_PX, _SPACING_MM = 33, 15, 2.0
ONE = Workers(1)


def chest(seriesuid: str, direction: tuple[float, ...] = IDENTITY, has_ball: bool = True) -> Volume:
    """Two lungs in a body, with some noise, and a ball off every voxel's centre.

    Its borders have partial volumes, as those in a scan.
    """
    signs = np.sign(np.reshape(direction, (3, 3)).sum(axis=0))
    size, spacing = np.array([100, 90, 24]), np.array([1.6, 1.7, 3.0])
    origin = np.where(signs > 0, [-80.0, -70.0, -300.0], [78.4, 81.3, -231.0])
    geometry = Geometry(tuple(size.tolist()), tuple(spacing.tolist()), tuple(origin), direction)
    index_zyx = np.moveaxis(np.indices(geometry.shape_zyx), 0, -1)
    world = geometry.world_from_index(index_zyx[..., ::-1])
    x, y = world[..., 0], world[..., 1] - 5
    hu = np.full(geometry.shape_zyx, -1000.0)
    hu[(x / 72) ** 2 + (y / 62) ** 2 < 1] = 40
    for side in (-1, 1):
        hu[((x - side * 33) / 25) ** 2 + (y / 45) ** 2 < 1] = -860
    if has_ball:
        apart_mm = np.linalg.norm(world - BALL_MM, axis=-1)
        share = np.clip((RADIUS_MM - apart_mm) / 1.6 + 0.5, 0, 1)
        hu = hu * (1 - share) + 60 * share
    hu += np.random.default_rng(3).normal(0, 8, hu.shape)
    # As scanners do, so that stored numbers of 12 bits without a sign hold them.
    return Volume(seriesuid, geometry, np.rint(np.maximum(hu, -1024)).astype(np.int16))


BALL_MM = np.array([31.3, 12.9, -262.2])


def itk_image(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(volume.voxels_hu)
    image.SetSpacing(volume.geometry.spacing_xyz_mm)
    image.SetOrigin(volume.geometry.origin_xyz_mm)
    image.SetDirection(volume.geometry.direction)
    return image


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = np.indices((_SIZE_PX, _SIZE_PX)).astype(np.float32)
    middle = _SIZE_PX // 2
    return x, y, np.hypot(x - middle, y - middle)


def _bright(size: tuple[int, ...]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """0 where it is as dark as lung, 1 where it is as bright as the ball."""
    hu = keras.Input(size, dtype="int16")
    x = layers.Permute((2, 3, 1))(hu)
    return hu, layers.ReLU(max_value=1.0)(layers.Rescaling(1 / 500, 600 / 500)(x))


def classifier() -> keras.Model:
    """How much more bright there is within 4 pixels than in the ring about them."""
    hu, x = _bright((1, _SIZE_PX, _SIZE_PX))
    x = layers.Flatten()(x)
    head = layers.Dense(1, activation="sigmoid")
    model = keras.Model(hu, head(x))
    distance = _grid()[2]
    inside, ring = distance <= 4, (distance > 7) & (distance < 11)
    kernel = 12 * inside / inside.sum() - 40 * ring / ring.sum()
    head.set_weights([kernel.reshape(-1, 1), np.array([-5.0])])
    return model


def localizer() -> keras.Model:
    """The centroid of what is bright within 8 pixels."""
    hu, x = _bright((1, _SIZE_PX, _SIZE_PX))
    x_px, y_px, distance = _grid()
    x = layers.Flatten()(x)
    near = layers.Dense(_SIZE_PX**2)
    # A softmax of 0 where it is dark and of 20 where it is bright.
    weights = layers.Softmax()(near(x))
    place = layers.Dense(3)
    model = keras.Model(hu, place(weights))
    near.set_weights([np.diag(20.0 * (distance <= 8).ravel()), np.zeros(_SIZE_PX**2)])
    kernel = np.stack([x_px.ravel(), y_px.ravel(), np.zeros(_SIZE_PX**2)], axis=1)
    place.set_weights([kernel, np.array([0.0, 0.0, DIAMETER_PX])])
    return model


def reducer() -> keras.Model:
    """How bright the middle of the cube is."""
    hu, x = _bright((_CUBE_PX,) * 3)
    head = layers.Dense(1)
    model = keras.Model(hu, head(layers.Flatten()(x)))
    # The order of the axes does not matter for a ball.
    index = np.indices((_CUBE_PX,) * 3) - _CUBE_PX // 2
    inside = np.linalg.norm(index, axis=0) <= 2
    head.set_weights([12 * inside.reshape(-1, 1) / inside.sum(), np.array([-6.0])])
    return model


def save_networks(folder: Path) -> None:
    """The networks, and the parameters that fit them."""
    folder.mkdir(parents=True, exist_ok=True)
    for make in (classifier, localizer, reducer):
        save_model(make(), folder / f"{make.__name__}.keras")
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["patches"]["size_px"] = _SIZE_PX
    tree["candidates"] |= {"stride_px": 2, "threshold": 0.5, "source": "detector"}
    tree["crops"] |= {"size_px": _CUBE_PX, "spacing_mm": _SPACING_MM}
    tree["parallel"]["jobs"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))


def settings_of(
    models: Path,
    *,
    threshold: float = 0.0,
    lungs: Path | None = None,
    exports: tuple[str, ...] = (),
) -> Settings:
    file = models / "params.yaml"
    return make_settings(models, load_params(file), file, threshold, lungs, exports)
