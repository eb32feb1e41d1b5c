"""Get the annotation tables in LUNA16's format, and the table of patients."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.luna16.nodules import warn_of_class_0_on_nodules
from nodules.luna16.official import official_scans
from nodules.luna16.tables import read_table, write_tables
from nodules.params.sections import Params
from nodules.sources.directory.take import take_tables
from nodules.sources.phantom.archive import phantom_tables
from nodules.sources.phantom.plan import plan_scans
from nodules.sources.zenodo import TABLES
from stages.command import parser, run
from stages.source import SCRATCH, own_folder, zenodo


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the tables of the chosen source."""
    data = params.data
    if data.source == "phantom":
        write_tables(phantom_tables(plan_scans(data.phantom)), arguments.out)
    elif data.source == "directory":
        folder = own_folder(data.directory)
        take_tables(folder, data.subsets, data.absent_scans, data.implausible_scans, arguments.out)
    else:
        fetched = {name: SCRATCH / name for name in TABLES}
        zenodo(data.zenodo).download_tables(fetched)
        tables = {name: read_table(path) for name, path in fetched.items()}
        warn_of_class_0_on_nodules(tables, fetched["candidates_V2.csv"])
        patients = official_scans()[["seriesuid", "patient"]]
        write_tables(tables | {"patients.csv": patients}, arguments.out)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--out", type=Path, required=True, help="folder for the tables")
    run(options.parse_args(), main)
