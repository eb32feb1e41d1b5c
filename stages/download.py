"""Get one subset's archive of scans, subset{k}.zip, laid out as LUNA16's."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.directory import take_archive
from nodules.params import Params
from nodules.phantom import write_subset
from nodules.phantom_plan import plan_scans
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the archive from the chosen source."""
    data = params.data
    if data.source == "phantom":
        plans = plan_scans(data.phantom)
        write_subset(plans, arguments.subset, arguments.out, params.parallel.jobs)
    elif data.source == "directory":
        take_archive(Path(data.directory), arguments.subset, arguments.out)
    else:
        msg = "data.source: Expected phantom or directory; zenodo is yet to come. Received: zenodo"
        raise ValueError(msg)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--subset", type=int, required=True, help="0..9")
    options.add_argument("--out", type=Path, required=True, help="the archive to write")
    run(options.parse_args(), main)
