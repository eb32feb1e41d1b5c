"""Writes the model card of the networks that ship, from their metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodules.evaluation.localizer import DIAMETER_BANDS_MM
from nodules.files import atomic_file
from nodules.reading import read_json

_TEMPLATE = Path(__file__).parent / "model_card.md"


def write_card(metrics: Path, out: Path) -> None:
    """Write the model card.

    Parameters
    ----------
    metrics
        The JSON file of the metrics.
    out
        The Markdown file to write.

    Raises
    ------
    FileNotFoundError, ValueError
        If the metrics are missing or damaged.
    """
    tree = read_json(metrics, "the metrics of the networks that ship")
    try:
        parts = {
            "<localizer>": _localizer(tree["localizer"]),
            "<classifier>": _classifier(tree["classifier"]),
            "<scans>": _scans(tree["whole_scans"]),
        }
    except (KeyError, TypeError) as error:
        msg = f"{metrics}: Expected the metrics that `ship` writes. Received: no {error}"
        raise ValueError(msg) from error
    text = _TEMPLATE.read_text(encoding="utf-8")
    for place, lines in parts.items():
        text = text.replace(place, "\n".join(lines).rstrip())
    with atomic_file(out) as partial:
        partial.write_text(text, encoding="utf-8")


def _localizer(own: dict[str, Any]) -> list[str]:
    groups = own["groups"]
    rows = [("all", groups["all"])]
    for title, key in (
        ("diameter, mm", "by_diameter_mm"),
        ("texture (1 ground glass, 5 solid)", "by_texture"),
        ("manufacturer", "by_manufacturer"),
    ):
        names = [name for name in DIAMETER_BANDS_MM if name in groups[key]] or groups[key]
        rows += [(f"{title}: {name.replace('_', ' ')}", groups[key][name]) for name in names]
    rows += [
        ("all, one orientation only", own["one_orientation"]),
        ("the radiologists' outlines", own["floor"]),
    ]
    lines = [
        "## The localizer\n",
        "Mean absolute errors on windows of 65 x 65 px with the nodule up to 10 px off the middle, "
        "by networks of other patients, each averaged over eight orientations. The last row says "
        "what the annotations allow: it compares the pixels that at least two radiologists "
        "outlined in the slice with LUNA16's centre and diameter.\n",
        "| windows | nodules | x, px | y, px | diameter, px | centre, mm | centre within radius |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for name, group in rows:
        values = [_value(group[key], 2) for key in ("x_px", "y_px", "diameter_px", "centre_mm")]
        share = _value(group["centre_within_radius"], 3)
        lines.append(f"| {name} | {group['n']['nodules']} | {' | '.join(values)} | {share} |")
    constant = own["constant"]
    lines += [
        "",
        "The best constant guess of the training patients is off by "
        f"{constant['x_px']['value']:.2f} and {constant['y_px']['value']:.2f} px, and by "
        f"{constant['diameter_px']['value']:.2f} px in diameter.\n",
    ]
    return lines


def _classifier(own: dict[str, Any]) -> list[str]:
    lines = [
        "## The classifier\n",
        "One window of each nodule against as many negatives, and against five times as many, a "
        "third from each source. The threshold of a fold is the one with the best F1 on the other "
        "folds.\n",
        "| negatives to nodules | accuracy | F1 | precision | recall | ROC AUC |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    names = ("accuracy", "f1", "precision", "recall", "roc_auc")
    for ratio in ("1:1", "1:5"):
        values = [_value(own[ratio]["all"][name], 3) for name in names]
        lines.append(f"| {ratio} | {' | '.join(values)} |")
    lines += ["", "At the threshold for 1:1:\n", "| windows | called right |", "| --- | --: |"]
    even = own["1:1"]
    for title, group in (
        ("nodules, texture", even["recall_by_texture"]),
        ("nodules, mm", even["recall_by_diameter_mm"]),
    ):
        lines += [
            f"| {title} {name} ({of['nodules']}) | {of['recall']:.3f} |"
            for name, of in sorted(group.items(), key=lambda item: _first_number(item[0]))
        ]
    lines += [f"| negatives from {name} | {of:.3f} |" for name, of in even["specificity"].items()]
    return [*lines, ""]


def _scans(own: dict[str, Any]) -> list[str]:
    lines = [
        "## Whole scans\n",
        "Each scan was searched by networks that have not seen its patient: the classifier has "
        "learnt from the other two scans, and the reducer from phantoms. A finding is wrong if it "
        "lies on no annotated and no excluded finding.\n",
        "| scan | stage | findings | wrong, score of 0.5 or more | nodule, mm | rank | score | "
        "distance, mm | diameter found, mm |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for scan in own["scans"]:
        for stage in ("first_stage", "second_stage"):
            told = scan[stage]
            start = (
                f"| {scan['patient']} | {stage.replace('_', ' ')} | {told['findings']} | "
                f"{told['wrong_called']} |"
            )
            if not told["nodules"]:
                lines.append(f"{start} none | | | | |")
            for nodule in told["nodules"]:
                place = (
                    f"{nodule['rank']} | {nodule['score']:.3f} | {nodule['distance_mm']:.2f} | "
                    f"{nodule['found_diameter_mm']:.1f}"
                    if "rank" in nodule
                    else "not found | | |"
                )
                lines.append(f"{start} {nodule['diameter_mm']:.1f} | {place} |")
    at_hits = own["false_positives_at_hits"]
    lines += [
        "",
        "On the nodule-free scan, the wrong findings at the score where the nodules of the other "
        f"scans are found: {_count(at_hits['first_stage'])} after the first stage, "
        f"{_count(at_hits['second_stage'])} after the second.\n",
        "The first stage took "
        + ", ".join(
            f"{scan['search_cpu_s']:.0f} s for {scan['slices']} slices" for scan in own["scans"]
        )
        + " (processor time on one thread).\n",
    ]
    return lines


def _first_number(name: str) -> float:
    return float(name.lstrip("[").split(",")[0])


def _count(of: int | None) -> str:
    return "not defined, since a nodule was not found" if of is None else str(of)


def _value(of: dict[str, float], decimals: int) -> str:
    value = f"{of['value']:.{decimals}f}"
    if "low" not in of:
        return value
    return f"{value} ({of['low']:.{decimals}f} to {of['high']:.{decimals}f})"
