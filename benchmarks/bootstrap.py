"""The bootstrap of the classifier's metrics, against a loop over scikit-learn.

Prints, from one run, the time per resample of both on the same patches, their ratio, and the time
of the whole of ``classifier_metrics``. Run from the project's root:

    python -m benchmarks.bootstrap
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from nodules.evaluation.bootstrap import resample_patients
from nodules.evaluation.classifier import classifier_metrics

N_PATCHES = 10_000
N_PATIENTS = 400
N_RESAMPLES = 1000
# The loop is slow, and few resamples are enough to measure the time of one.
N_LOOPED = 30


def _predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    patient = rng.integers(0, N_PATIENTS, N_PATCHES).astype(str)
    label = (rng.random(N_PATCHES) < 0.2).astype(int)
    score = np.clip(rng.normal(0.4 + 0.2 * label, 0.15), 0, 1)
    test = pd.DataFrame(
        {"seriesuid": patient, "patient": patient, "part": "test", "label": label, "score": score}
    )
    return pd.concat([test, test.iloc[:2000].assign(part="validation")])


def _scikit_learn(rows: pd.DataFrame, threshold: float, weight: np.ndarray) -> list[float]:
    label, score = rows["label"].to_numpy(), rows["score"].to_numpy()
    called = score >= threshold
    return [
        sk.accuracy_score(label, called, sample_weight=weight),
        sk.f1_score(label, called, sample_weight=weight),
        sk.precision_score(label, called, sample_weight=weight),
        sk.recall_score(label, called, sample_weight=weight),
        sk.roc_auc_score(label, score, sample_weight=weight),
        sk.average_precision_score(label, score, sample_weight=weight),
        sk.brier_score_loss(label, score, sample_weight=weight),
    ]


def main() -> None:
    """Time both and print the results."""
    predictions = _predictions()
    start = time.perf_counter()
    classifier_metrics(predictions, 0.5, N_RESAMPLES, seed=0)
    ours_s = time.perf_counter() - start

    rows = predictions[predictions["part"] == "test"]
    resamples = resample_patients(rows["patient"], N_LOOPED, seed=0)
    start = time.perf_counter()
    for counts in resamples.counts:
        _scikit_learn(rows, 0.5, counts[resamples.patient_of_row])
    loop_s = time.perf_counter() - start

    ours_ms, loop_ms = 1000 * ours_s / N_RESAMPLES, 1000 * loop_s / len(resamples.counts)
    print(f"{N_PATCHES} patches of {N_PATIENTS} patients, 7 metrics")
    print(f"classifier_metrics, {N_RESAMPLES} resamples: {ours_s:.2f} s")
    print(
        f"a resample: {ours_ms:.2f} ms, by scikit-learn {loop_ms:.2f} ms, x{loop_ms / ours_ms:.1f}"
    )


if __name__ == "__main__":
    main()
