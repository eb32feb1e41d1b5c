"""Damages files many times, and says what reading them comes to.

An outcome is ``right``: what is read is what was written or, where the damage makes another valid
file, what another reader reads; ``clear``: one line of ValueError or OSError that names the file or
its folder; or ``bad``: anything else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Parameters
    ----------
    write
        Writes into a folder; gives the file to damage.
    read
        Reads the folder as this project does.
    judge
        Says whether what was read is right, given the damaged file and it: ``right`` or ``bad: ``
        and why.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], Any]
    judge: Callable[[Path, Any], str]


def damages(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Cut, flip, zero, insert and remove bytes, half of the time among the first 1,000."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        end = len(data) if rng.integers(2) else min(len(data), 1000)
        at = int(rng.integers(end))
        damaged = bytearray(data)
        match number % 6:
            case 0:
                del damaged[at:]
            case 1:
                damaged[at] ^= 1 << int(rng.integers(8))
            case 2:
                damaged[at] = int(rng.integers(256))
            case 3:
                damaged[at : at + int(rng.integers(1, 65))] = bytes(rng.integers(0, 256, 4, "u1"))
            case 4:
                size = min(int(rng.integers(1, 513)), len(data) - at)
                damaged[at : at + size] = bytes(size)
            case 5:
                damaged[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 9)), "u1"))
        yield bytes(damaged)


def outcome_of(kind: Kind, folder: Path, damaged: Path) -> str:
    """Read a folder, and say what it comes to."""
    try:
        value = kind.read(folder)
    except (ValueError, OSError) as error:
        text = str(error)
        if "\n" in text or str(folder) not in text:
            return f"bad: a message of {text!r}"
        return "clear"
    except BaseException as error:
        return f"bad: {type(error).__name__} ({error})"
    return kind.judge(damaged, value)


def campaign(kind: Kind, folder: Path, count: int, seed: int) -> dict[str, int]:
    """Count the outcomes of many damages of one kind.

    Parameters
    ----------
    kind
        What is damaged.
    folder
        To write in; it is emptied first.
    count, seed
        How many, and which.

    Returns
    -------
    counts
        By outcome.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    damaged = kind.write(folder)
    assert outcome_of(kind, folder, damaged) == "right"
    whole = damaged.read_bytes()
    counts: dict[str, int] = {}
    for data in damages(whole, count, seed):
        # As a new file: what is read of another may still be mapped into memory.
        damaged.unlink()
        damaged.write_bytes(data)
        outcome = outcome_of(kind, folder, damaged)
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
