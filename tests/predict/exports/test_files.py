"""The files for 3D Slicer, for grand-challenge.org, and the mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from jsonschema import validate

from nodules.predict.exports.kinds import FILES, refuse_other_source, write_export
from nodules.scans.geometry import Geometry
from tests.predict.exports.found import DIAMETERS_MM, POINTS_MM, PROBABILITIES, found_in
from tests.scans.dicoms import VOLUME

NUMBER, TEXT, FLAG = {"type": "number"}, {"type": "string"}, {"type": "boolean"}
POINT = {"type": "array", "items": NUMBER, "minItems": 3, "maxItems": 3}
# What 3D Slicer 5's markups-schema-v1.0.3.json says of the properties that are written, and no
# others are allowed here.
MARKUPS = {
    "type": "object",
    "required": ["@schema", "markups"],
    "additionalProperties": False,
    "properties": {
        "@schema": {"pattern": r"Markups/Resources/Schema/markups-schema-v1\.0\.3\.json#$"},
        "markups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {"enum": ["Fiducial"]},
                    "name": TEXT,
                    "coordinateSystem": {"enum": ["LPS", "RAS"]},
                    "coordinateUnits": {"enum": ["mm", "um"]},
                    "locked": FLAG,
                    "labelFormat": TEXT,
                    "controlPoints": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "id": TEXT,
                                "label": TEXT,
                                "description": TEXT,
                                "position": POINT,
                                "selected": FLAG,
                                "locked": FLAG,
                                "visibility": FLAG,
                                "positionStatus": {"enum": ["undefined", "preview", "defined"]},
                            },
                        },
                    },
                },
            },
        },
    },
}
# What grand-challenge.org checks of "Multiple points".
POINTS = {
    "type": "object",
    "required": ["version", "type", "points"],
    "additionalProperties": False,
    "properties": {
        "version": {
            "type": "object",
            "required": ["major", "minor"],
            "additionalProperties": NUMBER,
        },
        "name": TEXT,
        "type": {"enum": ["Multiple points"]},
        "points": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["point"],
                "additionalProperties": False,
                "properties": {
                    "name": TEXT,
                    "point": POINT,
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                },
            },
        },
    },
}


@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("name", ["slicer", "grand-challenge"])
def test_json_has_the_points_and_is_what_is_expected(tmp_path: Path, name, count):
    write_export(name, tmp_path, found_in(tmp_path / "scan", count=count))
    tree = json.loads((tmp_path / FILES[name]).read_text())
    validate(tree, MARKUPS if name == "slicer" else POINTS)
    if name == "slicer":
        (markup,) = tree["markups"]
        assert markup["coordinateSystem"] == "LPS"
        points = [point["position"] for point in markup["controlPoints"]]
        labels = [point["label"] for point in markup["controlPoints"]]
        assert labels[:1] == ["finding 1: 5.0 mm, 0.988"][:count]
    else:
        points = [point["point"] for point in tree["points"]]
        assert [point["probability"] for point in tree["points"]] == list(PROBABILITIES)[:count]
    np.testing.assert_allclose(np.reshape(points, (-1, 3)), POINTS_MM[:count], atol=1e-3)


def test_the_mask_lies_where_the_findings_are(tmp_path: Path):
    write_export("nifti", tmp_path, found_in(tmp_path / "scan"))
    image = sitk.ReadImage(tmp_path / FILES["nifti"])
    assert image.GetSize() == VOLUME.geometry.size_xyz
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(image)
    assert shape.GetLabels() == (1, 2)
    spacing_mm = np.array(VOLUME.geometry.spacing_xyz_mm)
    for label in (1, 2):
        off_mm = np.abs(shape.GetCentroid(label) - POINTS_MM[label - 1])
        assert (off_mm < spacing_mm / 2).all()
        ball_mm3 = np.pi / 6 * DIAMETERS_MM[label - 1] ** 3
        assert shape.GetPhysicalSize(label) == pytest.approx(ball_mm3, rel=0.2)


def test_the_smallest_finding_has_a_voxel(tmp_path: Path):
    found = found_in(tmp_path / "scan", count=1)
    found.findings["diameter_mm"] = 0.1
    write_export("nifti", tmp_path, found)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / FILES["nifti"]))
    assert np.argwhere(labels).tolist() == [[3, 8, 6]]


def test_a_finding_outside_the_scan_has_none(tmp_path: Path):
    found = found_in(tmp_path / "scan", count=1)
    found.findings["coordX"] += 500
    write_export("nifti", tmp_path, found)
    assert not sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / FILES["nifti"])).any()


def test_dicom_objects_need_a_scan_in_dicom(tmp_path: Path):
    found = found_in(tmp_path / "scan")
    assert isinstance(found.scan.header.geometry, Geometry)
    with pytest.raises(ValueError, match=r"--export dicom-seg: Expected a scan in DICOM"):
        refuse_other_source(("nifti", "dicom-seg"), found.scan)
