from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nodules.report.page.pictures import LUNG, MEDIASTINUM, jpeg, levels_of, picture


@pytest.mark.parametrize("window", [LUNG, MEDIASTINUM], ids=lambda window: window.name)
def test_a_window_of_the_levels_looks_like_the_window_of_the_hu(window):
    hu = np.arange(-1500, 1500, dtype=np.int16)
    shades = np.array(window.shades.split(), float)
    assert len(shades) == 256
    shown = shades[levels_of(hu)] * 255
    # Air below -1000 HU has the level of -1000.
    wanted = window.grey(np.maximum(hu, -1000)).astype(float)
    # Half a level is up to 3.7 HU in the lungs, and 1.9 HU in tissue.
    assert np.abs(shown - wanted).max() <= 2


def test_levels_never_fall_and_all_int16_have_one():
    hu = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
    levels = levels_of(hu)
    assert (np.diff(levels.astype(int)) >= 0).all()
    assert set(levels) == set(range(256))


def test_a_window_is_told_as_radiologists_do():
    assert LUNG.words == "centre -600, width 1500 HU"
    assert MEDIASTINUM.words == "centre 40, width 400 HU"


def test_a_picture_is_a_jpeg_that_comes_back():
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    address = picture(grey, quality=95)
    kind, _, text = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    assert back.shape == grey.shape
    assert np.abs(back.astype(int) - grey).max() <= 4
    assert jpeg(grey, 95) == jpeg(grey.copy(), 95)
