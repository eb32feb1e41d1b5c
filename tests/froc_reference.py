"""LUNA16's evaluation in plain Python, slow and sharing no code with the library.

Tests and benchmarks compare with it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

Rows = Mapping[str, list[tuple[float, float, float, float]]]
Events = list[tuple[float, bool]]

RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def read_rows(frame: pd.DataFrame) -> Rows:
    """Turn a table of findings into seriesuid -> [(x, y, z, probability or diameter)]."""
    rows = defaultdict(list)
    for seriesuid, *numbers in frame.itertuples(index=False):
        rows[seriesuid].append(tuple(numbers))
    return rows


def match_scan(
    marks: Sequence[tuple[float, ...]],
    nodules: Sequence[tuple[float, ...]],
    excluded: Sequence[tuple[float, ...]],
) -> tuple[Events, dict[str, int]]:
    """Give one scan's events [(score, is nodule)] and its counts."""
    if len(marks) > 100:
        limit = sorted((mark[3] for mark in marks), reverse=True)[100]
        marks = [mark for mark in marks if mark[3] > limit]
    left = dict(enumerate(marks))
    events = []
    counts = {"candidates": len(marks), "nodules": len(nodules), "ignored": 0, "doubles": 0}
    for is_nodule, findings in ((True, nodules), (False, excluded)):
        for x, y, z, diameter in findings:
            radius_squared = math.pow((10.0 if diameter < 0 else diameter) / 2, 2)
            scores = []
            for key, mark in enumerate(marks):
                distance = math.pow(x - mark[0], 2) + math.pow(y - mark[1], 2)
                distance += math.pow(z - mark[2], 2)
                if distance < radius_squared:
                    if is_nodule:
                        scores.append(mark[3])
                    elif key in left:
                        counts["ignored"] += 1
                    left.pop(key, None)
            if scores:
                events.append((max(scores), True))
                counts["doubles"] += len(scores) - 1
    events += [(mark[3], False) for mark in left.values()]
    return events, counts


def sensitivities(events: Events, nodules: int, scans: int) -> list[float]:
    """Walk down the scores, then interpolate at the seven rates."""
    events = sorted(events, key=lambda event: -event[0])
    all_found = sum(is_nodule for _, is_nodule in events)
    all_wrong = len(events) - all_found
    points = [(0.0, 0.0)]
    found = wrong = 0
    for position, (score, is_nodule) in enumerate(events):
        found += is_nodule
        wrong += not is_nodule
        if position + 1 < len(events) and events[position + 1][0] == score:
            continue
        # The official script's order of operations: a rate of the total, times the total.
        rate = wrong / all_wrong * all_wrong / scans if all_wrong else 0.0
        points.append((rate, found / all_found * all_found / nodules if all_found else 0.0))
    at_rates = []
    for rate in RATES:
        before = [point for point in points if point[0] <= rate][-1]
        after = next((point for point in points if point[0] > rate), None)
        value = before[1]
        if after is not None:
            slope = (after[1] - before[1]) / (after[0] - before[0])
            value = slope * (rate - before[0]) + before[1]
        at_rates.append(value)
    return at_rates


def reference_score(
    submission: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame,
    seriesuids: Sequence[str],
    draws: Iterable[Sequence[int]] = (),
) -> tuple[dict[str, Any], list[list[float]]]:
    """Score as LUNA16 does, and each draw (positions in ``seriesuids``) of a bootstrap."""
    marks, nodules, others = (read_rows(t) for t in (submission, annotations, excluded))
    matched = [match_scan(marks[uid], nodules[uid], others[uid]) for uid in seriesuids]
    total = {
        key: sum(counts[key] for _, counts in matched)
        for key in ("candidates", "nodules", "ignored", "doubles")
    }
    events = [event for of_scan, _ in matched for event in of_scan]
    found = sum(is_nodule for _, is_nodule in events)
    sensitivity = sensitivities(events, total["nodules"], len(seriesuids))
    samples = []
    for draw in draws:
        drawn = [event for position in draw for event in matched[position][0]]
        of_draw = sum(matched[position][1]["nodules"] for position in draw)
        samples.append(sensitivities(drawn, of_draw, len(draw)))
    return {
        "scans": len(seriesuids),
        "nodules": total["nodules"],
        "candidates": total["candidates"],
        "true_positives": found,
        "false_negatives": total["nodules"] - found,
        "false_positives": len(events) - found,
        "ignored_on_excluded_findings": total["ignored"],
        "double_detections": total["doubles"],
        "false_positives_per_scan": list(RATES),
        "sensitivity": sensitivity,
        "cpm": sum(sensitivity) / 7,
    }, samples
