"""Makes the client for LUNA16 on Zenodo, for the stages tables and download."""

from __future__ import annotations

from pathlib import Path

from nodules.download.retry import Patience
from nodules.params.sections import ZenodoParams
from nodules.sources.zenodo import Zenodo

# This is outside all outputs, because DVC removes a stage's outputs before it runs the stage.
SCRATCH = Path("tmp/download")
REGISTRY = Path("data/zenodo.json")


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
