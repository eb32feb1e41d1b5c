"""Get the archive of one subset's scans, subset{k}.zip, in LUNA16's layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.download.disk import link_in
from nodules.params.sections import DataParams, Params
from nodules.sources.directory.take import take_archive
from nodules.sources.phantom.archive import write_subset
from nodules.sources.phantom.plan import plan_scans
from stages.command import parser, run
from stages.source import SCRATCH, own_folder, zenodo


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the archive from the chosen source."""
    data = params.data
    if data.source == "phantom":
        plans = plan_scans(data.phantom, [arguments.subset])
        write_subset(plans, arguments.subset, arguments.out, params.parallel.jobs)
    elif data.source == "directory":
        folder = own_folder(data.directory)
        take_archive(folder, arguments.subset, data.implausible_scans, arguments.out)
    else:
        fetch(arguments.subset, arguments.out, data)


def fetch(subset: int, out: Path, data: DataParams) -> None:
    """Take the archive from a folder that already has it, otherwise from Zenodo."""
    client = zenodo(data.zenodo)
    places = [Path(data.directory), SCRATCH]
    for folder in places:
        if (folder / out.name).is_file():
            client.adopt(folder, {out.name: out})
            return
    others = [f"subset{other}.zip" for other in data.subsets if other != subset]
    coming = [
        name
        for name in others
        if not any((folder / name).exists() for folder in [*places, out.parent])
    ]
    client.download({out.name: out}, ahead=coming)
    # The archive gets a second name, so that it is not downloaded again if DVC runs this stage
    # again.
    link_in(out, SCRATCH / out.name)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--subset", type=int, required=True, help="0..9")
    options.add_argument("--out", type=Path, required=True, help="the archive, subset{k}.zip")
    run(options.parse_args(), main)
