"""What a search is made with: networks, parameters and what the user asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nodules.detection.linking import Linking
from nodules.detection.network_file import NetworkFile, Searching, network_file
from nodules.detection.search import Detection
from nodules.networks.compute import compute_environment, one_thread
from nodules.params.sections import Params
from nodules.patches.grid import patch_shape
from nodules.reduction.crops import CropShape, crop_shape

# The sections of the parameters that decide what is found.
_SECTIONS = ("patches", "candidates", "crops", "compute")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a scan is searched with.

    Parameters
    ----------
    searching
        The classifier, its threshold, and the localizer.
    detection
        How scans are searched.
    reducer
        The network that ranks what was found.
    shape
        The size of the crops that it sees.
    threshold
        The least probability of a finding that is kept.
    lungs
        The file of a mask of the lungs; None to find them.
    exports
        The names of the further formats to write.
    implausible
        What to do with a scan that cannot be a CT of a chest, as for
        `nodules.scans.plausible.check_plausible`.
    params
        The values of the parameters that decide what is found, by section.
    environment
        What the networks run on.
    """

    searching: Searching
    detection: Detection
    reducer: NetworkFile
    shape: CropShape
    threshold: float
    lungs: Path | None
    exports: tuple[str, ...]
    implausible: Literal["error", "report"]
    params: dict[str, Any]
    environment: tuple[tuple[str, str], ...]

    def networks(self) -> dict[str, str]:
        """Give the SHA-256 of each network's file, by what the network is for."""
        files = (self.searching.classifier, self.searching.localizer, self.reducer)
        return {file.purpose: file.checksum for file in files}


def make_settings(
    models: Path,
    params: Params,
    params_file: Path,
    threshold: float,
    lungs: Path | None,
    exports: tuple[str, ...],
) -> Settings:
    """Gather what a scan is searched with.

    Parameters
    ----------
    models
        The folder of the networks: ``classifier.keras``, ``localizer.keras`` and
        ``reducer.keras``.
    params
        The parameters that the networks were trained with.
    params_file
        Where the parameters come from, for the error message.
    threshold, lungs, exports
        See `Settings`.

    Returns
    -------
    settings
        The settings.

    Raises
    ------
    FileNotFoundError
        If a network is missing.
    ValueError
        If the parameters have no threshold for the classifier, or variables of the environment
        contradict them.
    """
    own = params.candidates
    if own.threshold is None:
        msg = (
            f"{params_file}: candidates.threshold: Expected a number, since there is no validation "
            "part to choose it on. Received: null"
        )
        raise ValueError(msg)
    tree = params.model_dump(mode="json")
    return Settings(
        searching=Searching(
            network_file(models / "classifier.keras", "classifier"),
            network_file(models / "localizer.keras", "localizer"),
            own.threshold,
        ),
        detection=Detection(
            patch_shape(params.patches),
            own.stride_px,
            Linking(own.gap_mm, own.aggregation, own.length_mm),
            own.most_per_scan,
        ),
        reducer=network_file(models / "reducer.keras", "reducer"),
        shape=crop_shape(params.crops),
        threshold=threshold,
        lungs=lungs,
        exports=exports,
        implausible=params.data.implausible_scans,
        params={section: tree[section] for section in _SECTIONS},
        environment=tuple(sorted(one_thread(compute_environment(params.compute)).items())),
    )
