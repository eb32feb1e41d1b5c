"""Tells where the networks that come with the package are, and checks that they are whole.

The folder holds ``classifier.keras``, ``localizer.keras`` and ``reducer.keras``; ``params.yaml``,
with which scans are searched; and ``networks.json``, which has the SHA-256 of these files and says
what made them. docs/model_card.md says how good they are.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from nodules.reading import read_json

FILES = ("classifier.keras", "localizer.keras", "reducer.keras", "params.yaml")
LIST = "networks.json"


def shipped_folder() -> Path:
    """Give the folder of the networks that come with the package.

    Returns
    -------
    folder
        The folder, whose files have the hashes that ``networks.json`` says.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file has another hash, or the list is damaged.

    Examples
    --------
    >>> sorted(path.name for path in shipped_folder().glob("*.keras"))
    ['classifier.keras', 'localizer.keras', 'reducer.keras']
    """
    folder = Path(__file__).parent
    check_networks(folder)
    return folder


def check_networks(folder: Path) -> None:
    """Check that a folder holds the networks that its list names.

    Parameters
    ----------
    folder
        The folder.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file has another hash, or the list is damaged.
    """
    listed = read_json(folder / LIST, "the list of the networks that ship")
    files = listed.get("files") if isinstance(listed, dict) else None
    if not isinstance(files, dict) or set(files) != set(FILES):
        received = sorted(files) if isinstance(files, dict) else "none"
        msg = f"{folder / LIST}: Expected files {', '.join(FILES)}. Received: {received}"
        raise ValueError(msg)
    for name in FILES:
        path = folder / name
        if not path.is_file():
            msg = f"{path}: Expected a file that ships with the package. Received: no file"
            raise FileNotFoundError(msg)
        received = hashlib.sha256(path.read_bytes()).hexdigest()
        expected = files[name].get("sha256") if isinstance(files[name], dict) else None
        if received != expected:
            msg = f"{path}: Expected SHA-256 {expected}. Received: {received}"
            raise ValueError(msg)
