"""Get the annotation tables, as LUNA16 has them, and who the patients are."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.directory import take_tables
from nodules.params import Params
from nodules.phantom import phantom_tables
from nodules.phantom_plan import plan_scans
from nodules.tables import write_tables
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the tables of the chosen source."""
    data = params.data
    if data.source == "phantom":
        write_tables(phantom_tables(plan_scans(data.phantom)), arguments.out)
    elif data.source == "directory":
        take_tables(Path(data.directory), data.absent_scans, arguments.out)
    else:
        msg = "data.source: Expected phantom or directory; zenodo is yet to come. Received: zenodo"
        raise ValueError(msg)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--out", type=Path, required=True, help="folder for the tables")
    run(options.parse_args(), main)
