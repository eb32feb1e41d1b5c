from __future__ import annotations

import numpy as np
import pytest

from nodules.reduction.batches import CropBatches, Drawing
from nodules.reduction.read import CropStores
from tests.reduction.stores import SHAPE, SIDE, balls_and_rods

DRAWING = Drawing(batch_size=32, steps=5, negatives_per_positive=3, seed=7)


def marked() -> CropStores:
    """Each crop has its own number at all voxels, and another at the centre."""
    stores, _ = balls_and_rods(scans=4, negatives_per_scan=9, seed=0)
    number = 0
    for array in stores.arrays:
        for crop in array:
            crop[:] = number
            number += 1
    return stores


def make(stores: CropStores, drawing: Drawing = DRAWING) -> CropBatches:
    rows = np.arange(len(stores.index))[:-10]  # the last scan is not trained on
    return CropBatches(stores, rows, SHAPE.margin_px, drawing)


def test_a_batch_has_so_many_negatives_a_positive_all_of_the_rows_given():
    stores = marked()
    batches = make(stores)
    batches.begin(0, np.empty(0, np.int64))
    label = stores.index["label"].to_numpy()
    seen = set()
    for number in range(len(batches)):
        images, targets, weights = batches[number]
        assert images.shape == (32, 15, 15, 15)
        assert images.dtype == np.int16
        rows = images[:, 0, 0, 0]
        assert (label[rows] == targets[:, 0]).all()
        assert targets.sum() == 8
        assert (weights == 1).all()
        seen |= set(rows.tolist())
    assert max(seen) < 30


def test_half_of_the_negatives_are_hard_once_there_are_some():
    stores = marked()
    batches = make(stores)
    hard = np.array([5, 17])
    batches.begin(3, hard)
    for number in range(len(batches)):
        rows = batches[number][0][:, 0, 0, 0]
        assert np.isin(rows, hard).sum() >= 12
        # The others are drawn from all.
        assert len(set(rows.tolist()) - set(hard.tolist())) > 5


def test_the_same_seed_draws_the_same_and_another_epoch_others():
    stores, _ = balls_and_rods(scans=4, negatives_per_scan=9, seed=0)

    def draw(epoch: int, seed: int) -> np.ndarray:
        drawing = Drawing(batch_size=32, steps=5, negatives_per_positive=3, seed=seed)
        batches = make(stores, drawing)
        batches.begin(epoch, np.empty(0, np.int64))
        return batches[2][0]

    assert (draw(1, 7) == draw(1, 7)).all()
    assert (draw(1, 7) != draw(2, 7)).any()
    assert (draw(1, 7) != draw(1, 8)).any()


def test_crops_are_shifted_mirrored_and_turned_and_nothing_else():
    stores, _ = balls_and_rods(scans=2, negatives_per_scan=1, seed=0)
    crop = np.arange(SIDE**3, dtype=np.int16).reshape(SIDE, SIDE, SIDE)
    for array in stores.arrays:
        array[:] = crop
    drawing = Drawing(batch_size=3000, steps=1, negatives_per_positive=1, seed=0)
    images, _, _ = CropBatches(stores, np.arange(4), SHAPE.margin_px, drawing)[0]
    middle = SHAPE.size_px // 2
    centers = images[:, middle, middle, middle]
    reach = SIDE // 2 + np.arange(-2, 3)
    allowed = crop[np.ix_(reach, reach, reach)]
    # All 125 shifts occur, and no other.
    assert set(centers.tolist()) == set(allowed.ravel().tolist())
    corner = images[:, middle, middle, middle].astype(int)
    steps = set(
        zip(
            images[:, middle + 1, middle, middle] - corner,
            images[:, middle, middle + 1, middle] - corner,
            images[:, middle, middle, middle + 1] - corner,
            strict=True,
        )
    )
    # z stays z; y and x can change places; each can be mirrored.
    z, y, x = SIDE**2, SIDE, 1
    assert steps == {
        (i * z, *pair)
        for i in (1, -1)
        for j in (1, -1)
        for k in (1, -1)
        for pair in ((j * y, k * x), (j * x, k * y))
    }


@pytest.mark.parametrize(("batch_size", "ratio", "wanted"), [(64, 3, 16), (2, 100, 1), (10, 1, 5)])
def test_there_is_always_a_positive(batch_size: int, ratio: float, wanted: int):
    drawing = Drawing(batch_size=batch_size, steps=1, negatives_per_positive=ratio, seed=0)
    assert drawing.positives == wanted
