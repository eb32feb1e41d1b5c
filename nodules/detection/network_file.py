"""The files of networks that search scans: told apart by their content, loaded once per process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from nodules.detection.assign import Networks
    from nodules.networks.task import Purpose


@dataclass(frozen=True)
class NetworkFile:
    """A network that workers load.

    Parameters
    ----------
    path
        The ``.keras`` file.
    purpose
        What the network is for.
    checksum
        The SHA-256 of the file, 64 hexadecimal digits.
    """

    path: Path
    purpose: Purpose
    checksum: str


def network_file(path: Path, purpose: Purpose) -> NetworkFile:
    """Describe the file of a network, without loading the network.

    Parameters
    ----------
    path
        The ``.keras`` file.
    purpose
        What the network is for.

    Returns
    -------
    file
        The file with its checksum.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if not path.is_file():
        msg = f"{path}: Expected a trained network. Received: no file"
        raise FileNotFoundError(msg)
    return NetworkFile(path, purpose, hashlib.sha256(path.read_bytes()).hexdigest())


@dataclass(frozen=True)
class Searching:
    """The networks that search a scan, as workers load them.

    Parameters
    ----------
    classifier, localizer
        The files of the networks.
    threshold
        A position is a candidate if the classifier's score is at or above this threshold.
    """

    classifier: NetworkFile
    localizer: NetworkFile
    threshold: float

    def content(self) -> tuple[str | float, ...]:
        """Give what affects results: the content of the files and the threshold."""
        return self.classifier.checksum, self.localizer.checksum, self.threshold


def searching(networks: Networks) -> Searching:
    """Describe networks to the workers that load them.

    Parameters
    ----------
    networks
        The networks and the threshold.

    Returns
    -------
    searching
        The same, with the checksums of the files.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    """
    return Searching(
        network_file(networks.classifier, "classifier"),
        network_file(networks.localizer, "localizer"),
        networks.threshold,
    )


@cache
def load_network(file: NetworkFile) -> keras.Model:
    """Load a network, once per process. A changed file has another checksum, and is loaded anew.

    Parameters
    ----------
    file
        The file, from `network_file`.

    Returns
    -------
    model
        The network, from `nodules.networks.file.load_model`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `nodules.networks.file.load_model` raises them.
    """
    # Imported here, so that the process that only hands out the work does not wait for TensorFlow.
    from nodules.networks.file import load_model

    return load_model(file.path, file.purpose)
