"""The command that searches scans: ``nodules predict PATH --out DIR``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodules.predict.results import ScanOutcome

SUMMARY = "Search scans of your own for nodules, with trained networks."
# The names of nodules.predict.exports.kinds, which takes long to import.
EXPORTS = ("dicom-sr", "dicom-seg", "nifti", "slicer", "grand-challenge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser.

    Parameters
    ----------
    parser
        The parser that receives the arguments.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> words = "scan.mhd --out found --export slicer nifti"
    >>> parser.parse_args(words.split()).export
    ['slicer', 'nifti']
    """
    parser.add_argument(
        "path",
        type=Path,
        help="a scan in MetaImage, NIfTI, NRRD or DICOM, a zip, an archive of LUNA16, or a folder",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder for the results")
    parser.add_argument(
        "--models",
        type=Path,
        help="the folder with the three files .keras (the networks that ship)",
    )
    parser.add_argument(
        "--params", type=Path, help="the parameters of the networks (MODELS/params.yaml)"
    )
    parser.add_argument(
        "--series", help="the series UID to search (of each patient, the largest volume)"
    )
    parser.add_argument(
        "--threshold",
        type=_probability,
        default=0.0,
        help="the least probability of a finding that is written, 0..1 (0: all)",
    )
    parser.add_argument(
        "--lungs", type=Path, help="a mask of the lungs on the grid of the scan (found by itself)"
    )
    parser.add_argument(
        "--export", nargs="+", choices=EXPORTS, default=[], help="further files to write"
    )


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        msg = f"Expected a probability of 0..1. Received: {text}"
        raise argparse.ArgumentTypeError(msg)
    return value


def run(options: argparse.Namespace) -> None:
    """Search scans and write a folder of results for each.

    Parameters
    ----------
    options
        The values of the arguments that `add_arguments` adds.

    Raises
    ------
    SystemExit
        If a scan cannot be read or searched, or an argument does not fit. The message is one line
        that says why.
    """
    logging.basicConfig(format="warning: %(message)s")
    try:
        outcomes = _predict(options)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except MemoryError as error:
        sys.exit(f"error: Expected enough memory. Received: {error or 'none left'}")
    faults = [f"error: {outcome.fault}" for outcome in outcomes if outcome.fault]
    for outcome in outcomes:
        if outcome.is_kept:
            print(f"{outcome.out}: kept from an earlier run")
        elif not outcome.fault:
            print(f"{outcome.out}: {outcome.findings} findings")
    if len(outcomes) > 1 and faults:
        faults.append(f"error: {len(faults)} of {len(outcomes)} scans were not searched")
    if faults:
        sys.exit("\n".join(faults))


def _predict(options: argparse.Namespace) -> list[ScanOutcome]:
    from nodules.jobs.workers import Workers
    from nodules.params.file import load_params
    from nodules.predict.exports.kinds import refuse_without_highdicom
    from nodules.predict.run import predict
    from nodules.predict.settings import make_settings
    from nodules.shipped.folder import shipped_folder

    exports = tuple(dict.fromkeys(options.export))
    refuse_without_highdicom(exports)
    models = (options.models or shipped_folder()).absolute()
    params_file = options.params or models / "params.yaml"
    params = load_params(params_file)
    lungs = options.lungs.absolute() if options.lungs else None
    settings = make_settings(models, params, params_file, options.threshold, lungs, exports)
    workers = Workers(**params.parallel.model_dump())
    return predict(
        options.path.absolute(), options.out.absolute(), settings, workers, options.series
    )
