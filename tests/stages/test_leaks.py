"""Leaks planted in small data sets, and where the real stages catch each of them."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nodules.files import write_csv
from nodules.luna16.official import official_scans
from nodules.luna16.rules import COORDINATES
from nodules.luna16.tables import SCHEMAS, read_table
from nodules.params.file import load_params
from nodules.splits.audit import LeakError
from stages import download, patches, split, tables
from tests.small_luna import itk_image, noise, write_small_luna
from tests.stages.test_stages import write_params

SUBSETS = range(3)


class Luna:
    """A small data set of one's own, nine scans of nine patients, and the stages run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mine = folder / "mine"

    def table(self, name: str) -> pd.DataFrame:
        return read_table(self.mine / name)

    def write(self, name: str, table: pd.DataFrame) -> None:
        write_csv(self.mine / name, table, header=SCHEMAS[name].has_header)

    def plant(self, name: str, *rows: tuple) -> None:
        table = self.table(name)
        more = pd.DataFrame(rows, columns=table.columns)
        self.write(name, pd.concat([table, more], ignore_index=True))

    def rename(self, patients: dict[int, str]) -> None:
        table = self.table("patients.csv")
        table.loc[table.index[list(patients)], "patient"] = list(patients.values())
        self.write("patients.csv", table)

    def add(
        self, subset: int, seriesuid: str, patient: str | None, image: sitk.Image, packed: bool
    ) -> None:
        """Put one more scan into an archive, and into the tables that every scan is in."""
        own = self.folder / "one" / f"{seriesuid}.mhd"
        shutil.rmtree(own.parent, ignore_errors=True)
        own.parent.mkdir()
        sitk.WriteImage(image, own, packed)
        with zipfile.ZipFile(self.mine / f"subset{subset}.zip", "a") as archive:
            for path in sorted(own.parent.iterdir()):
                archive.write(path, f"subset{subset}/{path.name}")
        self.plant("seriesuids.csv", (seriesuid,))
        if patient is not None:
            self.plant("patients.csv", (seriesuid, patient))

    def tables(self) -> None:
        self._run(tables, out=self.folder / "raw")

    def split(self) -> dict:
        self.tables()
        raw = self.folder / "raw"
        for subset in SUBSETS:
            archive = raw / f"subset{subset}.zip"
            self._run(download, subset=subset, out=archive)
            out = self.folder / f"patches/subset{subset}"
            self._run(patches, subset=subset, archive=archive, tables=raw, out=out)
        out = self.folder / "split.json"
        self._run(split, patches=self.folder / "patches", out=out, metrics=self.folder / "s.json")
        return json.loads(out.read_text())

    def _run(self, stage, **arguments) -> None:
        stage.main(argparse.Namespace(**arguments), load_params(self.folder / "params.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("luna")
    write_small_luna(folder / "mine")
    return folder


@pytest.fixture
def luna(made: Path, tmp_path: Path) -> Luna:
    shutil.copytree(made / "mine", tmp_path / "luna/mine")
    write_params(tmp_path / "luna")
    return Luna(tmp_path / "luna")


def warnings(caplog) -> list[str]:
    """What is warned of, but that these scans are too small for a chest."""
    records = (r for r in caplog.records if r.name != "nodules.scans.plausible")
    return [record.getMessage() for record in records]


def test_without_a_leak_all_goes_through_in_silence(luna: Luna, caplog):
    made = luna.split()
    assert len(made["patients"]) == 9
    assert made["twins"] == []
    assert warnings(caplog) == []


def respaced(image: sitk.Image) -> sitk.Image:
    """The same voxels under another header."""
    image.SetSpacing((0.5, 0.5, 1.0))
    image.SetOrigin((0.0, 0.0, 0.0))
    return image


TWINS: dict[str, tuple[Callable[[sitk.Image], sitk.Image], bool]] = {
    "as it is": (lambda image: image, False),
    "compressed": (lambda image: image, True),
    "flipped": (lambda image: sitk.Flip(image, [True, True, False]), False),
    "slices backwards": (lambda image: sitk.Flip(image, [False, False, True]), True),
    "coronal": (lambda image: sitk.PermuteAxes(image, [0, 2, 1]), False),
    "another header": (respaced, False),
    "int32": (lambda image: sitk.Cast(image, sitk.sitkInt32), False),
    "float": (lambda image: sitk.Cast(image, sitk.sitkFloat32), True),
}


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("how", TWINS)
def test_one_scan_under_two_ids_and_two_patients(luna: Luna, how: str, subset: int):
    change, packed = TWINS[how]
    luna.add(subset, "7.7", "twin", change(itk_image(noise("", seed=0))), packed)
    expected = (
        r"different patients to differ\. Received: '1\.0\.0' of '000' in subset0\.zip, and "
        rf"'7\.7' of 'twin' in subset{subset}\.zip, with the same voxels \(1 such\)"
    )
    with pytest.raises(LeakError, match=expected):
        luna.split()
    assert not (luna.folder / "split.json").exists()


@pytest.mark.parametrize("how", TWINS)
def test_one_scan_under_two_ids_of_one_patient_is_reported(luna: Luna, how: str, caplog):
    change, packed = TWINS[how]
    luna.add(2, "7.7", "000", change(itk_image(noise("", seed=0))), packed)
    with caplog.at_level(logging.WARNING):
        made = luna.split()
    assert made["twins"] == [{"patient": "000", "seriesuids": ["1.0.0", "7.7"]}]
    assert warnings(caplog) == [
        "1 scans have the same voxels as another of their patient; the first is 7.7 of 000"
    ]


def test_a_nodule_under_two_ids_of_a_changed_scan(luna: Luna):
    # Voxels that differ in one place escape the checksum, the nodule does not.
    voxels = noise("", seed=0)
    voxels.voxels_hu[0, 0, 0] += 1
    luna.add(2, "7.7", "twin", itk_image(voxels), packed=False)
    nodule = luna.table("annotations.csv").iloc[0]
    x_mm, y_mm, z_mm = nodule[COORDINATES]
    luna.plant("annotations.csv", ("7.7", x_mm + 0.01, y_mm, z_mm - 0.02, nodule.diameter_mm))
    write_params(luna.folder, split__method="luna16")
    expected = r"each nodule in one part\. .* as 1\.0\.0 and 7\.7 have it, in test and train"
    with pytest.raises(LeakError, match=expected):
        luna.split()


# The last in full-width and in Arabic digits.
ALIKE = ["1", "01", "0001", "001.0", "'001", '="001"', "\uff10\uff101", "\u0660\u0660\u0661"]


@pytest.mark.parametrize("patient", ALIKE)
def test_a_patient_with_two_names_of_digits(luna: Luna, patient: str):
    luna.rename({5: patient})
    with pytest.raises(ValueError, match=r"line 7, column patient: .* and '001' at line 3$"):
        luna.tables()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LIDC-7", "lidc-7"),
        ("LIDC-7", "LIDC_7"),
        ("LIDC-7", "LIDC-07"),
        ("LIDC-7", "LIDC\u20137"),
        ("LIDC-7", "LID\u0421-7"),
        ("M\u00fcller", "Mu\u0308ller"),
    ],
)
def test_a_patient_with_two_names_of_letters(luna: Luna, one: str, other: str):
    luna.rename({2: one, 7: other})
    with pytest.raises(ValueError, match=r"patients.csv: line 9, column patient: .* at line 4$"):
        luna.tables()


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ("00\u200b1", "can be seen"),
        ("001\ufeff", "can be seen"),
        ("001\u00ad", "can be seen"),
        ("00\u00a01", "can be seen"),
        ("1.23E+15", "all its digits"),
        ("1.23456E15", "all its digits"),
        ("1.2e15", "all its digits"),
        ("#REF!", "spreadsheet's error"),
        ("123456789012345000", "all their digits"),
    ],
)
def test_a_patient_whose_name_was_lost(luna: Luna, patient: str, expected: str):
    # A spreadsheet makes of two patients one.
    luna.rename({4: patient, 8: patient})
    with pytest.raises(ValueError, match=rf"patients.csv: line 6, column patient: .*{expected}"):
        luna.tables()


def test_space_around_a_name_is_no_part_of_it(luna: Luna):
    luna.rename({4: " 001 "})
    assert len(luna.split()["patients"]) == 8


@pytest.mark.parametrize("uid", ["1.0.00", "1.0.0\u200b", "01.0.0", "1.0.0\u00ad"])
def test_a_scan_with_two_ids(luna: Luna, uid: str):
    luna.plant("seriesuids.csv", (uid,))
    with pytest.raises(ValueError, match=r"seriesuids.csv: line 10, column seriesuid: Expected"):
        luna.tables()


def test_names_that_changed_after_the_tables_are_caught_by_the_split(luna: Luna):
    luna.split()
    path = luna.folder / "patches/subset2/scans.csv"
    path.write_text(path.read_text().replace(",022,", ",\u200b001,"), encoding="utf-8")
    arguments = {name: luna.folder / name for name in ("patches", "out", "metrics")}
    with pytest.raises(
        ValueError, match=r"subset2/scans.csv: line 4, column patient: Expected an id"
    ):
        split.main(argparse.Namespace(**arguments), load_params(luna.folder / "params.yaml"))
    path.write_text(path.read_text(encoding="utf-8").replace("\u200b001", "01"), encoding="utf-8")
    with pytest.raises(LeakError, match=r"'001' in subset0\.zip, and '1\.2\.2' of '01' in subset2"):
        split.main(argparse.Namespace(**arguments), load_params(luna.folder / "params.yaml"))


@pytest.mark.parametrize("apart_mm", [0.0, 1e-9, 0.01, 0.5, 1.9])
@pytest.mark.parametrize("diameter_mm", [4.0, 4.01, 3.0])
def test_a_nodule_again(luna: Luna, apart_mm: float, diameter_mm: float):
    uid, x_mm, y_mm, z_mm, _ = luna.table("annotations.csv").iloc[3]
    luna.plant("annotations.csv", (uid, x_mm, y_mm, z_mm + apart_mm, diameter_mm))
    with pytest.raises(ValueError, match=r"annotations.csv: line 11: Expected .* line 5\b"):
        luna.tables()
    assert not (luna.folder / "raw").exists()


def test_another_nodule_beside_one_is_taken(luna: Luna):
    uid, x_mm, y_mm, z_mm, _ = luna.table("annotations.csv").iloc[3]
    luna.plant("annotations.csv", (uid, x_mm, y_mm, z_mm - 2.1, 4.0))
    luna.tables()
    assert len(read_table(luna.folder / "raw/annotations.csv")) == 10


@pytest.mark.parametrize("apart_mm", [0.0, 0.01, 1.9])
def test_a_candidate_of_class_0_on_a_nodule(luna: Luna, apart_mm: float, caplog):
    nodules = luna.table("annotations.csv")
    rows = nodules[["seriesuid", *COORDINATES]].itertuples(index=False, name=None)
    luna.plant("candidates_V2.csv", *((u, x + apart_mm, y, z, 0) for u, x, y, z in rows))
    with caplog.at_level(logging.WARNING):
        luna.split()
    (warning,) = warnings(caplog)
    expected = "candidates_V2.csv: 9 of 27 rows of class 0 lie on a nodule, the first at line 29: "
    assert expected in warning
    of = nodules.set_index("seriesuid")
    for subset in SUBSETS:
        own = luna.folder / f"patches/subset{subset}"
        counts = json.loads((own / "counts.json").read_text())
        assert counts["class_0_on_nodules"] == 3
        assert counts["requests"]["candidate.refused.shows_nodule"] >= 3
        index = pd.read_parquet(own / "index.parquet")
        # Those beside a nodule show it.
        negatives = index[(index["label"] == 0) & (index["kind"] != "beside")]
        assert len(negatives) > 0
        for row in negatives.itertuples():
            nodule = of.loc[row.seriesuid]
            # No pixel's centre of a negative lies in the nodule.
            offsets = np.arange(9) - 4
            apart = [
                nodule.coordX - (row.center_x_mm + offsets[None, :] * row.spacing_x_mm),
                nodule.coordY - (row.center_y_mm + offsets[:, None] * row.spacing_y_mm),
                nodule.coordZ - row.center_z_mm,
            ]
            squared = sum(np.square(a) for a in apart)
            assert (squared > (nodule.diameter_mm / 2) ** 2).all()


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["x", "y"], "one patient for all scans of LIDC-IDRI-0332"),
        ([None, "y"], "one patient for all scans of LIDC-IDRI-0332"),
        (["LIDC-IDRI-0332", "LIDC-IDRI-0332a"], "one patient for all scans of LIDC-IDRI-0332"),
        (["LIDC-IDRI-0332", "LIDC-IDRI-332"], "leading zeros"),
        (["LIDC-IDRI-0332", "LIDC-IDRI-0001"], "no other patient's of LIDC-IDRI"),
        (["x", "x"], None),
        ([None, None], None),
    ],
)
def test_a_patient_of_lidc_under_two_names(luna: Luna, names, error):
    scans = official_scans()
    # Of one patient, in two subsets.
    uids = scans.loc[scans["patient"] == "LIDC-IDRI-0332", "seriesuid"]
    for k, (uid, name) in enumerate(zip(uids, names, strict=True)):
        luna.add(k, uid, name, itk_image(noise("", seed=90 + k)), packed=False)
    if error:
        with pytest.raises(ValueError, match=rf"patients\.csv: .*{error}"):
            luna.tables()
        return
    patient = names[0] or "LIDC-IDRI-0332"
    assert luna.split()["patients"].keys() == set(luna.table("patients.csv")["patient"]) | {patient}
