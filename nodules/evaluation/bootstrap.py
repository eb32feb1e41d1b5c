"""Computes confidence intervals by resampling patients.

The patches of one patient resemble one another: they show the same anatomy, come from the same
scanner, and may show the same nodule. Resampling patches would treat them as independent and give
intervals that are too narrow. Therefore whole patients are resampled, each with all its patches
(the cluster bootstrap; Field and Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69,
2007).

A resample is stored as the number of times that each patient was drawn. Every metric is then a
weighted metric, which is computed for all resamples at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resamples:
    """The data and its resamples, as weights of patients.

    Attributes
    ----------
    patient_of_row : (N,) integer array
        The patient that each row (patch) belongs to, as a column of ``counts``.
    counts : (1 + n_bootstraps, n_patients) float array
        The number of times that each patient was drawn. Row 0 is all ones and stands for the data
        itself, so that one computation gives both the estimate and its resamples.
    """

    patient_of_row: npt.NDArray[np.intp]
    counts: npt.NDArray[np.float64]

    def sums(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Sum a value of each row over the data and over every resample.

        Parameters
        ----------
        values : (N,) array
            One number for each row.

        Returns
        -------
        (1 + n_bootstraps,) float array
        """
        weights = np.asarray(values, dtype=np.float64)
        of_patient = np.bincount(
            self.patient_of_row, weights=weights, minlength=self.counts.shape[1]
        )
        return np.asarray(self.counts @ of_patient, dtype=np.float64)

    def means(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Average a value of each row over the data and over every resample; see `sums`."""
        return self.sums(values) / self.sums(np.ones(self.patient_of_row.size))


def resample_patients(
    patients: Sequence[str] | pd.Series, n_bootstraps: int, seed: int
) -> Resamples:
    """Draw patients with replacement, as many as there are, ``n_bootstraps`` times.

    Parameters
    ----------
    patients : (N,) sequence of str
        The patient of each row. The draw depends on the set of patients alone, not on their order.
    n_bootstraps : int
        The number of resamples; 0 gives the data alone, for estimates without intervals.
    seed : int
        The seed of NumPy's default generator.

    Returns
    -------
    Resamples

    Raises
    ------
    ValueError
        If ``n_bootstraps`` is negative, a patient is missing, or fewer than 2 patients are to be
        resampled: all resamples would be equal, and the interval would have a width of 0.
    """
    if n_bootstraps < 0:
        msg = f"Expected n_bootstraps of at least 0. Received: n_bootstraps={n_bootstraps}"
        raise ValueError(msg)
    patient_of_row, names = pd.factorize(pd.Series(patients, dtype=object), sort=True)
    if (patient_of_row < 0).any():
        row = int(np.flatnonzero(patient_of_row < 0)[0])
        msg = f"Expected a patient in every row. Received: none in row {row}"
        raise ValueError(msg)
    if n_bootstraps and len(names) < 2:
        msg = f"Expected at least 2 patients to resample. Received: patients={list(names)}"
        raise ValueError(msg)
    counts = np.ones((1 + n_bootstraps, len(names)))
    if n_bootstraps:
        generator = np.random.default_rng(seed)
        shares = np.full(len(names), 1 / len(names))
        counts[1:] = generator.multinomial(len(names), shares, size=n_bootstraps)
    return Resamples(patient_of_row.astype(np.intp), counts)


def summarise(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Turn a metric on the data and on every resample into an estimate with its interval.

    Parameters
    ----------
    values : (1 + n_bootstraps,) float array
        The metric on the data, then on each resample. It is NaN if it is undefined there, such as
        the ROC AUC of a resample whose patients have no nodule.

    Returns
    -------
    dict
        ``value``; ``low`` and ``high``, the 2.5th and 97.5th percentiles over the resamples in
        which the metric is defined; and ``resamples_left_out``, the number of the others. A key
        without a number is left out, so that a file never holds NaN: ``value`` if the metric is
        undefined on the data, ``low`` and ``high`` if it is undefined in all resamples, and all
        three keys of the interval if nothing was resampled.
    """
    summary: dict[str, float] = {}
    estimate, resampled = values[0], values[1:]
    if not np.isnan(estimate):
        summary["value"] = float(estimate)
    if resampled.size:
        defined = resampled[~np.isnan(resampled)]
        if defined.size:
            tail = 100 * (1 - CONFIDENCE) / 2
            low, high = np.percentile(defined, [tail, 100 - tail])
            summary |= {"low": float(low), "high": float(high)}
        summary["resamples_left_out"] = int(resampled.size - defined.size)
    return summary
