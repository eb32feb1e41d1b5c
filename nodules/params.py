"""The typed form of ``params.yaml``: one class a section, every value checked.

Unknown keys are refused, so that a misspelt parameter never silently keeps its default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    model_validator,
)

from nodules.params_detect import DetectParams

Share = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=0)]


def _is_odd(value: int) -> int:
    if value % 2 == 0:
        msg = "Expected an odd number, so that a patch has a central pixel"
        raise ValueError(msg)
    return value


def _is_not_zero(value: int) -> int:
    if value == 0:
        msg = "Expected -1, for one a core, or a number above 0"
        raise ValueError(msg)
    return value


Odd = AfterValidator(_is_odd)


class Strict(BaseModel):
    """A section that refuses unknown keys, values of another type, NaN and later changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


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
    directory: Annotated[str, Field(min_length=1)]
    absent_scans: Literal["error", "report"]
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


class FoldParams(Strict):
    """LUNA16's official folds (``split.folds``)."""

    validation: Annotated[int, Field(ge=0, le=9)]
    test: Annotated[int, Field(ge=0, le=9)]

    @model_validator(mode="after")
    def _folds_differ(self) -> FoldParams:
        if self.validation == self.test:
            msg = f"Expected two different folds. Received: {self.validation} for both"
            raise ValueError(msg)
        return self


class SplitParams(Strict):
    """Which patients train, validate and test (``split``)."""

    method: Literal["patient", "luna16"]
    shares: ShareParams
    folds: FoldParams
    seed: Seed


class AugmentationParams(Strict):
    """Random changes of the training patches (``<task>.augmentation``)."""

    enabled: bool
    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    shift: Annotated[float, Field(ge=0, le=0.5)]
    shear_deg: Annotated[float, Field(ge=0, le=45)]
    zoom: Annotated[float, Field(ge=0, lt=1)]
    flips: bool


class TrainParams(Strict):
    """How one network is built and trained (``classifier`` and ``localizer``)."""

    architecture: str
    # Not strict, since YAML has lists but no tuples.
    window_hu: Annotated[tuple[StrictFloat, StrictFloat], Field(strict=False)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    batch_size: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    patience: Annotated[int, Field(ge=1)]
    augmentation: AugmentationParams
    deterministic: bool
    seed: Seed

    @model_validator(mode="after")
    def _window_is_ordered(self) -> TrainParams:
        low, high = self.window_hu
        if low >= high:
            msg = f"Expected window_hu as [low, high] with low < high. Received: [{low}, {high}]"
            raise ValueError(msg)
        return self


class ClassifierParams(TrainParams):
    """The network that says nodule or not (``classifier``)."""

    class_weights: Literal["balanced", "none"]


class LocalizerParams(TrainParams):
    """The network that says where a nodule is and how large (``localizer``)."""


class EvaluateParams(Strict):
    """How metrics are computed (``evaluate``)."""

    bootstraps: Annotated[int, Field(ge=100, le=100_000)]
    seed: Seed


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
    detect: DetectParams
    parallel: ParallelParams
