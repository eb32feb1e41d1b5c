"""The page that shows a run: metrics, charts, patches, networks and a scan."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nodules.networks.compute import compute_environment, prepare_process
from nodules.params.sections import Params
from nodules.report.page.run import RunFolders, write_run_page
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the page."""
    prepare_process(compute_environment(params.compute))
    folders = RunFolders(
        arguments.data,
        arguments.metrics,
        arguments.models,
        arguments.plots,
        arguments.requirements,
    )
    write_run_page(arguments.out, folders, params.data.subsets, shown_params(params))


def shown_params(params: Params) -> dict[str, Any]:
    """Give all parameters that can change a result."""
    return {
        "data.source": params.data.source,
        "data.subsets": params.data.subsets,
        "data.absent_scans": params.data.absent_scans,
        "data.implausible_scans": params.data.implausible_scans,
        "data.phantom": params.data.phantom.model_dump(),
        "patches": params.patches.model_dump(),
        "split": params.split.model_dump(),
        "classifier": params.classifier.model_dump(),
        "localizer": params.localizer.model_dump(),
        "evaluate": params.evaluate.model_dump(),
        "candidates": params.candidates.model_dump(),
        "crops": params.crops.model_dump(),
        "reducer": params.reducer.model_dump(),
        "compute": params.compute.model_dump(),
    }


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True, help="folder of the run's data")
    options.add_argument("--metrics", type=Path, required=True, help="folder of its metrics")
    options.add_argument("--models", type=Path, required=True, help="folder of its networks")
    options.add_argument("--plots", type=Path, required=True, help="folder of its plots")
    options.add_argument(
        "--requirements", type=Path, required=True, help="the lock of what is installed"
    )
    options.add_argument("--out", type=Path, required=True, help="the page to write")
    run(options.parse_args(), main)
