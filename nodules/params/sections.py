"""The typed form of ``params.yaml``: one class a section, every value checked.

Unknown keys are refused, so that a misspelt parameter never silently keeps its default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from nodules.params.base import Seed, Strict, is_odd
from nodules.params.networks import ClassifierParams, LocalizerParams
from nodules.params.reduction import CandidateParams, CropParams, ReducerParams

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]


def _is_not_zero(value: int) -> int:
    if value == 0:
        msg = "Expected -1, for one a core, or a number above 0"
        raise ValueError(msg)
    return value


def _is_written_out(path: str) -> str:
    if path.startswith("~"):
        msg = f"Expected a path written out, since DVC does not expand ~. Received: {path!r}"
        raise ValueError(msg)
    return path


Odd = AfterValidator(is_odd)


class PhantomParams(Strict):
    """Scans made from nothing, in the layout of LUNA16 (``data.phantom``)."""

    seed: Seed
    scans_per_subset: Annotated[int, Field(ge=1, le=200)]
    size_px: Annotated[int, Field(ge=128, le=512)]
    slices: Annotated[int, Field(ge=24, le=400)]


class ZenodoParams(Strict):
    """How LUNA16 is fetched from Zenodo (``data.zenodo``)."""

    base_url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    connections: Annotated[int, Field(ge=1, le=10)]
    tries: Annotated[int, Field(ge=1)]
    stall_timeout_s: Annotated[float, Field(gt=0)]


class DataParams(Strict):
    """Where scans and tables come from (``data``)."""

    source: Literal["phantom", "directory", "zenodo"]
    subsets: Annotated[list[Annotated[int, Field(ge=0, le=9)]], Field(min_length=1)]
    directory: Annotated[str, Field(min_length=1), AfterValidator(_is_written_out)]
    absent_scans: Literal["error", "report"]
    implausible_scans: Literal["error", "report"]
    phantom: PhantomParams
    zenodo: ZenodoParams

    @model_validator(mode="after")
    def _subsets_are_distinct(self) -> DataParams:
        if len(set(self.subsets)) != len(self.subsets):
            msg = f"Expected distinct subsets. Received: {self.subsets}"
            raise ValueError(msg)
        return self


class NegativeParams(Strict):
    """Which negatives to cut (``patches.negatives``)."""

    other_slices_per_scan: Count
    candidates_per_scan: Count
    candidates_per_positive: Annotated[float, Field(ge=0, le=100_000)]
    beside_per_nodule: Count
    random_lung_per_scan: Count
    avoid_excluded: bool


class SpacingParams(Strict):
    """The grid that patches are cut on (``patches.spacing_mm``)."""

    in_plane: Annotated[float, Field(ge=0.1, le=10)] | None
    z: Annotated[float, Field(ge=0.1, le=10)] | None


class PatchParams(Strict):
    """What to cut from the scans (``patches``)."""

    size_px: Annotated[int, Field(ge=9, le=257), Odd]
    depth: Annotated[int, Field(ge=1, le=65), Odd]
    slice_pitch: Annotated[float, Field(gt=0, le=50)]
    slice_pitch_unit: Literal["slices", "mm"]
    spacing_mm: SpacingParams
    jitter_px: Count
    positives_per_nodule: Annotated[int, Field(ge=1)]
    positive_slices: Literal["centre", "spanned"]
    negatives: NegativeParams
    seed: Seed

    @model_validator(mode="after")
    def _centre_stays_inside(self) -> PatchParams:
        if self.jitter_px > self.size_px // 2:
            msg = (
                f"Expected jitter_px of at most {self.size_px // 2}, half of size_px, so that a "
                f"nodule's centre stays in its patch. Received: {self.jitter_px}"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _slices_are_whole(self) -> PatchParams:
        if self.slice_pitch_unit == "slices" and not self.slice_pitch.is_integer():
            msg = (
                "Expected a whole slice_pitch, or slice_pitch_unit: mm. "
                f"Received: {self.slice_pitch:g} slices"
            )
            raise ValueError(msg)
        return self


class ShareParams(Strict):
    """Shares of the parts in a split by patient (``split.shares``)."""

    train: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _sum_is_one(self) -> ShareParams:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            msg = f"Expected shares that sum to 1. Received: a sum of {total:g}"
            raise ValueError(msg)
        return self


class OfficialParams(Strict):
    """Which of LUNA16's official folds do not train (``split.luna16``)."""

    validation: Annotated[int, Field(ge=0, le=9)]
    test: Annotated[int, Field(ge=0, le=9)]

    @model_validator(mode="after")
    def _folds_differ(self) -> OfficialParams:
        if self.validation == self.test:
            msg = f"Expected two different folds. Received: {self.validation} for both"
            raise ValueError(msg)
        return self


class SplitParams(Strict):
    """Which patients train, validate and test (``split``)."""

    method: Literal["patient", "luna16"]
    shares: ShareParams
    luna16: OfficialParams
    folds: list[Annotated[int, Field(ge=0, le=99)]]
    fold_tasks: list[Literal["classifier", "localizer"]]
    reducer_folds: list[Annotated[int, Field(ge=0, le=99)]]
    seed: Seed

    @model_validator(mode="after")
    def _folds_can_rotate(self) -> SplitParams:
        if len(set(self.folds)) != len(self.folds) or len(self.folds) in (1, 2):
            msg = (
                "Expected no folds, or 3 and more distinct ones: one to test, one to validate and "
                f"one to train. Received: {self.folds}"
            )
            raise ValueError(msg)
        if bool(self.folds) != bool(self.fold_tasks):
            msg = (
                "Expected both folds and fold_tasks, or neither. "
                f"Received: folds {self.folds}, fold_tasks {self.fold_tasks}"
            )
            raise ValueError(msg)
        if len(set(self.fold_tasks)) != len(self.fold_tasks):
            msg = f"Expected distinct fold_tasks. Received: {self.fold_tasks}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _reducers_go_with_detectors(self) -> SplitParams:
        wanted = self.folds if len(self.fold_tasks) == 2 else []
        if self.reducer_folds != wanted:
            msg = (
                "Expected reducer_folds as folds where both networks are cross-validated, else []: "
                "a scan is searched and ranked by networks of one fold. "
                f"Received: {self.reducer_folds}"
            )
            raise ValueError(msg)
        return self


class EvaluateParams(Strict):
    """How metrics are computed (``evaluate``)."""

    bootstraps: Annotated[int, Field(ge=100, le=100_000)]
    seed: Seed


class ComputeParams(Strict):
    """What the networks run on (``compute``): the last bits of their results depend on it."""

    backend: Literal["tensorflow", "jax"]
    threads: Annotated[int, Field(ge=1, le=256)]
    cpu_isa: Literal["SSE41", "AVX", "AVX2", "AVX512_CORE", "DEFAULT"]


class ParallelParams(Strict):
    """Who shares a stage's scans (``parallel``): results never depend on it."""

    jobs: Annotated[int, Field(ge=-1), AfterValidator(_is_not_zero)]
    backend: Literal["loky", "dask"]
    address: str | None

    @model_validator(mode="after")
    def _cluster_has_an_address(self) -> ParallelParams:
        if self.backend == "dask" and not self.address:
            msg = (
                "Expected the scheduler's address, such as tcp://host:8786, for backend dask. "
                f"Received: {self.address!r}"
            )
            raise ValueError(msg)
        return self


class Params(Strict):
    """The whole of ``params.yaml``."""

    data: DataParams
    patches: PatchParams
    split: SplitParams
    classifier: ClassifierParams
    localizer: LocalizerParams
    evaluate: EvaluateParams
    candidates: CandidateParams
    crops: CropParams
    reducer: ReducerParams
    compute: ComputeParams
    parallel: ParallelParams
