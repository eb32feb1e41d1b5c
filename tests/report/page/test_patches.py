from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nodules.files import write_parquet
from nodules.report.page.patches import found_nodules, galleries, joined_predictions

SIZE_PX = 33


@pytest.fixture
def predictions(tmp_path):
    """Two nodules with two patches each and two others in the test part; one of train."""
    rows = pd.DataFrame(
        {
            "subset": 0,
            "row": range(7),
            "part": ["test"] * 6 + ["train"],
            "seriesuid": ["a", "a", "b", "b", "a", "b", "c"],
            "nodule": [0, 0, 0, 0, -1, -1, 0],
            "label": [1, 1, 1, 1, 0, 0, 1],
            "score": [0.1, 0.9, 0.8, 0.7, 0.95, 0.2, 0.0],
            "kind": ["positive"] * 4 + ["random_lung", "candidate", "positive"],
            "patient": "P-1",
            "spacing_x_mm": 0.5,
            "spacing_y_mm": 0.5,
            "x_px": [16.0, 16, 16, 16, np.nan, np.nan, 16],
            "y_px": [16.0, 16, 16, 16, np.nan, np.nan, 16],
            "diameter_px": [8.0, 8, 8, 8, np.nan, np.nan, 8],
            "diameter_mm": [4.0, 4, 4, 4, np.nan, np.nan, 4],
        }
    )
    places = rows[rows["label"] == 1][["subset", "row"]].assign(
        predicted_x_px=[16.0, 19, 16, 16, 16],
        predicted_y_px=[16.0, 20, 16, 18, 16],
        predicted_diameter_px=[8.0, 0.5, -3, 8, 8],
    )
    folder = tmp_path / "subset0"
    write_parquet(folder / "index.parquet", rows[["label"]])
    np.save(folder / "patches.npy", np.full((len(rows), 1, SIZE_PX, SIZE_PX), -800, np.int16))
    return joined_predictions(rows, places)


def test_the_localizers_error_is_in_mm(predictions):
    assert len(predictions) == 6
    assert predictions["centre_error_mm"].tolist()[:4] == [0.0, 2.5, 0.0, 1.0]
    assert predictions["centre_error_mm"].isna().tolist()[4:] == [True, True]


def test_mistakes_come_first_and_each_nodule_once(predictions, tmp_path):
    made = galleries(predictions, 0.5, tmp_path)
    missed, false, far, found = made
    assert [own.title.split(" (")[0] for own in made] == [
        "Nodules that the classifier misses, lowest score first",
        "False alarms of the classifier, highest score first",
        "Largest errors of the localizer",
        "Nodules that the classifier finds, some of all",
    ]
    assert [tile.caption[0] for tile in missed.tiles] == ["score 0.100"]
    assert false.tiles[0].caption == ["score 0.950", "random lung", "P-1"]
    assert false.tiles[0].circles == []
    assert [tile.caption[1] for tile in far.tiles] == [
        "4.0 mm, off by 2.5 mm",
        "4.0 mm, off by 1.0 mm",
    ]
    assert [tile.caption[0] for tile in found.tiles] == ["score 0.700", "score 0.900"]


def test_circles_are_where_the_pixels_are(predictions, tmp_path):
    tile = galleries(predictions, 0.5, tmp_path)[2].tiles[0]
    circles = {circle.kind: circle for circle in tile.circles}
    # The middle of 33 pixels is 16.5 from the edge.
    assert (circles["annotated"].x, circles["annotated"].y) == (16.5, 16.5)
    assert circles["annotated"].radius == 4
    assert (circles["finding"].x, circles["finding"].y) == (19.5, 20.5)
    # A network may give a diameter that is none.
    assert circles["finding"].radius == 0.5


def test_no_mistakes_no_gallery(predictions, tmp_path):
    titles = [own.title for own in galleries(predictions, 0.0, tmp_path)]
    assert not any("misses" in title for title in titles)
    assert len(found_nodules(predictions, 1.0)) == 0
    titles = [own.title for own in galleries(predictions, 1.0, tmp_path)]
    assert not any("finds" in title or "False" in title for title in titles)
