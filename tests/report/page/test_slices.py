from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nodules.report.page import slices
from nodules.report.page.pictures import levels_of
from nodules.report.page.slices import encode_slices


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def smooth(count: int, rows: int = 41, columns: int = 63) -> np.ndarray:
    z, y, x = np.indices((count, rows, columns))
    return (-900 + 12 * x + 7 * y + 5 * z).astype(np.int16)


def test_every_slice_comes_back_in_full_when_there_is_room():
    volume_hu = smooth(5)
    encoded = encode_slices(volume_hu)
    assert (len(encoded.encoded), encoded.step) == (5, 1)
    for text, plane in zip(encoded.encoded, volume_hu, strict=True):
        assert np.abs(decoded(text).astype(int) - levels_of(plane)).max() <= 6


def test_many_slices_are_made_coarser_until_they_fit(monkeypatch):
    volume_hu = np.random.default_rng(1).integers(-1000, 300, (40, 64, 64), np.int16)
    fine = sum(map(len, encode_slices(volume_hu).encoded))
    monkeypatch.setattr(slices, "_MOST_BYTES", fine // 5)
    coarse = encode_slices(volume_hu)
    assert coarse.step > 1
    assert sum(map(len, coarse.encoded)) <= fine // 5
    assert decoded(coarse.encoded[0]).shape == (-(-64 // coarse.step),) * 2


@pytest.mark.parametrize("step", [2, 3])
def test_a_coarser_picture_covers_the_same_area(monkeypatch, step):
    monkeypatch.setattr(slices, "_SETTINGS", ((step, 95),))
    (text,) = encode_slices(smooth(1)).encoded
    shown = decoded(text).astype(float)
    rows, columns = shown.shape
    assert (rows, columns) == (-(-41 // step), -(-63 // step))
    # Each pixel has the level of the place that it covers, up to the last one.
    y = (np.arange(rows) + 0.5) * 41 / rows - 0.5
    x = (np.arange(columns) + 0.5) * 63 / columns - 0.5
    wanted = levels_of((-900 + 12 * x + 7 * y[:, None]).astype(np.int16))
    assert np.abs(shown - wanted).max() <= 5
