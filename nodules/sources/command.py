"""The command that compares LUNA16's archives with their pinned checksums.

``nodules verify [FOLDER]``. Modules that take long to import are imported when the command runs, so
that its help appears at once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SUMMARY = "Compare LUNA16's archives with their pinned md5 checksums."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser.

    Parameters
    ----------
    parser
        The parser that receives the arguments.
    """
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("data/raw"),
        help="where the archives subset0.zip .. subset9.zip are (data/raw)",
    )
    parser.add_argument(
        "--subsets",
        type=int,
        nargs="+",
        choices=range(10),
        metavar="K",
        help="which must be there, 0 to 9; by default those that are",
    )
    parser.add_argument(
        "--registry",
        type=Path,
        default=Path("data/zenodo.json"),
        help="JSON file of the pinned checksums (data/zenodo.json)",
    )
    parser.add_argument(
        "--base-url",
        help="where to ask for checksums that are not pinned yet, and pin them: "
        "https://zenodo.org or a mirror; without it, nobody is asked",
    )


def run(options: argparse.Namespace) -> None:
    """Compare the archives with their checksums, and print the result for each.

    Parameters
    ----------
    options
        The values of the arguments that `add_arguments` adds.

    Raises
    ------
    SystemExit
        If an archive is missing, does not have its pinned checksum, or there is no checksum to
        compare it with. The message is one line that says why.
    """
    try:
        _verify(options)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


def _verify(options: argparse.Namespace) -> None:
    from nodules.download.retry import Patience
    from nodules.sources.verify import verify
    from nodules.sources.zenodo_pins import ask_and_pin, read_registry

    folder: Path = options.folder
    archives = {k: folder / f"subset{k}.zip" for k in options.subsets or range(10)}
    if options.subsets is None:
        archives = {k: path for k, path in archives.items() if path.is_file()}
    if not archives:
        msg = f"{folder}: Expected archives subset0.zip .. subset9.zip. Received: none"
        raise FileNotFoundError(msg)
    targets = {path.name: path for path in archives.values()}
    if options.base_url is not None:
        unpinned = targets.keys() - read_registry(options.registry).keys()
        ask_and_pin(sorted(unpinned), options.registry, options.base_url, Patience())
    findings = verify(options.registry, targets)
    for finding in findings:
        print(finding)
    wrong = [finding.name for finding in findings if finding.status != "ok"]
    if wrong:
        msg = (
            f"{folder}: Expected every archive with its pinned md5. Received: {wrong} missing or "
            "with another md5"
        )
        raise ValueError(msg)
