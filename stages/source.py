"""Finds where scans and tables come from, for the stages tables and download."""

from __future__ import annotations

from pathlib import Path

from nodules.download.retry import Patience
from nodules.params.sections import ZenodoParams
from nodules.sources.zenodo import Zenodo

# This is outside all outputs, because DVC removes a stage's outputs before it runs the stage.
SCRATCH = Path("tmp/download")
REGISTRY = Path("data/zenodo.json")
# `dvc exp run --temp` and the queue run in a copy of what git tracks, in a folder below this one.
_COPIES = (".dvc", "tmp", "exps")
# What git tracks of data/local.
_PLACEHOLDER = "README.md"


def own_folder(directory: str) -> Path:
    """Give the folder of the user's scans and tables.

    Parameters
    ----------
    directory
        The parameter ``data.directory``.

    Returns
    -------
    folder
        The same as a path.

    Raises
    ------
    FileNotFoundError
        If the folder is a relative path without content, and DVC runs the stage in a copy of what
        git tracks, so that the content is elsewhere.
    """
    folder = Path(directory)
    parts = Path.cwd().parts
    is_copy = any(parts[k : k + 3] == _COPIES for k in range(len(parts)))
    if is_copy and not folder.is_absolute():
        held = (path for path in folder.rglob("*") if path.is_file())
        if all(path.name == _PLACEHOLDER for path in held):
            msg = (
                "params.yaml: data.directory: Expected an absolute path, or a folder that `dvc add`"
                " tracks: `dvc exp run --temp` and --queue run in a copy of what git tracks. "
                f"Received: {directory}"
            )
            raise FileNotFoundError(msg)
    return folder


def zenodo(own: ZenodoParams) -> Zenodo:
    """Make the client that the parameters describe.

    Parameters
    ----------
    own
        The section ``data.zenodo`` of ``params.yaml``.

    Returns
    -------
    zenodo
        The client. It keeps unfinished downloads in `SCRATCH`, and pins checksums in `REGISTRY`.
    """
    patience = Patience(tries=own.tries, stall_timeout_s=own.stall_timeout_s)
    return Zenodo(
        registry=REGISTRY,
        scratch=SCRATCH,
        base_url=own.base_url,
        connections=own.connections,
        patience=patience,
    )
