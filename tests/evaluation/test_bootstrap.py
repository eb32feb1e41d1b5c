import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.evaluation.bootstrap import resample_patients, summarise


def _width(values: np.ndarray, patients: np.ndarray, seed: int = 0) -> float:
    summary = summarise(resample_patients(patients, 2000, seed).means(values))
    return summary["high"] - summary["low"]


def _clustered(
    rng: np.random.Generator, n_patients: int, n_patches: int
) -> tuple[np.ndarray, np.ndarray]:
    """Patches that differ as much between patients as within one; the true mean is 0."""
    patients = np.repeat(np.arange(n_patients), n_patches)
    values = rng.normal(size=n_patients)[patients] + rng.normal(size=patients.size)
    return values, patients.astype(str)


@given(st.lists(st.sampled_from("abcd"), min_size=2).filter(lambda p: len(set(p)) > 1))
def test_every_resample_draws_as_many_patients_as_there_are(patients: list[str]) -> None:
    resamples = resample_patients(patients, 50, seed=1)
    n_patients = len(set(patients))
    assert resamples.counts.shape == (51, n_patients)
    assert (resamples.counts[0] == 1).all()
    assert (resamples.counts.sum(axis=1) == n_patients).all()


def test_each_number_of_draws_is_as_likely_as_chance_makes_it() -> None:
    counts = resample_patients(list("abcde"), 20_000, seed=0).counts[1:]
    # Binomial(5, 1/5), checked to five standard errors of 100,000 (weakly dependent) draws.
    for k, expected in enumerate([0.32768, 0.4096, 0.2048, 0.0512]):
        assert np.mean(counts == k) == pytest.approx(expected, abs=5 * (0.25 / 100_000) ** 0.5)


def test_sums_are_those_of_the_rows_drawn_out() -> None:
    patients = np.array(list("bcabbca"))
    values = np.array([1.0, 10, 100, 3, 5, 30, 300])
    resamples = resample_patients(patients, 200, seed=3)
    names = np.unique(patients)
    for counts, total, mean in zip(
        resamples.counts, resamples.sums(values), resamples.means(values), strict=True
    ):
        drawn = [
            value
            for name, count in zip(names, counts, strict=True)
            for _ in range(int(count))
            for value in values[patients == name]
        ]
        assert total == sum(drawn)
        assert mean == pytest.approx(np.mean(drawn), rel=1e-12)


def test_same_seed_same_draw_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    values, patients = _clustered(rng, 20, 4)
    order = rng.permutation(values.size)
    first = resample_patients(patients, 100, seed=5).means(values)
    np.testing.assert_allclose(
        resample_patients(patients[order], 100, seed=5).means(values[order]), first, rtol=1e-9
    )
    assert not np.allclose(resample_patients(patients, 100, seed=6).means(values)[1:], first[1:])


def test_duplicating_every_patch_within_its_patient_does_not_narrow_the_interval() -> None:
    values, patients = _clustered(np.random.default_rng(1), 40, 5)
    once = _width(values, patients)
    assert _width(np.tile(values, 3), np.tile(patients, 3)) == pytest.approx(once, rel=1e-9)
    # Resampling patches instead is fooled: three times the rows, and the interval shrinks.
    rows = np.arange(values.size).astype(str)
    more_rows = np.arange(3 * values.size).astype(str)
    assert _width(np.tile(values, 3), more_rows) < 0.7 * _width(values, rows)


def test_more_patients_narrow_the_interval_as_the_root_of_their_number() -> None:
    rng = np.random.default_rng(2)
    few = np.mean([_width(*_clustered(rng, 50, 4)) for _ in range(10)])
    many = np.mean([_width(*_clustered(rng, 200, 4)) for _ in range(10)])
    assert many / few == pytest.approx(0.5, rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    n_trials = 400
    by_patient = by_patch = 0
    for trial in range(n_trials):
        values, patients = _clustered(rng, 60, 6)
        for unit in ("patient", "patch"):
            units = patients if unit == "patient" else np.arange(values.size).astype(str)
            interval = summarise(resample_patients(units, 400, seed=trial).means(values))
            covers = interval["low"] <= 0 <= interval["high"]
            by_patient += covers and unit == "patient"
            by_patch += covers and unit == "patch"
    # Of 95%: four standard errors of 400 trials are 4.4%; percentile intervals fall short a little.
    assert 0.906 <= by_patient / n_trials <= 0.99
    assert by_patch / n_trials < 0.80


def test_summary_leaves_out_undefined_resamples_and_counts_them() -> None:
    values = np.array([0.5, *np.linspace(0, 1, 101), np.nan, np.nan])
    assert summarise(values) == {
        "value": 0.5,
        "low": pytest.approx(0.025),
        "high": pytest.approx(0.975),
        "resamples_left_out": 2,
    }


def test_summary_has_no_key_without_a_number() -> None:
    nan = float("nan")
    assert summarise(np.array([nan, nan, nan])) == {"resamples_left_out": 2}
    assert summarise(np.array([1.0, nan])) == {"value": 1.0, "resamples_left_out": 1}
    assert summarise(np.array([1.0])) == {"value": 1.0}


def test_no_interval_from_a_single_patient() -> None:
    with pytest.raises(ValueError, match=r"Expected at least 2 patients.*Received.*'p1'"):
        resample_patients(["p1", "p1"], 10, seed=0)
    assert resample_patients(["p1", "p1"], 0, seed=0).counts.tolist() == [[1]]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="n_bootstraps=-1"):
        resample_patients(["a", "b"], -1, seed=0)
    with pytest.raises(ValueError, match="none in row 1"):
        resample_patients(["a", None, "b"], 5, seed=0)  # type: ignore[list-item]
