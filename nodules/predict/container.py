"""The entry point of a container: a scan in ``/input``, results in ``/output``.

It reads what grand-challenge.org gives to an algorithm, ``/input/images/{socket}/{name}.mha``, or a
folder of DICOM files. Among the results is ``nodule-locations.json``, "Multiple points" in its
words.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from nodules.files import atomic_file
from nodules.predict import command

_IMAGES = "images"


def main(arguments: Sequence[str] | None = None) -> None:
    """Search the scan of a container.

    Parameters
    ----------
    arguments
        The words after the program's name; None for those of this process.

    Raises
    ------
    SystemExit
        If there is not exactly one patient, or the scan cannot be searched. The message is one line
        that says why.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, default=Path("/input"), help="folder of the scan")
    parser.add_argument("--output", type=Path, default=Path("/output"), help="folder for results")
    parser.add_argument("--models", type=Path, help="folder of the networks (those that ship)")
    options = parser.parse_args(arguments)
    images = options.input / _IMAGES
    scans = images if images.is_dir() else options.input
    # /output is a mount, and cannot be put in place as a whole.
    with TemporaryDirectory(prefix="nodules-") as name:
        found = Path(name, "found")
        search = argparse.ArgumentParser()
        command.add_arguments(search)
        words = [scans, "--out", found, "--export", "grand-challenge"]
        words += ["--models", options.models] if options.models else []
        command.run(search.parse_args([*map(str, words)]))
        files = sorted(path for path in found.iterdir() if path.is_file())
        if not files:
            sys.exit(f"error: {scans}: Expected the scan of one patient. Received: several")
        options.output.mkdir(parents=True, exist_ok=True)
        for file in files:
            with atomic_file(options.output / file.name) as partial:
                shutil.copyfile(file, partial)


if __name__ == "__main__":
    main()
